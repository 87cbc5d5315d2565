"""The repository format: sealed frames in write-once objects, and what they mean together.

``docs/format.md`` describes every byte. This package deliberately knows no PostgreSQL server and no
plan: it is given values and returns values.
"""

__all__: list[str] = []
