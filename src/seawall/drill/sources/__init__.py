"""What can be rehearsed: each source finds its newest or fitting backup and restores it with its own means."""

__all__: list[str] = []
