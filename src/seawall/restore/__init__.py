"""A repository into a directory or a running server, at a moment.

The flow: ``moment`` (what was asked) → ``choose`` (pure: which backup, which timelines, which WAL) →
``preflight`` (prove it before a byte is copied) → ``copy`` (bytes) → ``configure`` (recovery settings)
→ ``start`` (replay, wait, check). The package never writes into a directory that is not empty unless
told so, and never touches the server that the backup came from.
"""

__all__: list[str] = []
