"""What every object is made of: sealed frames, codecs, ciphers, records. Knows no backup and no WAL."""

__all__: list[str] = []
