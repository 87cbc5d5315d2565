"""Fetch the WAL of a recovery ahead into the spool, and read from it what the recovery will meet.

While data files are copied, segments stream into the spool and ``pg_waldump`` reads them in stretches: does a
transaction commit after the moment (else PostgreSQL would end with "recovery ended before configured recovery
target was reached")? Is the named point there? Does the WAL create a tablespace, whose replay would link the
copy to a live folder of the source? Known before a server starts, not after it failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.errors import WalSegmentInvalid
from seawall.postgres.files.waldump import TransactionEnd, WalEnd, WalFacts, WalRange, scan_wal
from seawall.postgres.programs import ServerPrograms
from seawall.restore.beside import SPOOL_NAME
from seawall.restore.planning.moment import AtLsn, AtName, AtTime, AtXid, Immediate, Moment
from seawall.restore.planning.prove import ProvenPath
from seawall.restore.wal.get import Fetch
from seawall.restore.wal.spool import Spool
from seawall.restore.wal.window import WalWindow, wanted_segments

_FETCHERS = 2


@dataclass(slots=True)
class WalSurvey:
    """What was read so far, for a recovery from a backup that is consistent at ``consistent_at``."""

    moment: Moment
    consistent_at: Lsn
    end_lsn: Lsn
    last_commit_at: datetime | None = None
    last_commit_lsn: Lsn | None = None
    tablespaces: list[tuple[Lsn, int, str]] = field(default_factory=list)
    segments: int = 0
    stops_at: Lsn | None = None
    """The record at which recovery will stop for the moment, once it was seen."""
    is_too_early: bool = False
    """That record lies before the backup's end, where PostgreSQL refuses to stop: another backup is needed."""
    is_complete: bool = False
    """All WAL that the archive is proven to hold was read."""

    @property
    def reached(self) -> bool:
        """Whether the moment itself was seen in the WAL, at a place where recovery can stop."""
        return self.stops_at is not None and not self.is_too_early

    def stop(self, lsn: Lsn) -> None:
        """Note a record at which recovery stops; the first one counts."""
        if self.stops_at is None:
            self.stops_at = lsn
            self.is_too_early = lsn < self.consistent_at

    def will_replay(self, lsn: Lsn) -> bool:
        """Say whether recovery to the moment gets as far as to the record at ``lsn``."""
        match self.moment:
            case AtLsn(lsn=target):
                return lsn <= target
            case Immediate():
                return lsn < self.consistent_at
            case _:
                return self.stops_at is None or lsn <= self.stops_at


def fill_and_survey(
    path: ProvenPath,
    spool: Spool,
    fetch: Fetch,
    programs: ServerPrograms,
    moment: Moment,
    *,
    stop_lsn: Lsn,
    window: WalWindow,
    until: Lsn | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> WalSurvey:
    """Read the WAL along ``path`` until the moment was seen, or to the end (or ``until``); say what is in it.

    What replay needs first stays in ``spool``, and the last segment that was read; of the rest there is never
    more than a stretch.

    Raises what ``fetch`` raises, and what pg_waldump's reader raises for WAL that is garbled in its middle.
    """
    survey = WalSurvey(moment, stop_lsn, end_lsn=path.start)
    segments = wanted_segments(path, moment, stop_lsn)
    names = [str(segment) for _, segment in segments]
    spool.keep(frozenset(names[: window.ahead]))
    for start in range(0, len(segments), window.stretch):
        if is_cancelled() or _is_enough(survey) or (until is not None and survey.end_lsn >= until):
            return survey
        stretch = segments[start : start + window.stretch]
        _fetch(stretch, spool, fetch)
        survey.segments += len(stretch)
        for timeline, first, last in _by_timeline(stretch):
            # A record may begin in the segment before: read that one again, it is still in the spool.
            begin = max(path.start, first.start - path.segment_bytes)
            wal = WalRange(Path(spool.folder), timeline, path.segment_bytes, Lsn(begin), last.end)
            _add(
                survey,
                _scan(programs, wal, survey),
                last,
                is_partial=path.ends_partial and last.end == path.end,
            )
        for name in names[max(window.ahead, start - 1) : start + len(stretch) - 1]:
            spool.drop(name)
    survey.is_complete = not segments or segments[-1][1].end == path.end
    return survey


def has_record_from(programs: ServerPrograms, path: ProvenPath, spool: Spool, lsn: Lsn) -> bool:
    """Say whether a record begins at ``lsn`` or behind it: PostgreSQL stops at a position only with such a one.

    The last segment may be empty from there on (after ``pg_switch_wal``), and then recovery would end with
    "recovery ended before configured recovery target was reached". Reads the last segment alone.
    """
    if lsn >= path.end:
        return False
    if lsn < path.end - path.segment_bytes:
        return True  # no whole segment is without a record, but for the tail of one larger than a segment
    timeline = path.folders[-1].timeline
    facts = scan_wal(programs, WalRange(Path(spool.folder), timeline, path.segment_bytes, lsn))
    return "could not find a valid record" not in facts.detail


def _fetch(stretch: Sequence[tuple[int, SegmentName]], spool: Spool, fetch: Fetch) -> None:
    def one(epoch: int, segment: SegmentName) -> None:
        if not spool.has(str(segment)):
            spool.put(str(segment), fetch(epoch, str(segment)))

    with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="wal-fetch") as pool:
        for future in [pool.submit(one, epoch, segment) for epoch, segment in stretch]:
            future.result()


