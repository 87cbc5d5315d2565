"""A whole disaster on one machine: a shop at ``eu-west`` dies and comes back at ``eu-central``.

The demo runs the product's own commands as a user would type them, against real servers, and measures
what a client of the shop sees. It sits above ``app`` and below ``cli``: it may use everything and nothing
uses it.
"""

__all__: list[str] = []
