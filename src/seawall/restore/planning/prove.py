"""Prove before a byte is copied that the WAL for a recovery is there, segment by segment.

With a hole in the WAL, PostgreSQL replays up to it, takes it for the end and comes up without the rest, as if
all were well (research: restore succeeded, rows missing). So the path through timelines and epochs is worked
out here from listings, and its end is the *proven end*: below it, an absent segment is damage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory
from seawall.model.wal_name import SegmentName
from seawall.repository.backups.record import BackupRecord
from seawall.repository.wal.archive import WalArchive
from seawall.repository.wal.lineage import Lineage, check_is_child
from seawall.repository.wal.terms import TermLog
from seawall.restore.errors import TargetUnreachable, WalMissing
from seawall.restore.planning.moment import AtLsn, Latest, Moment
from seawall.restore.planning.spec import WalFolder


@dataclass(frozen=True, slots=True)
class ProvenPath:
    """Every segment from the backup's start along ``history``, without a hole, up to ``end``."""

    history: TimelineHistory
    folders: tuple[WalFolder, ...]
    start: Lsn
    end: Lsn
    segment_bytes: int
    hole: SegmentName | None
    """The first missing segment, where more is known to exist: later segments, or a switch that the history
    tells of. None if the archive simply ends."""

    @property
    def ends_partial(self) -> bool:
        """Whether the last segment is unfinished: then ``end`` is only a bound, and the WAL itself tells more."""
        return bool(self.folders) and self.folders[-1].is_partial

    @property
    def whole_end(self) -> Lsn:
        """The end of the last whole segment."""
        return Lsn(self.folders[-1].first * self.segment_bytes) if self.ends_partial else self.end

    @property
    def lacks_its_switch(self) -> bool:
        """Whether the timeline's first segment, with the end of its parent in it, is what is missing."""
        switches = self.history.switches
        return self.hole is not None and bool(switches) and self.end < switches[-1].at

    def segments(self) -> list[tuple[int, SegmentName]]:
        """Return (epoch, segment) in order of replay."""
        return [
            (folder.epoch, SegmentName(folder.timeline, number, self.segment_bytes))
            for folder in self.folders
            for number in range(folder.first, folder.last + 1)
        ]


def prove_path(
    archive: WalArchive,
    record: BackupRecord,
    history: TimelineHistory,
    histories: Mapping[int, TimelineHistory] | None = None,
) -> ProvenPath:
    """Follow the archive from the backup's start for as long as no segment is missing.

    ``histories`` are those of other timelines: where one of them left this one, its WAL got at least that far.

    Raises:
        NotAChild: the backup's end is not on ``history``.
        WalMissing: not even the backup's own WAL is whole; names the first missing segment.
    """
    check_is_child(history, record.timeline, record.stop_lsn)
    size = record.wal_segment_bytes
    claims = TermLog(archive.repository, archive.cluster).claims()
    present = _Present(archive, Lineage(claims, size))
    folders: list[WalFolder] = []
    number = record.start_lsn // size
    hole: SegmentName | None = None
    for timeline, last in _pieces(history, number, size):
        reached, stretch = present.follow(timeline, number, last)
        folders += stretch
        number = reached
        if last is None or reached <= last:
            if present.anything_after(timeline, number) or last is not None:
                hole = SegmentName(timeline, number, size)
            break
    whole_end = end = Lsn(number * size)
    known = _known_reach(history, histories or {})
    if hole is None and known <= end + size:
        partial = present.partial(history.timeline, number)
        if partial is not None:
            folders.append(partial)
            end = Lsn(end + size)
    if hole is None and end < known:
        hole = SegmentName(history.timeline, number, size)
    if whole_end < record.stop_lsn:
        missing = hole or SegmentName(record.timeline, number, size)
        raise WalMissing(
            f"WAL segment {missing}, without which backup {record.id} can't be made consistent, "
            f"is not in {archive.url}",
            hint="restore from an earlier backup (--backup), or another repository (--repository); "
            "`seawall wal gaps` shows what is missing",
            segment=str(missing),
        )
    return ProvenPath(history, tuple(folders), record.start_lsn, end, size, hole)


def check_reach(path: ProvenPath, moment: Moment, url: str) -> None:
    """Check what can be known without reading WAL: a position within the path, no hole before "latest".

    Raises:
        WalMissing: a hole lies before the moment.
        TargetUnreachable: the position is behind the end of the archive.
    """
    if isinstance(moment, AtLsn) and moment.lsn > path.end:
        if path.hole is not None:
            raise hole_error(path, moment, url)
        raise TargetUnreachable(
            f"{url} holds WAL up to {path.end}, and {moment.lsn} lies behind it",
            hint=f"--to-lsn {path.end} or --latest; a segment may still be on its way to the archive",
        )
    if isinstance(moment, Latest) and path.hole is not None:
        raise hole_error(path, moment, url)


