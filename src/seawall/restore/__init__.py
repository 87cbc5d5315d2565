"""A repository into a directory or a running server, at a moment.

The flow: ``planning`` (what was asked; which backup, timelines and WAL answer it, proven before a byte is
copied) → ``directory`` (bytes, owners, recovery settings) → ``wal`` (fetched ahead, served to
``restore_command``) → ``start`` (replay, wait) → ``readiness`` (check). :mod:`~seawall.restore.run` goes through it.
The package never writes into a directory that is not empty unless
told so, and never touches the server that the backup came from.
"""

__all__: list[str] = []
