"""Immutable values that every other package speaks in. No I/O, no third-party imports.

Import from the modules themselves (``seawall.model.lsn``); nothing is re-exported here so that
the fast WAL client pays only for what it uses.
"""

__all__: list[str] = []
