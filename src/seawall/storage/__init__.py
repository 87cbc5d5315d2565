"""Where bytes live: one protocol, several stores, wrappers for retries, limits and injected faults.

This package knows nothing of backups, encryption or PostgreSQL. It deliberately has no overwrite,
no rename and no partial update: see :mod:`seawall.storage.protocol`.
"""

__all__: list[str] = []
