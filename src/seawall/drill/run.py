"""A whole drill, from the source to its evidence, and nothing left behind.

Order: find what to restore → space → a scratch folder with its reaper → the strictest isolation that works → the
source fills the folder → server, fed with WAL → examinations → server stopped → examinations of its files → folder
gone. Whatever goes wrong on the way becomes an assertion in the evidence: a drill that can't restore is a drill that
failed, and one that this machine could not hold is incomplete.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from seawall.drill.assertions.examinations import EXAMINATIONS, examine
from seawall.drill.assertions.inquiry import Examination, Inquiry
from seawall.drill.errors import (
    DrillSourceMissing,
    DrillSourceUnknown,
    DrillUnsafe,
    DumpVersionUnfit,
    RestoreToolUnusable,
    ScratchUnfit,
)
from seawall.drill.isolation import isolate
from seawall.drill.measure import Goals, SourceMark, forecast, lost_s, mark_of_restored
from seawall.drill.moments import MomentWish
from seawall.drill.room import OnPhase, Room
from seawall.drill.scratch import Scratch, check_space, scratch_folder, sweep
from seawall.drill.server import DrillServer, start
from seawall.drill.sources.source import DrillSource, Filled, Prospect
from seawall.drill.tools import NO_SPACE
from seawall.drill.wal_feed import WalFeed
from seawall.evidence.model import (
    Assertion,
    AssertionOutcome,
    DrillEvidence,
    Objective,
    Phase,
    RecoveryPoint,
    Source,
    judge,
    milliseconds,
)
from seawall.model.clock import Clock
from seawall.model.errors import SeawallError, Unavailable
from seawall.postgres.errors import ProgramsMissing, ServerOwnerUnusable, ServerStartFailed
from seawall.postgres.programs import find_programs
from seawall.restore.errors import SpaceShort, TablespaceUnsafe
from seawall.restore.planning.request import Check

_NOT_THE_BACKUPS_FAULT = (
    ScratchUnfit,
    SpaceShort,
    TablespaceUnsafe,
    DrillUnsafe,
    RestoreToolUnusable,
    ProgramsMissing,
    ServerOwnerUnusable,
)
"""What says that this machine can't hold the drill, and nothing of the backup."""
RESTORED = "restored and started"
_FULL_BYTES = 32 << 20
_TECHNICAL = ("decide", "restore", "start", "replay", "load")
"""The phases that a real recovery would have, too; what is asked afterwards is the drill's alone."""


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """Everything that a drill needs to know beside its source."""

    scratch: Path
    state: Path
    wish: MomentWish
    goals: Goals = field(default_factory=Goals)
    checks: tuple[Check, ...] = ()
    expected_roles: tuple[str, ...] = ()
    expected_tables: dict[str, dict[str, dict[str, int | str]]] = field(default_factory=dict)
    mark: SourceMark | None = None
    """Where the living primary stood when the drill began; None where there is none or it does not answer."""
    pg_bin: Path | None = None
    users: tuple[str, ...] = ()
    jobs: int = 2
    deadline_s: float = 6 * 3600.0
    slow_after_s: float = 600.0
    plan_sha256: str | None = None
    deviations: tuple[str, ...] = ()
    examinations: Sequence[Examination] = EXAMINATIONS


