"""The report written down: one HTML file that prints well, and JSON's document. Nothing is printed here."""

__all__: list[str] = []