def hole_error(path: ProvenPath, moment: Moment, url: str) -> WalMissing:
    """Return the error that says that a hole lies on the way to ``moment``."""
    if path.lacks_its_switch and path.hole is not None and path.hole.timeline == path.history.timeline:
        switch = path.history.switches[-1]
        return WalMissing(
            f"timeline {path.history.timeline} began at {switch.at}, but its first WAL segment {path.hole} is "
            f"not in {url}: {moment} can't be reached along it, and the end of timeline {switch.timeline} would "
            "be lost",
            hint="wait until the server that began it has archived it. If that server is gone: "
            f"--timeline {switch.timeline} (everything that is archived of it, also what came after {switch.at}), "
            f"or --timeline {switch.timeline} --to-lsn {switch.at}",
            segment=str(path.hole),
        )
    return WalMissing(
        f"WAL segment {path.hole} is missing in {url}, although more came after it: {moment} can't be reached",
        hint=f"restore up to the hole with --to-lsn {path.end}, or from another repository (--repository)",
        segment=str(path.hole),
    )


def _known_reach(history: TimelineHistory, histories: Mapping[int, TimelineHistory]) -> Lsn:
    """Return how far the WAL of the timeline is known to have got: to where it began, and was left for another.

    An archive that ends before that doesn't end, it lacks something.
    """
    reached = [switch.at for switch in history.switches]
    for other in histories.values():
        reached += [switch.at for switch in other.switches if switch.timeline == history.timeline]
    return max(reached, default=Lsn(0))


class _Present:
    """What the archive holds of each timeline, by epoch, listed once."""

    def __init__(self, archive: WalArchive, lineage: Lineage) -> None:
        self._archive = archive
        self._lineage = lineage
        self._epochs: dict[int, list[int]] = {}
        for folder in archive.folders():
            self._epochs.setdefault(folder.timeline, []).append(folder.epoch)
        self._ranges: dict[int, list[tuple[int, int, int]]] = {}

    def follow(self, timeline: int, number: int, last: int | None) -> tuple[int, list[WalFolder]]:
        """Return the first number from ``number`` on that is missing (or behind ``last``), and what was passed."""
        passed: list[WalFolder] = []
        while last is None or number <= last:
            found = next((item for item in self._of(timeline) if item[1] <= number <= item[2]), None)
            if found is None:
                break
            epoch, _, stop = found
            stop = stop if last is None else min(stop, last)
            passed.append(WalFolder(epoch, timeline, number, stop))
            number = stop + 1
        return number, passed

    def partial(self, timeline: int, number: int) -> WalFolder | None:
        """Return where the segment's ``.partial`` is, None if there is none that counts.

        A server that begins a timeline archives what it has of the old one's last segment so. To be asked only
        where neither the whole segment nor a later one is archived: a ``.partial`` fills no gap.
        """
        name = f"{SegmentName(timeline, number, self._lineage.segment_bytes)}.partial"
        for epoch, end in self._lineage.limits(timeline, self._epochs.get(timeline, [])):
            if (end is None or number < end) and self._archive.has(epoch, name):
                return WalFolder(epoch, timeline, number, number, is_partial=True)
        return None

    def anything_after(self, timeline: int, number: int) -> bool:
        return any(stop > number for _, _, stop in self._of(timeline))

    def _of(self, timeline: int) -> Sequence[tuple[int, int, int]]:
        """Return (epoch, first, last) of all that counts of a timeline."""
        if timeline not in self._ranges:
            found: list[tuple[int, int, int]] = []
            for epoch, end in self._lineage.limits(timeline, self._epochs.get(timeline, [])):
                for item in self._archive.segments(timeline, epoch=epoch):
                    last = item.last if end is None else min(item.last, end - 1)
                    if item.first <= last:
                        found.append((epoch, item.first, last))
            self._ranges[timeline] = found
        return self._ranges[timeline]


def _pieces(history: TimelineHistory, first: int, size: int) -> list[tuple[int, int | None]]:
    """Return (timeline, last segment number) in order; a segment that holds a switch is the child's.

    The server copies the older part of that segment over when it begins a timeline (xlog.c, XLogInitNewTimeline).
    """
    pieces: list[tuple[int, int | None]] = []
    for switch in history.switches:
        last = switch.at // size - 1
        if last >= first:
            pieces.append((switch.timeline, last))
    pieces.append((history.timeline, None))
    return pieces
