"""Backups of other tools that keep an archive of WAL: their own programs restore, and only read their repositories.

What pgBackRest and Barman have in common is here: which backup fits a moment, WAL that is handed in through their own
``archive-get`` and ``get-wal``, and whether replay went as far as their archive goes. PostgreSQL takes a hole for the
end, and a time after the last commit for an error, so both are told apart from what the archive holds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from seawall.drill.errors import DrillFailed, DrillSourceMissing, DrillUnsafe
from seawall.drill.moments import MomentWish
from seawall.drill.room import Room
from seawall.drill.server import DrillServer
from seawall.drill.sources.source import Filled, Prospect
from seawall.drill.tools import ToolRun
from seawall.evidence.model import Source
from seawall.model.clock import Clock
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.files.waldump import WalRange, scan_wal
from seawall.postgres.programs import ServerPrograms
from seawall.restore.planning.moment import CLOCK_DOUBT

_WAL_BYTES = 256 << 20
"""What replay may need beside the data: a checkpoint's worth of WAL, and the segments on their way."""
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_LOOKED_BACK = 8
"""How many segments from the archive's end are read for the last commit."""


@dataclass(frozen=True, slots=True)
class ForeignBackup:
    """One backup in another tool's catalog."""

    id: str
    stopped_at: datetime
    raw_bytes: int
    major: int
    system_identifier: str
    tablespaces: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True, slots=True)
class ForeignCatalog:
    """What a tool has: backups, oldest first, and the newest WAL segment of its archive."""

    backups: tuple[ForeignBackup, ...]
    last_wal: str | None


class RestoreTool(Protocol):
    """One tool's commands."""

    @property
    def name(self) -> str: ...

    @property
    def location(self) -> str:
        """How the evidence names the repository."""
        ...

    def catalog(self) -> ForeignCatalog:
        """Ask what there is. Raises DrillSourceMissing, DrillFailed, RestoreToolUnusable."""
        ...

    def restore(self, backup: ForeignBackup, at: datetime | None, room: Room) -> ToolRun:
        """Restore into the room's data directory, to be recovered to ``at`` or to the archive's end."""
        ...

    def fetch(self, name: str, place: Path) -> bool:
        """Put a WAL file of the archive there; False if it has none. Raises DrillFailed."""
        ...


@dataclass(slots=True)
class ArchivedSource:
    """A stanza of pgBackRest or a server of Barman."""

    tool: RestoreTool
    clock: Clock
    cluster: str | None = None
    _catalog: ForeignCatalog = field(default_factory=lambda: ForeignCatalog((), None))
    _backup: ForeignBackup | None = None

    @property
    def is_physical(self) -> bool:
        return True

    def look(self, wish: MomentWish) -> Prospect:
        """Choose the backup for the moment. Raises what the tool's catalog raises; DrillFailed where it is empty."""
        catalog = self._catalog = self.tool.catalog()
        if not catalog.backups:
            raise DrillFailed(f"{self.tool.location} has no backup", hint=f"take one with {self.tool.name}")
        at = wish.within(catalog.backups[0].stopped_at + CLOCK_DOUBT, self.clock.now())
        backup = self._backup = choose_backup(catalog.backups, at)
        return Prospect(
            source=Source(
                tool=self.tool.name,
                location=self.tool.location,
                cluster=self.cluster,
                backup=backup.id,
                backup_at=backup.stopped_at,
                system_identifier=backup.system_identifier or None,
                raw_bytes=backup.raw_bytes,
            ),
            major=backup.major,
            need_bytes=backup.raw_bytes + _WAL_BYTES,
            asked=wish.words(at),
            scenario=f"restore with {self.tool.name}, beside the living",
            at=at,
        )

    def fill(self, prospect: Prospect, room: Room) -> Filled:
        """Let the tool's own program restore. Raises DrillFailed."""
        assert self._backup is not None  # look() comes first
        room.deviations += filter(None, [self._backup.remark])
        run = self.tool.restore(self._backup, prospect.at, room)
        room.tool_runs.append(run)
        if not run.is_clean:
            raise DrillFailed(run.reason(), hint=f"restore it by hand with {self.tool.name} to see all of it")
        aside = _set_wal_aside(room)
        guard = TablespaceGuard(room.programs)
        fetch = _first_of(self.tool.fetch, aside)
        filled = Filled(self._backup.raw_bytes, fetch, guard.inspect, users=("postgres",))
        if prospect.at is not None and not self._commits_after(prospect.at, room):
            filled.settings = {"recovery_target_time": ""}
            room.deviations.append(
                f"no transaction after {prospect.at:%Y-%m-%d %H:%M:%S} UTC is in the archive: all of it was recovered"
            )
        return filled

    def load(self, prospect: Prospect, room: Room, server: DrillServer) -> int:
        """Nothing: replay brought everything."""
        return 0

    def ended_early(self, server: DrillServer) -> str:
        """Compare where replay ended with the archive's newest segment, as it was when the drill began."""
        last, reached = self._catalog.last_wal, server.recovery.lsn
        if last is None or reached is None or server.recovery.stopped_at_target:
            return ""
        return hole_before(last, reached, _segment_bytes_of(server))

    def _commits_after(self, at: datetime, room: Room) -> bool:
        """Say whether the archive holds a commit after ``at``: to PostgreSQL, a time after the last one is an error."""
        last = self._catalog.last_wal
        with tempfile.TemporaryDirectory(prefix="wal-", dir=room.scratch.folder) as name:
            folder = Path(name)
            for _ in range(_LOOKED_BACK):
                if last is None or not self.tool.fetch(last, folder / last):
                    break
                segment = SegmentName.parse(last, (folder / last).stat().st_size)
                wal = WalRange(folder, segment.timeline, segment.segment_bytes, segment.start)
                found = scan_wal(room.programs, wal).last_commit_at
                if found is not None:
                    return found > at
                last = str(SegmentName(segment.timeline, segment.number - 1, segment.segment_bytes))
        return False


