"""A report in forms for other programs: JSON's document, JUnit's XML, one HTML file. Nothing is printed here."""

__all__: list[str] = []
