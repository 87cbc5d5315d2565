"""Names of the files that PostgreSQL archives (src/include/access/xlog_internal.h).

A segment is ``TTTTTTTTXXXXXXXXYYYYYYYY``: timeline, then the segment number split by how many
segments fit in 4 GiB, which depends on the cluster's WAL segment size.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from seawall.model.lsn import Lsn

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_PARTIAL = re.compile(r"[0-9A-F]{24}\.partial")
_BACKUP = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")


class WalFileKind(enum.Enum):
    """What ``archive_command`` may be handed ("Continuous Archiving": %f)."""

    SEGMENT = "segment"
    PARTIAL = "partial"
    BACKUP_LABEL = "backup-label"
    HISTORY = "history"


def classify(name: str) -> WalFileKind | None:
    """Return the kind of a WAL file name, or None if PostgreSQL never archives such a name."""
    if _SEGMENT.fullmatch(name):
        return WalFileKind.SEGMENT
    if _PARTIAL.fullmatch(name):
        return WalFileKind.PARTIAL
    if _BACKUP.fullmatch(name):
        return WalFileKind.BACKUP_LABEL
    if _HISTORY.fullmatch(name):
        return WalFileKind.HISTORY
    return None


def timeline_of(name: str) -> int:
    """Return the timeline that a name of any :class:`WalFileKind` begins with."""
    return int(name[:8], 16)


class SegmentName(NamedTuple):
    """One WAL segment: ``number`` counts segments of ``segment_bytes`` from LSN 0."""

    timeline: int
    number: int
    segment_bytes: int

    @classmethod
    def parse(cls, name: str, segment_bytes: int) -> SegmentName:
        """Read the first 24 characters of a segment, partial or backup-label name."""
        if not _SEGMENT.fullmatch(name[:24]):
            raise ValueError(f"not a WAL segment name: {name!r}")
        per_id = 0x100000000 // segment_bytes
        low = int(name[16:24], 16)
        if low >= per_id:
            raise ValueError(f"{name!r} is not a segment of {segment_bytes} bytes")
        return cls(int(name[:8], 16), int(name[8:16], 16) * per_id + low, segment_bytes)

    @classmethod
    def containing(cls, timeline: int, lsn: int, segment_bytes: int) -> SegmentName:
        """Return the segment that holds the byte at ``lsn`` (xlog_internal.h, XLByteToSeg)."""
        return cls(timeline, lsn // segment_bytes, segment_bytes)

    @classmethod
    def ending_at(cls, timeline: int, lsn: int, segment_bytes: int) -> SegmentName:
        """Return the segment of the last byte before ``lsn`` (XLByteToPrevSeg): what must be archived
        for everything below ``lsn`` to be replayable."""
        return cls(timeline, (lsn - 1) // segment_bytes, segment_bytes)

    @property
    def start(self) -> Lsn:
        return Lsn(self.number * self.segment_bytes)

    @property
    def end(self) -> Lsn:
        return Lsn((self.number + 1) * self.segment_bytes)

    def next(self) -> SegmentName:
        return SegmentName(self.timeline, self.number + 1, self.segment_bytes)

    def __str__(self) -> str:
        per_id = 0x100000000 // self.segment_bytes
        return f"{self.timeline:08X}{self.number // per_id:08X}{self.number % per_id:08X}"
