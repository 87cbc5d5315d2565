"""Reading everything again: what is damaged, what is missing, and what that affects."""

__all__: list[str] = []
