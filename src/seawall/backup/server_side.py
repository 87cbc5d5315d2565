"""What a backup asks of the server while its files are copied: the seam between the copy and PostgreSQL.

:class:`seawall.postgres.backup_session.BackupSession` is the real one. Tests of crashes stand in for it, since a
server would make each of hundreds of runs last seconds.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Protocol, Self

from seawall.model.lsn import Lsn
from seawall.postgres.backup_session import StartedBackup, StoppedBackup


class ServerSide(Protocol):
    """One backup on one connection; leaving the context without ``stop`` gives it up."""

    @property
    def version_num(self) -> int: ...

    def system_identifier(self) -> int: ...

    def archives_wal(self) -> bool: ...

    def start(self, label: str, *, fast: bool = True) -> StartedBackup: ...

    def upper_lsn(self) -> Lsn: ...

    def stop(self) -> StoppedBackup: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ServerInsertPosition:
    """The server's insert position, asked for again only when a page claims to be beyond it."""

    def __init__(self, session: ServerSide, start_lsn: int) -> None:
        self._session = session
        self._lock = threading.Lock()
        self.known: int = start_lsn

    def refresh(self) -> int:
        with self._lock:
            self.known = max(self.known, self._session.upper_lsn())
            return self.known
