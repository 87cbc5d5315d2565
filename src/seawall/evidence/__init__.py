"""The evidence ledger: what drills and recoveries proved, in signed entries that can't be changed unnoticed.

Entries are created once, numbered, chained by hash and signed (docs/evidence.md, docs/format.md "Evidence").
:mod:`~seawall.evidence.model` says what an entry may state, :mod:`~seawall.evidence.ledger` appends, and
:mod:`~seawall.evidence.verify` proves a copy with nothing but public keys. They are readable without a
repository's encryption key, so :mod:`~seawall.evidence.redaction` keeps secrets and rows out.

This package deliberately judges nothing: it neither runs drills nor decides what is due.
"""

__all__: list[str] = []
