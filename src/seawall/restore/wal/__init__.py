"""WAL for a recovery: found, fetched ahead, served to ``restore_command``."""

__all__: list[str] = []
