"""The rules over a running server and its plan, a module for each topic. Pure: no rule looks anything up."""

__all__: list[str] = []
