"""A backup becomes a data directory: target, copy, ownership, settings, durability."""

__all__: list[str] = []
