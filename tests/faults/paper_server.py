"""A server made of paper: a small data directory, and the answers of a backup session, without PostgreSQL.

It makes a whole backup last milliseconds, so that one can be crashed at every single storage operation.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from seawall.backup.physical import BackupOutcome, BackupPolicy, ClusterSource, take_full_backup
from seawall.backup.wal.push import PushResult, PushTarget, WalPusher
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.backup_session import StartedBackup, StoppedBackup
from seawall.repository.backups.file_entry import FileKind
from seawall.repository.backups.reader import BackupReader
from seawall.repository.backups.record import BackupRecord
from seawall.repository.format.extents import iter_extents
from seawall.repository.repository import Repository
from tests.unit.postgres.test_control_file import control_file

CLUSTER = "main"
SYSTEM = 7412345678901234567
SEGMENT_BYTES = 1 << 20
BEGAN = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
FILES = {
    "PG_VERSION": b"15\n",
    "base/5/PG_VERSION": b"15\n",
    "base/5/1259": b"a relation of pages " * 4096,
    "base/5/16384": bytes(range(256)) * 2000,
    "base/5/16385": b"",
    "global/1262": b"databases " * 800,
    "pg_xact/0000": b"\x55" * 8192,
    "postgresql.conf": b"archive_mode = on\n",
}


class ManualClock:
    """A clock that a test moves; sleeping moves it as well."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def segment(number: int, fill: bytes = b"wal ") -> bytes:
    """Return a WAL segment of PostgreSQL 15 with a true first page header (xlog_internal.h)."""
    header = struct.pack(
        "<HHIQI4xQII", 0xD110, 0x0002, 1, number * SEGMENT_BYTES, 0, SYSTEM, SEGMENT_BYTES, 8192
    )
    return header + (fill * (SEGMENT_BYTES // len(fill)))[len(header) :]


def segment_name(number: int) -> str:
    return str(SegmentName(1, number, SEGMENT_BYTES))


class PaperServer:
    """The data directory of a primary, and what its backups and its archiver do."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.data = folder / "data"
        self.state = folder / "state"
        self.clock = clock
        for path, content in FILES.items():
            (self.data / path).parent.mkdir(parents=True, exist_ok=True)
            (self.data / path).write_bytes(content)
        for name in ("pg_wal", "pg_tblspc", "pg_notify"):
            (self.data / name).mkdir()
        (self.data / "global" / "pg_control").write_bytes(
            control_file(
                system_identifier=SYSTEM, wal_segment_bytes=SEGMENT_BYTES, timeline=1, data_checksum_version=0
            )
        )

    @property
    def source(self) -> ClusterSource:
        return ClusterSource(CLUSTER, "host=/nonexistent connect_timeout=1", self.data, self.state)

    def backup(self, repository: Repository, archive_into: Repository, *, jobs: int = 1) -> BackupOutcome:
        """Take a backup into ``repository``; the server meanwhile archives into ``archive_into``."""
        return take_full_backup(
            self.source,
            {"far": repository},
            BackupPolicy(jobs=jobs, wal_timeout_s=5),
            self.clock,
            open_session=lambda dsn: PaperSession(self, archive_into),
        )

    def push(self, repository: Repository, number: int) -> PushResult:
        """Archive one segment, as ``archive_command`` does."""
        path = Path("pg_wal") / segment_name(number)
        (self.data / path).write_bytes(segment(number))
        return WalPusher(
            cluster=CLUSTER,
            data_directory=self.data,
            state_directory=self.state,
            targets=[PushTarget("far", "required", lambda: repository)],
        ).push(path)


class PaperSession:
    """What :class:`seawall.postgres.backup_session.BackupSession` answers, for a backup of two segments."""

    version_num = 150018

    def __init__(self, server: PaperServer, archive_into: Repository) -> None:
        self._server = server
        self._archive_into = archive_into

    def system_identifier(self) -> int:
        return SYSTEM

    def archives_wal(self) -> bool:
        return True

    def start(self, label: str, *, fast: bool = True) -> StartedBackup:
        return StartedBackup(
            label=label,
            start_lsn=Lsn(2 * SEGMENT_BYTES + 0x28),
            timeline=1,
            start_wal_segment=SegmentName(1, 2, SEGMENT_BYTES),
            started_at=self._server.clock.now(),
            is_standby=False,
        )

    def upper_lsn(self) -> Lsn:
        return Lsn(3 * SEGMENT_BYTES)

    def stop(self) -> StoppedBackup:
        for number in (2, 3):
            self._server.push(self._archive_into, number)
        return StoppedBackup(
            stop_lsn=Lsn(3 * SEGMENT_BYTES + 0x100),
            timeline=1,
            stop_wal_segment=SegmentName(1, 3, SEGMENT_BYTES),
            backup_label=b"START WAL LOCATION: 0/200028 (file 000000010000000000000002)\n",
            tablespace_map=b"",
            stopped_at=self._server.clock.now(),
        )

    def __enter__(self) -> PaperSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""


def content_of(repository: Repository, record: BackupRecord) -> dict[str, bytes]:
    """Return every file of a backup, read back as a restore reads it."""
    reader = BackupReader(repository, record)
    found: dict[str, bytes] = {}
    for entry in reader.entries():
        if entry.kind is FileKind.FILE:
            content = bytearray(entry.size)
            for extent, data in reader.read_extents(iter_extents(entry.extents)):
                if data is not None:
                    content[extent.file_offset : extent.file_offset + extent.length] = data
            found[entry.path] = bytes(content)
    return found
