"""Learn from WAL what a restore must know beforehand, in one pass of ``pg_waldump`` over a folder.

When were the last commits, which tablespaces and databases are created or dropped on the way, which
restore points lie there, which settings will recovery demand, and how far is the WAL whole? The rare
records answer that. ``pg_waldump`` of the server's own major version reads the format; its lines are
streamed, so memory stays small however much WAL there is. One timeline at a time. Which segments are
there is looked up first: pg_waldump waits five seconds for each that isn't.
"""

from __future__ import annotations

import enum
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.errors import ServerNotReady, WalSegmentInvalid
from seawall.postgres.files.wal_file import HEADER_BYTES, SHORT_HEADER_BYTES, read_page_header
from seawall.postgres.programs import ServerPrograms

RESOURCE_MANAGERS = ("Transaction", "Tablespace", "Database", "XLOG")
FIRST_MAJOR_WITH_SEVERAL_FILTERS = 15
DEADLINE_S = 3600.0


class WalEnd(enum.Enum):
    """Why reading ended."""

    RANGE = "the end of the range was reached"
    END_OF_WAL = "the WAL ends here: nothing valid follows and no later segment is there"
    SEGMENT_MISSING = "a segment is missing"
    DAMAGED = "a segment is damaged"


@dataclass(frozen=True, slots=True)
class TransactionEnd:
    """A commit or abort: what recovery compares with a target time or xid."""

    xid: int
    lsn: Lsn
    at: datetime
    is_commit: bool


@dataclass(frozen=True, slots=True)
class TablespaceCreated:
    """Replaying this makes a link to ``location``, whoever lives there now."""

    lsn: Lsn
    oid: int
    location: str


@dataclass(frozen=True, slots=True)
class TablespaceDropped:
    """Replaying this removes the tablespace's files."""

    lsn: Lsn
    oid: int


@dataclass(frozen=True, slots=True)
class DatabaseChange:
    """A database's folder is created or dropped; ``text`` is pg_waldump's description."""

    lsn: Lsn
    text: str


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """A named point (pg_create_restore_point). Names repeat; the first one wins in recovery."""

    name: str
    lsn: Lsn
    at: datetime


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """The primary's settings from here on; a hot standby needs at least as much."""

    lsn: Lsn
    settings: dict[str, str]


@dataclass(slots=True)
class WalFacts:
    """What a range of WAL on one timeline holds.

    ``end_lsn`` is how far valid WAL reaches: the end of the range or of the last whole segment, or
    where the first invalid record begins (where pg_waldump names only the last valid record, just
    behind its start). ``detail`` are pg_waldump's words on why it ended.
    """

    first_lsn: Lsn
    end_lsn: Lsn
    end: WalEnd = WalEnd.RANGE
    missing_segment: str = ""
    detail: str = ""
    commit_count: int = 0
    abort_count: int = 0
    last_commit: TransactionEnd | None = None
    tablespaces_created: list[TablespaceCreated] = field(default_factory=list)
    tablespaces_dropped: list[TablespaceDropped] = field(default_factory=list)
    database_changes: list[DatabaseChange] = field(default_factory=list)
    restore_points: list[RestorePoint] = field(default_factory=list)
    parameter_changes: list[ParameterChange] = field(default_factory=list)
    checkpoints: int = 0
    ends_of_recovery: list[Lsn] = field(default_factory=list)

    @property
    def last_commit_at(self) -> datetime | None:
        return self.last_commit.at if self.last_commit else None

    @property
    def last_commit_lsn(self) -> Lsn | None:
        return self.last_commit.lsn if self.last_commit else None


@dataclass(frozen=True, slots=True)
class WalRange:
    """What to read: archived segments of one timeline in a folder, from a position to another (or all).

    Not a live pg_wal: the segments that a server prepares ahead would pass for damage.
    """

    folder: Path
    timeline: int
    segment_bytes: int
    start: Lsn
    end: Lsn | None = None

    def __post_init__(self) -> None:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"a range of WAL can't end at {self.end}, before its start {self.start}")

    def segments(self) -> list[SegmentName]:
        """Return the timeline's segments in the folder, in order."""
        names = (entry.name for entry in self.folder.iterdir() if len(entry.name) == 24)
        prefix = f"{self.timeline:08X}"
        return sorted(
            SegmentName.parse(name, self.segment_bytes) for name in names if name.startswith(prefix)
        )


