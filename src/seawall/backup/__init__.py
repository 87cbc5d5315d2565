"""Sources into a repository: physical backups and WAL.

The flow of a full backup: ``source_files`` (what there is) → ``work`` (extents, not files, are shared
out) → ``pipeline`` (a thread per core: read, check pages, compress, hash, seal, write) → ``fan_out``
(one read feeds every repository) → ``physical`` (the server's side of it, and the commit).
"""

__all__: list[str] = []
