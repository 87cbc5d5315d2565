"""How much WAL lies ready beside a restored directory: a window that moves ahead of replay, not all of it.

What is outside of the window was proven to exist and was read once, to know what recovery will meet; it is
fetched again when replay comes near, by whoever watches the recovery (:mod:`seawall.restore.wal.feed`) or by
``wal get`` itself. A recovery over a few segments, the ordinary case, finds all of them in the window.
"""

from __future__ import annotations

from dataclasses import dataclass

from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.restore.planning.moment import AtLsn, Immediate, Moment
from seawall.restore.planning.prove import ProvenPath

_MOST_IN_A_STRETCH = 32


@dataclass(frozen=True, slots=True)
class WalWindow:
    """``ahead`` segments lie ready for replay; beside them ``stretch`` at a time are fetched to be read."""

    ahead: int
    stretch: int

    @classmethod
    def within(cls, spool_bytes: int, segment_bytes: int) -> WalWindow:
        """Return the window that fits into ``spool_bytes``; one segment of each kind at the very least."""
        most = spool_bytes // segment_bytes
        stretch = max(1, min(_MOST_IN_A_STRETCH, most // 4))
        # One more is kept of the stretch before: a record may begin in its last segment.
        return cls(max(1, most - stretch - 1), stretch)

    @property
    def most(self) -> int:
        """How many segments lie in the spool at once, at most."""
        return self.ahead + self.stretch + 1


def wanted_segments(path: ProvenPath, moment: Moment, stop_lsn: Lsn) -> list[tuple[int, SegmentName]]:
    """Return what a recovery to ``moment`` may read of ``path``, as far as that is known without reading it.

    ``stop_lsn`` is the end of the backup. To stop at a position PostgreSQL has to see a record that begins
    there or behind it, which may be in the segment after.
    """
    match moment:
        case Immediate():
            last = (stop_lsn - 1) // path.segment_bytes
        case AtLsn(lsn=lsn):
            last = max(stop_lsn, lsn) // path.segment_bytes + 1
        case _:
            return path.segments()
    return [item for item in path.segments() if item[1].number <= last]


def spool_need_bytes(path: ProvenPath, moment: Moment, stop_lsn: Lsn, window: WalWindow) -> int:
    """Return how much WAL will lie in the spool at once, at most."""
    return min(len(wanted_segments(path, moment, stop_lsn)), window.most) * path.segment_bytes
