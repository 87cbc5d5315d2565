"""PostgreSQL's files as bytes: control file, page checksums, relation names, WAL segments."""

__all__: list[str] = []
