"""The repository format: sealed frames in write-once objects, and what they mean together.

``docs/format.md`` describes every byte. This package deliberately knows no PostgreSQL server and no
plan: it is given values and returns values.

``format`` (one object's bytes) carries ``backups``, ``wal`` and ``verify``; ``repository`` opens them all, with
``key_ring`` for keys, ``leases`` for who is at work, and ``collect`` for what died.
"""

__all__: list[str] = []
