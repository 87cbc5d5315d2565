"""The WAL archive of a cluster, and who may write it: objects, lineage, terms, writers."""

__all__: list[str] = []
