"""A WAL segment must be what its name says."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from seawall.postgres.errors import WalSegmentInvalid
from seawall.postgres.files.wal_file import MAJOR_BY_MAGIC, check_segment, read_page_header

SYSTEM = 7712038907164211038
SIZE = 16 << 20
NAME = "000000030000000A000000FF"


def head(
    *,
    magic: int = 0xD110,
    flags: int = 2,
    timeline: int = 3,
    address: int = 0xAFF000000,
    system: int = SYSTEM,
    segment: int = SIZE,
) -> bytes:
    """Return a segment's first bytes."""
    return struct.pack("<HHIQIIQII", magic, flags, timeline, address, 0, 0, system, segment, 8192)


def reason_of(name: str, raw: bytes, size: int = SIZE, **expected: int) -> str:
    """Return why a segment is refused."""
    with pytest.raises(WalSegmentInvalid) as caught:
        check_segment(name, raw, size, system_identifier=SYSTEM, **expected)
    assert name in caught.value.message
    assert caught.value.hint
    return str(caught.value.fields["reason"])


def test_a_good_segment_is_described() -> None:
    header = check_segment(NAME, head(), SIZE, system_identifier=SYSTEM, major=15)
    assert (header.major, header.timeline, header.segment_bytes) == (15, 3, SIZE)
    assert str(header.page_address) == "A/FF000000"


def test_a_partial_segment_is_checked_the_same_way() -> None:
    check_segment(f"{NAME}.partial", head(), SIZE, system_identifier=SYSTEM)
    assert reason_of(f"{NAME}.partial", head(address=0)) == "page-address"


@pytest.mark.parametrize("major", sorted(MAJOR_BY_MAGIC.values()))
def test_every_major_is_known_by_its_magic(major: int) -> None:
    magic = next(number for number, of in MAJOR_BY_MAGIC.items() if of == major)
    assert read_page_header(head(magic=magic)).major == major


def test_other_segment_sizes() -> None:
    one_mib = head(segment=1 << 20, address=5 << 20, timeline=1)
    check_segment("000000010000000000000005", one_mib, 1 << 20, system_identifier=SYSTEM)


def test_a_segment_begun_on_the_parent_timeline_is_good() -> None:
    """After a promotion the first segment is a copy of the parent's up to the switch."""
    assert check_segment(NAME, head(timeline=2), SIZE, system_identifier=SYSTEM).timeline == 2


@pytest.mark.parametrize(
    ("raw", "size", "reason"),
    [
        (b"", 0, "size"),
        (head()[:39], SIZE, "size"),
        (head(), SIZE - 1, "size"),
        (head(), SIZE * 2, "size"),
        (bytes(64), SIZE, "zeros"),
        (head(magic=0xD106), SIZE, "magic"),
        (b"not WAL at all, just a file of somebody", SIZE, "size"),
        (b"not WAL at all, but a long file of somebody else", SIZE, "magic"),
        (head(flags=0), SIZE, "flags"),
        (head(flags=0x12), SIZE, "flags"),
        (head(segment=SIZE + 1), SIZE, "segment-size"),
        (head(segment=0), 0, "segment-size"),
        (head(system=1), SIZE, "system-identifier"),
        (head(address=0xAFE000000), SIZE, "page-address"),
        (head(timeline=4), SIZE, "timeline"),
        (head(timeline=0), SIZE, "timeline"),
    ],
)
def test_what_is_refused_and_why(raw: bytes, size: int, reason: str) -> None:
    assert reason_of(NAME, raw, size) == reason


def test_another_version_is_refused() -> None:
    assert reason_of(NAME, head(), major=16) == "version"


def test_a_name_that_such_segments_cant_have_is_refused() -> None:
    big = head(segment=64 << 20)
    assert reason_of("000000030000000A00000040", big, 64 << 20) == "name"


def test_the_import_is_light() -> None:
    """It is on the path of every archived segment."""
    heavy = (
        "[name for name in ('numpy', 'psycopg', 'msgspec', 'subprocess', 'asyncio') if name in sys.modules]"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import seawall.postgres.files.wal_file, sys; print({heavy})"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"