def scan_wal(
    programs: ServerPrograms,
    wal: WalRange,
    *,
    on_transaction_end: Callable[[TransactionEnd], None] | None = None,
    deadline_s: float = DEADLINE_S,
) -> WalFacts:
    """Read a range of WAL and return what matters in it. ``on_transaction_end`` sees every commit and
    abort in WAL order (their times are not in order).

    Raises:
        WalSegmentInvalid: pg_waldump fails in a way that says nothing about the WAL.
        ServerNotReady: the deadline passed.
        ProgramsMissing: this installation has no pg_waldump.
    """
    present = wal.segments()
    facts = _facts_of_presence(wal, present)
    if facts.end_lsn == wal.start:
        return facts
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            _command(programs, wal, facts.end_lsn),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "TZ": "UTC", "PGTZ": "UTC", "LC_ALL": "C"},
        )
        with process, _deadline(process, deadline_s) as is_late:
            assert process.stdout is not None
            _collect(process.stdout, wal, facts, on_transaction_end)
            status = process.wait()
        errors.seek(0)
        complaint = errors.read().decode(errors="replace").strip()
    if is_late.is_set():
        raise ServerNotReady(
            f"pg_waldump did not get through {wal.folder} within {deadline_s:g} s",
            hint="is the storage stuck? Read a shorter range, or allow more time",
        )
    if status != 0:
        _conclude_early(facts, wal, present[-1], complaint)
    return facts


@contextmanager
def _deadline(process: subprocess.Popen[bytes], deadline_s: float) -> Iterator[threading.Event]:
    """Kill the process at the deadline, and in any case when the block is left."""
    is_late = threading.Event()

    def expire() -> None:
        is_late.set()
        process.kill()

    timer = threading.Timer(deadline_s, expire)
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()
        process.kill()


def _facts_of_presence(wal: WalRange, present: list[SegmentName]) -> WalFacts:
    """Return facts that know how far the segments at hand reach without a gap, and what follows."""
    there = set(present)
    segment = SegmentName.containing(wal.timeline, wal.start, wal.segment_bytes)
    while segment in there and (wal.end is None or segment.start < wal.end):
        segment = segment.next()
    reach = max(segment.start, wal.start)
    if wal.end is not None and wal.end <= reach:
        return WalFacts(wal.start, wal.end)
    last = present[-1] if present else None
    if wal.end is None and last is not None and segment == last.next():
        return WalFacts(wal.start, reach, WalEnd.END_OF_WAL)
    return WalFacts(wal.start, reach, WalEnd.SEGMENT_MISSING, missing_segment=str(segment))


def _command(programs: ServerPrograms, wal: WalRange, end: Lsn) -> list[str]:
    command = [
        str(programs.pg_waldump),
        f"--path={wal.folder}",
        f"--timeline={wal.timeline}",
        f"--start={wal.start}",
        f"--end={end}",
    ]
    if programs.major >= FIRST_MAJOR_WITH_SEVERAL_FILTERS:  # earlier ones obey only the last filter
        command.extend(f"--rmgr={name}" for name in RESOURCE_MANAGERS)
    return command


_LINE = re.compile(
    rb"rmgr: (Transaction|Tablespace|Database|XLOG) .*?, tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), "
    rb"prev [0-9A-F/]+, desc: (\w+) ?(.*)"
)
_TIME = re.compile(r"(?:(\d+): )?(\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC")
_CREATE_TABLESPACE = re.compile(r'(\d+) "(.*)"')
_SETTING = re.compile(r"(\w+)=(\S+)")


def _collect(
    lines: IO[bytes],
    wal: WalRange,
    facts: WalFacts,
    on_transaction_end: Callable[[TransactionEnd], None] | None,
) -> None:
    for record, kind, xid, lsn, text in _records(lines):
        if record == b"Transaction":
            end = _transaction_end(kind, xid, lsn, text)
            if end is not None:
                _count_transaction(facts, end)
                if on_transaction_end is not None:
                    on_transaction_end(end)
        elif record == b"Tablespace":
            _add_tablespace(facts, kind, lsn, text)
        elif record == b"Database":
            facts.database_changes.append(DatabaseChange(lsn, f"{kind} {text}"))
        elif kind == "RESTORE_POINT":
            facts.restore_points.append(RestorePoint(text, lsn, _restore_point_time(wal, lsn)))
        elif kind == "PARAMETER_CHANGE":
            facts.parameter_changes.append(ParameterChange(lsn, dict(_SETTING.findall(text))))
        elif kind == "END_OF_RECOVERY":
            facts.ends_of_recovery.append(lsn)
        elif kind.startswith("CHECKPOINT_"):
            facts.checkpoints += kind != "CHECKPOINT_REDO"


