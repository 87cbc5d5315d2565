"""What would happen if a site died now: a sentence for each, never better than what is active and measured.

``observe`` gathers the ``facts``: what servers say, what the repositories that would be left really hold, what the
ledger proves. ``decide`` turns them into verdicts, purely; ``words`` says them.
"""

__all__: list[str] = []
