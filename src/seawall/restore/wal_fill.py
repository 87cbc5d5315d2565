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
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.waldump import TransactionEnd, WalEnd, WalFacts, WalRange, scan_wal
from seawall.restore.errors import WalUnreadable
from seawall.restore.moment import AtLsn, AtName, AtTime, AtXid, Immediate, Moment
from seawall.restore.prove import ProvenPath
from seawall.restore.spool import Spool
from seawall.restore.wal_get import Fetch

_STRETCH = 32
"""Segments that are fetched before they are read; a recovery to a moment seldom needs all of the archive."""
_FETCHERS = 2


@dataclass(slots=True)
class WalSurvey:
    """What was read so far. ``reached`` says that the moment itself was seen in the WAL."""

    end_lsn: Lsn
    last_commit_at: datetime | None = None
    last_commit_lsn: Lsn | None = None
    commits: int = 0
    tablespaces: list[tuple[Lsn, int, str]] = field(default_factory=list)
    segments: int = 0
    reached: bool = False
    is_complete: bool = False
    """All WAL that the archive is proven to hold was read."""


def fill_and_survey(
    path: ProvenPath,
    spool: Spool,
    fetch: Fetch,
    programs: ServerPrograms,
    moment: Moment,
    *,
    stop_lsn: Lsn,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> WalSurvey:
    """Fill ``spool`` along ``path`` until the moment was seen, or to the end; return what is in it.

    Raises what ``fetch`` raises, and what pg_waldump's reader raises for WAL that is garbled in its middle.
    """
    survey = WalSurvey(end_lsn=path.start)
    segments = path.segments()
    for start in range(0, len(segments), _STRETCH):
        if is_cancelled() or _is_enough(survey, moment, stop_lsn):
            return survey
        stretch = segments[start : start + _STRETCH]
        _fetch(stretch, spool, fetch)
        survey.segments += len(stretch)
        for timeline, first, last in _by_timeline(stretch):
            # A record may begin in the segment before: read that one again, it is still in the spool.
            begin = max(path.start, first.start - path.segment_bytes)
            wal = WalRange(spool.folder, timeline, path.segment_bytes, Lsn(begin), last.end)
            _add(survey, _scan(programs, wal, survey, moment), last)
    survey.is_complete = True
    return survey


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


def _scan(programs: ServerPrograms, wal: WalRange, survey: WalSurvey, moment: Moment) -> WalFacts:
    def on_end(end: TransactionEnd) -> None:
        if (isinstance(moment, AtXid) and end.xid == moment.xid) or (
            isinstance(moment, AtTime) and end.at > moment.time
        ):
            survey.reached = True

    if not (wal.folder / str(SegmentName.containing(wal.timeline, wal.start, wal.segment_bytes))).exists():
        wal = replace(wal, start=Lsn(wal.start // wal.segment_bytes * wal.segment_bytes + wal.segment_bytes))
    facts = scan_wal(programs, wal, on_transaction_end=on_end)
    if isinstance(moment, AtName):
        survey.reached |= any(point.name == moment.name for point in facts.restore_points)
    return facts


def _add(survey: WalSurvey, facts: WalFacts, last: SegmentName) -> None:
    if facts.end is WalEnd.DAMAGED:
        raise WalUnreadable(
            f"the archived WAL can't be read behind {facts.end_lsn}: {facts.detail}",
            hint=f"restore to a moment before it: --to-lsn {facts.end_lsn}",
        )
    survey.end_lsn = max(survey.end_lsn, min(facts.end_lsn, last.end))
    survey.commits += facts.commit_count
    if facts.last_commit_at is not None:
        if survey.last_commit_at is None or facts.last_commit_at > survey.last_commit_at:
            survey.last_commit_at = facts.last_commit_at
        survey.last_commit_lsn = facts.last_commit_lsn
    survey.tablespaces += [(item.lsn, item.oid, item.location) for item in facts.tablespaces_created]


def _is_enough(survey: WalSurvey, moment: Moment, stop_lsn: Lsn) -> bool:
    """Say whether reading on could change nothing for ``moment``."""
    if survey.end_lsn < stop_lsn:
        return False
    if isinstance(moment, AtLsn):
        return survey.end_lsn > moment.lsn
    return survey.reached or isinstance(moment, Immediate)


def open_spool(work: Path) -> Spool:
    """Return the spool in a restore's work folder, made if need be."""
    folder = work / "spool"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Spool(folder)
