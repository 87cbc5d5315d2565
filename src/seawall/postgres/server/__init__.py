"""A server as processes: start, stop, wait, who owns it, as which user it runs."""

__all__: list[str] = []
