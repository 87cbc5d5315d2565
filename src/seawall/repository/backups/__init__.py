"""Backups in a repository: packs and manifest, the commit record, the catalog, one writer, one reader."""

__all__: list[str] = []
