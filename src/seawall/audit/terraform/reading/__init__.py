"""From a file to a stack: what ``terraform show -json`` prints, raw states, and what people give instead.

``reader`` recognises the file; ``plan_json``, ``configuration`` and ``tfstate`` read its parts. What is marked as
sensitive, or called so by its name, is replaced here and goes no further.
"""

__all__: list[str] = []