def run_drill(
    source: DrillSource,
    request: DrillRequest,
    fallback: Source,
    clock: Clock,
    on_phase: OnPhase = lambda phase, done, total: None,
) -> DrillEvidence:
    """Hold the drill and return its evidence, whatever happened; ``fallback`` names a source that shows nothing.

    Raises:
        DrillSourceUnknown, DrillSourceMissing, DumpVersionUnfit: what was asked for can't be a drill; there is no
            evidence of it.
    Crash: the reaper stops the server and removes the folder; there is no evidence then.
    """
    drill = _Drill(source, request, clock, on_phase)
    drill.swept = sweep(request.state)
    try:
        drill.hold()
    except (DrillSourceUnknown, DrillSourceMissing, DumpVersionUnfit):
        raise
    except SeawallError as error:
        drill.fail(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        drill.fail(
            ScratchUnfit(f"no space left in {request.scratch}", hint="--scratch takes a larger folder")
        )
    return drill.evidence(fallback)


class _Drill:
    """One run; ``hold`` has the steps in order."""

    def __init__(self, source: DrillSource, request: DrillRequest, clock: Clock, on_phase: OnPhase) -> None:
        self.source, self.request, self.clock, self.on_phase = source, request, clock, on_phase
        self.began_at = clock.now()
        self.id = f"{self.began_at:%Y%m%dT%H%M%SZ}"
        self.swept: list[Path] = []
        self.prospect: Prospect | None = None
        self.phases: list[Phase] = []
        self.assertions: list[Assertion] = []
        self.deviations: list[str] = list(request.deviations)
        self.point = RecoveryPoint(asked=request.wish.words(request.wish.at))
        self.lost_s: float | None = None
        self.raw_bytes = 0
        self.measures: dict[str, int | str] = {}
        self.is_disk_full = False

    def hold(self) -> None:
        request = self.request
        with self._phase("decide"):
            prospect = self.prospect = self.source.look(request.wish)
            self.point = RecoveryPoint(asked=prospect.asked)
            programs = find_programs(prospect.major, request.pg_bin)
            self.measures["postgresql"] = programs.version
            check_space(request.scratch, prospect.need_bytes)
        with scratch_folder(request.scratch, request.state) as scratch:
            self.id = f"{self.id}-{scratch.id}"
            isolation = isolate(scratch, programs)
            self.deviations += isolation.deviations
            room = Room(
                scratch,
                programs,
                isolation,
                self.clock,
                request.jobs,
                request.deadline_s,
                self.on_phase,
                self.deviations,
            )
            try:
                self._rehearse(prospect, room)
            finally:
                self._see_space(scratch)

    def _rehearse(self, prospect: Prospect, room: Room) -> None:
        with self._phase("restore") as phase:
            filled = self.source.fill(prospect, room)
            phase.byte_count = filled.raw_bytes or None
        server = self._start(filled, room)
        with self._phase("load") as phase:
            loaded = self.source.load(prospect, room, server)
            phase.byte_count = loaded or None
        self.raw_bytes = filled.raw_bytes or loaded
        if not loaded:
            self.phases.pop()
        self._measure_point(prospect, server)
        took = f"in {sum(item.elapsed_ms for item in self.phases) / 1000:.1f} s"
        self.assertions.append(Assertion(name=RESTORED, outcome=AssertionOutcome.PASSED, detail=took))
        self._assert(prospect, server)

    def _start(self, filled: Filled, room: Room) -> DrillServer:
        feed = None
        if filled.fetch is not None:
            feed = WalFeed(room.scratch.folder, room.isolation, filled.fetch, filled.inspect)
        with self._phase("replay" if feed is not None else "start") as phase:
            server = start(room, feed, (*self.request.users, *filled.users), filled.settings)
            phase.byte_count = server.fed.byte_count or None
        return server

    def _assert(self, prospect: Prospect, server: DrillServer) -> None:
        request = self.request
        inquiry = Inquiry(
            server,
            self.source.is_physical,
            checks=request.checks,
            recovered_to=prospect.at or self.point.at,
            expected_roles=request.expected_roles,
            expected_tables=request.expected_tables,
            missing_wal=self.source.ended_early(server),
            deadline_s=request.deadline_s,
            slow_after_s=request.slow_after_s,
            deviations=self.deviations,
        )
        with self._phase("check"):
            asked = [examination for examination in request.examinations if not examination.is_of_stopped]
            self._make(asked, inquiry)
            server.stop()
            self._make(
                [examination for examination in request.examinations if examination.is_of_stopped], inquiry
            )

    def _make(self, examinations: Sequence[Examination], inquiry: Inquiry) -> None:
        for assertion in examine(examinations, inquiry, self.clock):
            self.assertions.append(assertion)
            self.on_phase(f"check: {assertion.name}", 0, None)

    def _measure_point(self, prospect: Prospect, server: DrillServer) -> None:
        restored = mark_of_restored(server)
        at = server.recovery.last_transaction_at or prospect.point_at
        if at is None and self.source.is_physical:
            at = prospect.source.backup_at  # nothing was committed after the backup, as far as the WAL shows
        self.point = RecoveryPoint(
            asked=prospect.asked,
            at=at,
            lsn=str(server.recovery.lsn) if server.recovery.lsn is not None else None,
            timeline=restored.timeline if self.source.is_physical else None,
        )
        if prospect.at is None:
            self.lost_s = lost_s(
                self.began_at, at, self.request.mark, restored, is_physical=self.source.is_physical
            )
            if self.lost_s and self.request.mark is None and self.source.is_physical:
                self.deviations.append(
                    "no living primary was asked where it stands: the RPO is an upper bound"
                )

    def fail(self, error: SeawallError) -> None:
        """Turn what ended the drill into its last assertion."""
        is_late = isinstance(error, Unavailable) and not isinstance(error, ServerStartFailed)
        is_space = self.is_disk_full or NO_SPACE in error.message
        is_ours = is_late or is_space or isinstance(error, _NOT_THE_BACKUPS_FAULT)
        outcome = AssertionOutcome.COULD_NOT_RUN if is_ours else AssertionOutcome.FAILED
        name = RESTORED if not any(item.name == RESTORED for item in self.assertions) else "drill"
        space = f"; {self.request.scratch} is full" if self.is_disk_full else ""
        self.assertions.append(Assertion(name=name, outcome=outcome, detail=error.message + space))
        if name == RESTORED:
            self.deviations.append("nothing else was asked: there was no restored server")

    def evidence(self, fallback: Source) -> DrillEvidence:
        """Return what was found out."""
        ended_at = max(self.clock.now(), self.began_at)
        goals = self.request.goals
        is_restored = any(
            item.name == RESTORED and item.outcome is AssertionOutcome.PASSED for item in self.assertions
        )
        technical_ms = sum(item.elapsed_ms for item in self.phases if item.name in _TECHNICAL)
        detection_ms = milliseconds(goals.detection_s or 0)
        rto = Objective(
            target_ms=_ms(goals.rto_s),
            reached_ms=technical_ms + detection_ms if is_restored else None,
            detection_ms=_ms(goals.detection_s),
        )
        rpo = Objective(target_ms=_ms(goals.rpo_s), reached_ms=_ms(self.lost_s) if is_restored else None)
        for folder in self.swept:
            self.deviations.append(f"an earlier drill had left {folder}, which was cleared away")
        prospect = self.prospect
        return DrillEvidence(
            drill=self.id,
            scenario=prospect.scenario
            if prospect is not None
            else f"restore with {fallback.tool}, beside the living",
            source=prospect.source if prospect is not None else fallback,
            outcome=judge(self.assertions, rto, rpo),
            started_at=self.began_at,
            ended_at=ended_at,
            phases=tuple(self.phases),
            recovery_point=self.point,
            rto=rto,
            rpo=rpo,
            assertions=tuple(self.assertions),
            deviations=tuple(dict.fromkeys(self.deviations)),
            measures=self._figures(),
            forecast=forecast(goals, self.request.mark, self.phases, self.raw_bytes) if is_restored else None,
            plan_sha256=self.request.plan_sha256,
        )

    def _figures(self) -> dict[str, int | str]:
        """Return bytes and rates."""
        figures = dict(self.measures)
        if self.raw_bytes:
            figures["restored_bytes"] = self.raw_bytes
        for phase in self.phases:
            if phase.byte_count and phase.elapsed_ms:
                figures[f"{phase.name}_bytes_per_s"] = phase.byte_count * 1000 // phase.elapsed_ms
        return figures

    def _see_space(self, scratch: Scratch) -> None:
        """See whether the disk is full, while the folder is there. What programs say of it differs, and a log that lies
        on that disk says nothing; PostgreSQL gives up where it has no room for one more WAL segment."""
        self.is_disk_full = shutil.disk_usage(scratch.folder).free < _FULL_BYTES

    @contextmanager
    def _phase(self, name: str) -> Iterator[_Timed]:
        self.on_phase(name, 0, None)
        began, timed = self.clock.monotonic(), _Timed()
        try:
            yield timed
        finally:
            elapsed_ms = milliseconds(self.clock.monotonic() - began)
            self.phases.append(Phase(name=name, elapsed_ms=elapsed_ms, byte_count=timed.byte_count))


@dataclass(slots=True)
class _Timed:
    byte_count: int | None = None


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else milliseconds(seconds)
