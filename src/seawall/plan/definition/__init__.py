"""The one definition of every key of a plan; validator, schema and reference come from it."""

__all__: list[str] = []