def _records(lines: IO[bytes]) -> Iterator[tuple[bytes, str, int, Lsn, str]]:
    """Yield resource manager, kind, xid, position and description of each record of interest."""
    for line in lines:
        match = _LINE.match(line)
        if match is not None and not match[4].startswith(b"FPI"):
            text = match[5].decode(errors="surrogateescape")
            yield match[1], match[4].decode(), int(match[2]), Lsn.parse(match[3].decode()), text


def _transaction_end(kind: str, xid: int, lsn: Lsn, text: str) -> TransactionEnd | None:
    """Read a commit's or abort's line; for a prepared transaction the xid is in the description."""
    if not kind.startswith(("COMMIT", "ABORT")):
        return None
    match = _TIME.match(text)
    if match is None:
        raise WalSegmentInvalid(
            f"pg_waldump's description of a {kind} at {lsn} has no time: {text!r}",
            hint="is this a pg_waldump of PostgreSQL 14 to 18?",
        )
    at = datetime.fromisoformat(match[2]).replace(tzinfo=UTC)
    return TransactionEnd(int(match[1] or xid), lsn, at, kind.startswith("COMMIT"))


def _count_transaction(facts: WalFacts, end: TransactionEnd) -> None:
    if end.is_commit:
        facts.commit_count += 1
        facts.last_commit = end
    else:
        facts.abort_count += 1


def _add_tablespace(facts: WalFacts, kind: str, lsn: Lsn, text: str) -> None:
    match = _CREATE_TABLESPACE.fullmatch(text)
    if kind == "CREATE" and match is not None:
        facts.tablespaces_created.append(TablespaceCreated(lsn, int(match[1]), match[2]))
    elif kind == "DROP":
        facts.tablespaces_dropped.append(TablespaceDropped(lsn, int(text)))


_RECORD_HEADER_BYTES = 24
_DATA_HEADER_BYTES = 2
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _restore_point_time(wal: WalRange, lsn: Lsn) -> datetime:
    """Read xl_restore_point.rp_time, which pg_waldump doesn't print: the record's first eight bytes."""
    start = _RECORD_HEADER_BYTES + _DATA_HEADER_BYTES
    raw = _record_bytes(wal, lsn, start + 8)[start:]
    return _POSTGRES_EPOCH + timedelta(microseconds=int.from_bytes(raw, "little", signed=True))


def _record_bytes(wal: WalRange, lsn: Lsn, length: int) -> bytes:
    """Return the first bytes of the record at ``lsn``, without the page headers inside it."""
    found = b""
    position = int(lsn)
    block_bytes = 0
    while len(found) < length:
        segment = SegmentName.containing(wal.timeline, position, wal.segment_bytes)
        with open(wal.folder / str(segment), "rb") as file:
            block_bytes = block_bytes or read_page_header(file.read(HEADER_BYTES)).block_bytes
            if position % block_bytes == 0:
                position += SHORT_HEADER_BYTES if position % wal.segment_bytes else HEADER_BYTES
            file.seek(position - segment.start)
            piece = file.read(min(length - len(found), block_bytes - position % block_bytes))
        if not piece:
            raise WalSegmentInvalid(
                f"WAL segment {segment} is cut short",
                hint="fetch it from the repository again",
                name=str(segment),
            )
        found += piece
        position += len(piece)
    return found


_INVALID = re.compile(
    r"(?:error in WAL record at|could not find a valid record after) ([0-9A-F]+/[0-9A-F]+)(.*)", re.DOTALL
)
_POSITION = re.compile(r"\bat ([0-9A-F]+/[0-9A-F]+)")
_BAD_CHECKSUM = "incorrect resource manager data checksum"


def _conclude_early(facts: WalFacts, wal: WalRange, last: SegmentName, complaint: str) -> None:
    """Fill in where and why the WAL became invalid before its end, from pg_waldump's last words.

    In the last segment that is how WAL ends; before it, or with a checksum that fails, it is damage.
    """
    invalid = _INVALID.search(complaint)
    if invalid is None:
        raise WalSegmentInvalid(
            f"pg_waldump failed on {wal.folder}: {complaint or 'it says nothing'}",
            hint="run it by hand with the same range",
            folder=str(wal.folder),
        )
    position = _POSITION.search(invalid[2])
    facts.end_lsn = Lsn.parse(position[1]) if position else Lsn(Lsn.parse(invalid[1]) + 8)
    is_last = facts.end_lsn >= last.start and _BAD_CHECKSUM not in complaint
    facts.end = WalEnd.END_OF_WAL if is_last else WalEnd.DAMAGED
    facts.missing_segment = ""
    facts.detail = complaint
