"""Read the page header at the start of a WAL segment, and check that a segment is what its name says.

An archive is fed by name, and names lie: recycled segments still hold their old pages, a clone's or a
template's server archives into the wrong place, a full disk leaves zeros. Everything needed to notice is
in the first 40 bytes (xlog_internal.h, XLogLongPageHeaderData).

On the path of ``wal push``: imports nothing heavy.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.errors import WalSegmentInvalid

HEADER_BYTES = 40
"""Bytes at the start of a segment that :func:`read_page_header` needs."""

SHORT_HEADER_BYTES = 24

MAJOR_BY_MAGIC = {0xD10D: 14, 0xD110: 15, 0xD113: 16, 0xD116: 17, 0xD118: 18}
"""XLOG_PAGE_MAGIC of each release."""

_HEADER = struct.Struct("<HHIQI4xQII")
_LONG_HEADER = 0x0002
_KNOWN_FLAGS = 0x000F
_MIB = 1024 * 1024


class WalPageHeader(NamedTuple):
    """The long header of a segment's first page.

    ``timeline`` is that of the page, which is older than the segment's own in the first segment of a
    new timeline: the server copies the old one's up to the switch.
    """

    major: int
    flags: int
    timeline: int
    page_address: Lsn
    system_identifier: int
    segment_bytes: int
    block_bytes: int


def read_page_header(head: bytes | bytearray | memoryview) -> WalPageHeader:
    """Take the first HEADER_BYTES of a segment apart.

    Raises WalSegmentInvalid if they are no first page of a segment of a known version.
    """
    if len(head) < HEADER_BYTES:
        raise _invalid("", "size", f"has only {len(head)} bytes")
    magic, flags, timeline, address, _, identifier, segment, block = _HEADER.unpack_from(head)
    if magic not in MAJOR_BY_MAGIC:
        if not any(head[:HEADER_BYTES]):
            raise _invalid("", "zeros", "begins with zeros: it was never written")
        raise _invalid("", "magic", f"is no WAL of PostgreSQL 14 to 18 (it begins with {magic:04X})")
    if not flags & _LONG_HEADER or flags & ~_KNOWN_FLAGS:
        raise _invalid("", "flags", f"does not begin like a segment (page flags {flags:04X})")
    if segment & (segment - 1) or not _MIB <= segment <= 1024 * _MIB:
        raise _invalid("", "segment-size", f"claims an impossible segment size ({segment} bytes)")
    return WalPageHeader(MAJOR_BY_MAGIC[magic], flags, timeline, Lsn(address), identifier, segment, block)


def check_segment(
    name: str,
    head: bytes | bytearray | memoryview,
    size_bytes: int,
    *,
    system_identifier: int,
    major: int | None = None,
) -> WalPageHeader:
    """Check a segment (or ``.partial``) of ``size_bytes`` against its name and its server.

    ``head`` is its first HEADER_BYTES or more; ``major`` is checked if given.

    Raises:
        WalSegmentInvalid: it is not what it should be; the field ``reason`` is one of ``size``,
            ``zeros``, ``magic``, ``flags``, ``segment-size``, ``version``, ``system-identifier``,
            ``name``, ``page-address``, ``timeline``.
    """
    try:
        header = read_page_header(head)
    except WalSegmentInvalid as error:
        raise _invalid(name, str(error.fields["reason"]), str(error.fields["problem"])) from None
    if size_bytes != header.segment_bytes:
        raise _invalid(name, "size", f"has {size_bytes} bytes instead of {header.segment_bytes}")
    if major is not None and header.major != major:
        raise _invalid(name, "version", f"was written by PostgreSQL {header.major}, not {major}")
    if header.system_identifier != system_identifier:
        raise _invalid(
            name,
            "system-identifier",
            f"belongs to the system {header.system_identifier}, not to {system_identifier}",
        )
    try:
        segment = SegmentName.parse(name, header.segment_bytes)
    except ValueError as error:
        raise _invalid(name, "name", f"has an impossible name: {error}") from error
    if header.page_address != segment.start:
        raise _invalid(
            name, "page-address", f"holds the WAL at {header.page_address}, not at {segment.start}: recycled"
        )
    if not 0 < header.timeline <= segment.timeline:
        raise _invalid(name, "timeline", f"holds WAL of timeline {header.timeline}, later than its name's")
    return header


_HINTS = {
    "size": "was the copy cut short, or the file system full?",
    "zeros": "was the copy cut short, or the file system full?",
    "system-identifier": "another server, a clone or an upgraded one archives here: give each its own repository",
    "version": "was the server upgraded? Its new system identifier needs a new generation in the repository",
}


def _invalid(name: str, reason: str, problem: str) -> WalSegmentInvalid:
    return WalSegmentInvalid(
        f"WAL segment {name} {problem}" if name else f"the WAL segment {problem}",
        hint=_HINTS.get(reason, "pg_waldump shows what the file really holds"),
        name=name,
        reason=reason,
        problem=problem,
    )