class TablespaceGuard:
    """Refuses WAL that creates a tablespace: its place would be a live server's, not the scratch folder."""

    def __init__(self, programs: ServerPrograms) -> None:
        self._programs = programs

    def inspect(self, name: str, folder: Path) -> None:
        """Read a segment together with the one before, in which a record may have begun. Raises DrillUnsafe."""
        size = (folder / name).stat().st_size
        segment = SegmentName.parse(name, size)
        before = SegmentName(segment.timeline, segment.number - 1, size)
        start = before.start if (folder / str(before)).exists() else segment.start
        facts = scan_wal(self._programs, WalRange(folder, segment.timeline, size, start))
        for made in facts.tablespaces_created:
            if os.path.isabs(made.location):
                raise DrillUnsafe(
                    f"the WAL at {made.lsn} creates tablespace {made.oid} at {made.location}: replaying it would link "
                    "the copy to that folder",
                    hint="take a new backup, which has the tablespace; or choose a moment before it: --moment TIME",
                )


def choose_backup(backups: Sequence[ForeignBackup], at: datetime | None) -> ForeignBackup:
    """Return the newest backup that ended before the moment. Raises DrillSourceMissing."""
    usable = [item for item in backups if at is None or item.stopped_at + CLOCK_DOUBT <= at]
    if not usable:
        raise DrillSourceMissing(
            f"no backup ended before {at:%Y-%m-%d %H:%M:%S} UTC; the first ended at "
            f"{backups[0].stopped_at:%Y-%m-%d %H:%M:%S} UTC",
            hint="choose a later moment: --moment",
        )
    return usable[-1]


def hole_before(last: str, reached: Lsn, segment_bytes: int) -> str:
    """Say what is missing if replay ended in a segment before the archive's last one, "" if nothing is."""
    newest = SegmentName.parse(last, segment_bytes)
    ended = SegmentName.containing(newest.timeline, reached, segment_bytes)
    if ended.number >= newest.number:
        return ""
    return f"replay ended at {reached}, and the archive goes on to {last}: a segment between them is missing"


def parse_answer(output: bytes, tool: str) -> Any:
    """Read a tool's JSON. Raises DrillFailed: with a wrong passphrase pgBackRest quotes what it deciphered."""
    try:
        return json.loads(output)
    except ValueError as error:
        raise DrillFailed(
            f"{tool}'s answer can't be read: {output[-200:].decode('ascii', 'replace')!r}",
            hint=f"see what {tool} says by hand; has its passphrase changed?",
        ) from error


def utc(timestamp: float | str) -> datetime:
    """Return a catalog's seconds since 1970 as a time."""
    return datetime.fromtimestamp(float(timestamp), UTC)


def _set_wal_aside(room: Room) -> Path:
    """Take WAL out of the restored directory: it is to be looked through as all other is before it is replayed."""
    aside = room.scratch.folder / "aside"
    aside.mkdir(mode=0o700)
    wal = room.data / "pg_wal"
    for file in list(wal.iterdir()) if wal.is_dir() else ():
        if _SEGMENT.fullmatch(file.name):
            shutil.move(file, aside / file.name)
    return aside


def _first_of(fetch: Callable[[str, Path], bool], aside: Path) -> Callable[[str, Path], bool]:
    def fetch_or_take(name: str, place: Path) -> bool:
        if fetch(name, place):
            return True
        if not (aside / name).exists():
            return False
        shutil.copyfile(aside / name, place)
        return True

    return fetch_or_take


def _segment_bytes_of(server: DrillServer) -> int:
    from seawall.postgres.files.control_file import read_control_file

    return read_control_file(server.room.data).wal_segment_bytes
