"""WAL file names, for every segment size that initdb allows (1 MiB to 1 GiB)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName, WalFileKind, classify, timeline_of

MIB = 1 << 20
SEGMENT_SIZES = [MIB << shift for shift in range(11)]

timelines = st.integers(min_value=1, max_value=2**32 - 1)
sizes = st.sampled_from(SEGMENT_SIZES)
positions = st.integers(min_value=0, max_value=2**64 - 1)


@st.composite
def segments(draw: st.DrawFn) -> SegmentName:
    return SegmentName.containing(draw(timelines), draw(positions), draw(sizes))


@given(segments())
def test_name_reads_back(segment: SegmentName) -> None:
    assert SegmentName.parse(str(segment), segment.segment_bytes) == segment


@given(segments())
def test_partial_and_backup_label_names_begin_with_their_segment(segment: SegmentName) -> None:
    for suffix in (".partial", ".00000028.backup"):
        assert SegmentName.parse(f"{segment}{suffix}", segment.segment_bytes) == segment


@given(segments())
def test_name_is_classified_and_tells_its_timeline(segment: SegmentName) -> None:
    assert classify(str(segment)) is WalFileKind.SEGMENT
    assert classify(f"{segment}.partial") is WalFileKind.PARTIAL
    assert classify(f"{segment}.00000028.backup") is WalFileKind.BACKUP_LABEL
    assert classify(f"{segment.timeline:08X}.history") is WalFileKind.HISTORY
    assert timeline_of(str(segment)) == segment.timeline


@given(timelines, positions, sizes)
def test_the_containing_segment_contains(timeline: int, position: int, size: int) -> None:
    segment = SegmentName.containing(timeline, position, size)
    assert segment.start <= position < segment.end
    assert segment.end - segment.start == size


@given(timelines, positions.filter(bool), sizes)
def test_the_ending_segment_holds_the_last_byte_before(timeline: int, position: int, size: int) -> None:
    segment = SegmentName.ending_at(timeline, position, size)
    assert segment.start < position <= segment.end


@given(segments().filter(lambda segment: segment.end < 2**64))
def test_the_next_segment_follows_without_a_gap_and_sorts_after(segment: SegmentName) -> None:
    following = segment.next()
    assert following.start == segment.end
    assert str(following) > str(segment)
    assert following > segment


@pytest.mark.parametrize(
    ("lsn", "size_mib", "name"),
    # as pg_walfile_name() answers on clusters of these segment sizes, timeline 1
    [
        ("0/1000000", 16, "000000010000000000000001"),
        ("0/FFFFFFFF", 16, "0000000100000000000000FF"),
        ("1/0", 16, "000000010000000100000000"),
        ("16/B374D848", 16, "0000000100000016000000B3"),
        ("0/1000000", 1, "000000010000000000000010"),
        ("0/FFFFFFFF", 1, "000000010000000000000FFF"),
        ("0/FFFFFFFF", 1024, "000000010000000000000003"),
        ("1/0", 1024, "000000010000000100000000"),
    ],
)
def test_known_names(lsn: str, size_mib: int, name: str) -> None:
    assert str(SegmentName.containing(1, Lsn.parse(lsn), size_mib * MIB)) == name


def test_a_boundary_belongs_to_the_segment_after_it_but_ends_the_one_before() -> None:
    boundary = Lsn.parse("0/2000000")
    assert str(SegmentName.containing(1, boundary, 16 * MIB)) == "000000010000000000000002"
    assert str(SegmentName.ending_at(1, boundary, 16 * MIB)) == "000000010000000000000001"


@pytest.mark.parametrize(
    ("name", "size_mib"),
    [
        ("000000010000000000000100", 16),  # 256 segments of 16 MiB make 4 GiB: the low part ends at FF
        ("000000010000000000000004", 1024),
        ("00000001000000000000000", 16),
        ("00000001000000000000000g", 16),
        ("00000001000000000000000a", 16),
        ("00000002.history", 16),
    ],
)
def test_refuses_names_that_no_cluster_of_that_size_writes(name: str, size_mib: int) -> None:
    with pytest.raises(ValueError, match=name):
        SegmentName.parse(name, size_mib * MIB)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "backup_label",
        "000000010000000000000001.gz",
        "000000010000000000000001.partial.tmp",
        "RECOVERYXLOG",
        "00000001.History",
        "000000010000000000000001.0000028.backup",
        "../00000001000000000000001",
        "000000010000000000000001\n",
    ],
)
def test_other_names_are_not_wal(name: str) -> None:
    assert classify(name) is None