def _by_timeline(
    stretch: Sequence[tuple[int, SegmentName]],
) -> list[tuple[int, SegmentName, SegmentName]]:
    """Return (timeline, first, last) of each run of one timeline: pg_waldump reads one at a time."""
    runs: list[tuple[int, SegmentName, SegmentName]] = []
    for _, segment in stretch:
        if runs and runs[-1][0] == segment.timeline:
            runs[-1] = (segment.timeline, runs[-1][1], segment)
        else:
            runs.append((segment.timeline, segment, segment))
    return runs


def _scan(programs: ServerPrograms, wal: WalRange, survey: WalSurvey) -> WalFacts:
    moment = survey.moment

    def on_end(end: TransactionEnd) -> None:
        match moment:
            case AtXid(xid=xid) if end.xid == xid:
                survey.stop(end.lsn)
            case AtTime(time=time, inclusive=inclusive) if end.at > time or (
                end.at == time and not inclusive
            ):
                survey.stop(end.lsn)

    if not (wal.folder / str(SegmentName.containing(wal.timeline, wal.start, wal.segment_bytes))).exists():
        wal = replace(wal, start=Lsn(wal.start // wal.segment_bytes * wal.segment_bytes + wal.segment_bytes))
    facts = scan_wal(programs, wal, on_transaction_end=on_end)
    if isinstance(moment, AtName):
        for point in facts.restore_points:
            if point.name == moment.name:
                survey.stop(point.lsn)
    return facts


def _add(survey: WalSurvey, facts: WalFacts, last: SegmentName, *, is_partial: bool) -> None:
    # An unfinished segment may end within a record, whose rest is what the recycled file held before.
    if facts.end is WalEnd.DAMAGED and not (is_partial and facts.end_lsn >= last.start):
        raise WalSegmentInvalid(
            f"the archived WAL can't be read behind {facts.end_lsn}: {facts.detail}",
            hint=f"restore to a moment before it: --to-lsn {facts.end_lsn}",
        )
    survey.end_lsn = max(survey.end_lsn, min(facts.end_lsn, last.end))
    if facts.last_commit_at is not None:
        if survey.last_commit_at is None or facts.last_commit_at > survey.last_commit_at:
            survey.last_commit_at = facts.last_commit_at
        survey.last_commit_lsn = facts.last_commit_lsn
    survey.tablespaces += [(item.lsn, item.oid, item.location) for item in facts.tablespaces_created]


def _is_enough(survey: WalSurvey) -> bool:
    """Say whether reading on could change nothing for the moment."""
    if survey.is_too_early:
        return True
    if survey.end_lsn < survey.consistent_at:
        return False
    if isinstance(survey.moment, AtLsn):
        return survey.end_lsn > survey.moment.lsn
    return survey.reached or isinstance(survey.moment, Immediate)


def open_spool(work: Path) -> Spool:
    """Return the spool in a restore's work folder, made if need be."""
    folder = work / SPOOL_NAME
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Spool(folder)
