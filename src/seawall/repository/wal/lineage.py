"""Which epoch's folder holds each WAL segment on the way to a target. Pure: terms and histories in, plan out.

PostgreSQL follows one path through the timelines; the repository adds epochs, because two writers may have
written the same segment names: the old primary and the new one. Everything about timelines and epochs that
could make a recovery fail is settled here, before a byte is copied ("requested timeline is not a child").

Two facts decide. Along a history, a segment that contains a switch point is complete on the newer timeline
(the server copies the older part over: xlogrecovery.c, XLogFileReadAnyTLI tries the newest first), and good
on the older one only up to the switch. And an epoch's files of a timeline stop counting where a later epoch
took that timeline over, or entirely if a later epoch began a timeline of the same number by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory
from seawall.model.wal_name import SegmentName
from seawall.repository.wal.errors import NotAChild
from seawall.repository.wal.terms import ForkPoint, Term, TermEvent


@dataclass(frozen=True, slots=True, order=True)
class SegmentRange:
    """The segments ``first`` to ``last``, both included, of one timeline."""

    timeline: int
    first: int
    last: int
    segment_bytes: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def names(self) -> Iterator[str]:
        """Yield every name, in order."""
        for number in range(self.first, self.last + 1):
            yield str(SegmentName(self.timeline, number, self.segment_bytes))

    def __str__(self) -> str:
        first = SegmentName(self.timeline, self.first, self.segment_bytes)
        if self.count == 1:
            return str(first)
        return f"{first} to {SegmentName(self.timeline, self.last, self.segment_bytes)}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive segments that may be taken from any of ``timelines``, the best one first."""

    timelines: tuple[int, ...]
    first: int
    last: int


class Lineage:
    """The epochs of one cluster, as far as they decide whose WAL counts."""

    def __init__(self, claims: Iterable[Term], segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self._forks: dict[int, ForkPoint | None] = {
            claim.epoch: claim.forked_from for claim in claims if claim.event is TermEvent.CLAIM
        }

    def limits(self, timeline: int, epochs: Iterable[int]) -> list[tuple[int, int | None]]:
        """Say which segments of ``timeline`` count in each of ``epochs`` that have a folder of it.

        Returns (epoch, first number that no longer counts, None for no end), the newest epoch first; epochs
        of which nothing counts are left out.
        """
        result: list[tuple[int, int | None]] = []
        end: int | None = None
        for epoch in sorted(epochs, reverse=True):
            if end is None or end > 0:
                result.append((epoch, end))
            end = _earliest(end, self._ends_older(epoch, timeline))
        return result

    def _ends_older(self, epoch: int, timeline: int) -> int | None:
        """Return from which segment on ``epoch`` ends what older epochs wrote of ``timeline``."""
        fork = self._forks.get(epoch)
        if fork is None or fork.timeline > timeline:
            return None  # the first epoch, or leftovers of an ancestor that a later writer archived
        if fork.timeline < timeline:
            return 0  # it began this timeline itself; an older one of the same number is another branch
        return fork.lsn // self.segment_bytes if fork.is_same_timeline else None


def _earliest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def check_is_child(history: TimelineHistory, timeline: int, lsn: Lsn) -> None:
    """Check that a server at ``lsn`` on ``timeline``, a backup's end, can follow ``history``.

    Raises:
        NotAChild: it never could; names where the history left that timeline.
    """
    if history.includes(timeline, lsn):
        return
    left = next((switch.at for switch in history.switches if switch.timeline == timeline), None)
    if left is None:
        reason = f"timeline {history.timeline} does not descend from timeline {timeline} at all"
    else:
        reason = f"timeline {history.timeline} left timeline {timeline} at {left}, before {lsn}"
    raise NotAChild(
        f"timeline {history.timeline} can't be reached from {lsn} on timeline {timeline}: {reason}",
        hint=f"choose an earlier backup, or --timeline {timeline}",
        timeline=timeline,
        lsn=str(lsn),
        target_timeline=history.timeline,
    )


def plan_stretches(
    history: TimelineHistory, *, from_lsn: int, to_lsn: int, segment_bytes: int
) -> list[Stretch]:
    """Return the segments that hold the bytes from ``from_lsn`` to before ``to_lsn`` along ``history``.

    As compact as the history: a terabyte of WAL on one timeline is one stretch.
    """
    if to_lsn <= from_lsn:
        return []
    first, last = from_lsn // segment_bytes, (to_lsn - 1) // segment_bytes
    edges = {first, last, last + 1}
    for switch in history.switches:
        number = switch.at // segment_bytes
        edges |= {edge for edge in (number, number + 1) if first < edge <= last}
    starts = sorted(edges)
    result: list[Stretch] = []
    for start, end in pairwise(starts):
        timelines = _timelines_for(history, start, to_lsn, segment_bytes)
        if result and result[-1].timelines == timelines:
            result[-1] = Stretch(timelines, result[-1].first, end - 1)
        else:
            result.append(Stretch(timelines, start, end - 1))
    return result


def _timelines_for(history: TimelineHistory, number: int, to_lsn: int, segment_bytes: int) -> tuple[int, ...]:
    """Return the timelines of which segment ``number`` holds all bytes wanted, the newest first."""
    start, wanted_end = number * segment_bytes, min(to_lsn, (number + 1) * segment_bytes)
    result: list[int] = []
    begin = 0
    for switch in history.switches:
        if begin // segment_bytes <= number and wanted_end <= switch.at and start < switch.at:
            result.append(switch.timeline)
        begin = switch.at
    if begin // segment_bytes <= number:
        result.append(history.timeline)
    return tuple(reversed(result))


def plan_path(
    history: TimelineHistory, *, backup_timeline: int, backup_stop: Lsn, from_lsn: Lsn, to_lsn: Lsn,
    segment_bytes: int,
) -> list[Stretch]:  # fmt: skip
    """Return the stretches that a recovery of a backup along ``history`` reads, up to ``to_lsn``.

    Raises:
        NotAChild: the backup's end is not on the history; nothing was copied yet.
    """
    check_is_child(history, backup_timeline, backup_stop)
    return plan_stretches(
        history, from_lsn=from_lsn, to_lsn=max(to_lsn, backup_stop), segment_bytes=segment_bytes
    )


def missing_ranges(
    stretches: Sequence[Stretch], present: Mapping[int, Sequence[tuple[int, int]]], segment_bytes: int
) -> list[SegmentRange]:
    """Return what of ``stretches`` is in none of its timelines.

    ``present`` has sorted, disjoint (first, last) numbers by timeline. A missing segment is named on its
    best timeline.
    """
    result: list[SegmentRange] = []
    for stretch in stretches:
        holes = [(stretch.first, stretch.last)]
        for timeline in stretch.timelines:
            holes = _subtract(holes, present.get(timeline, ()))
        best = stretch.timelines[0]
        result += [SegmentRange(best, first, last, segment_bytes) for first, last in holes]
    return result


def _subtract(holes: Sequence[tuple[int, int]], present: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for first, last in holes:
        for start, end in present:
            if end < first:
                continue
            if start > last:
                break
            if start > first:
                result.append((first, start - 1))
            first = end + 1
        if first <= last:
            result.append((first, last))
    return result


def union_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return sorted, disjoint, maximal (first, last) pairs that cover the same numbers."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result
