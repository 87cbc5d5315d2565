"""What is asked of a restore, and the proof, before a byte is copied, that it can be had. Writes nothing."""

__all__: list[str] = []
