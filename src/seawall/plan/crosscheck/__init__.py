"""What is wrong with a plan whose every key is right by itself."""

__all__: list[str] = []
