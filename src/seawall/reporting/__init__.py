"""What the ledger proves, for people who have to answer for it: the report of a period, and the service's status now.

Report: the ledger's entries (``history``) and the plan become one value (``report``) that says what was proven
when, what failed and who mends it (``failures``), and what is *not* proven (``coverage``); ``controls`` says which
of its figures serve as evidence for which framework. ``render`` writes it down. Nothing in it depends on the hour
at which it is made: the same ledger, plan and period give the same bytes.

Status (``status``): one sentence for each site, from what is active and measured, decided by a pure function.

The package judges nobody's conformity, runs no drill and writes to no ledger.
"""

__all__: list[str] = []
