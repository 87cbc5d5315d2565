"""Which WAL counts: timelines along a history, and epochs that wrote the same names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory, TimelineSwitch
from seawall.repository.wal.errors import NotAChild
from seawall.repository.wal.lineage import (
    Lineage,
    SegmentRange,
    Stretch,
    check_is_child,
    missing_ranges,
    plan_path,
    plan_stretches,
    union_ranges,
)
from seawall.repository.wal.terms import ForkPoint, Term, TermEvent

SIZE = 16 << 20


def at(segments: float) -> Lsn:
    """Return the position so many segments from the beginning."""
    return Lsn(int(segments * SIZE))


def history(*switches: tuple[int, float], timeline: int) -> TimelineHistory:
    return TimelineHistory(timeline, tuple(TimelineSwitch(left, at(where)) for left, where in switches))


def claim(epoch: int, fork: ForkPoint | None = None) -> Term:
    return Term(
        number=epoch,
        event=TermEvent.CLAIM,
        epoch=epoch,
        system_identifier=7,
        writer="w",
        data_directory="/d",
        host="h",
        forked_from=fork,
        claimed_by="ada",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        claim=epoch,
        previous_claim=epoch - 1,
    )


def stretches(to: float, along: TimelineHistory, start: float = 0) -> list[Stretch]:
    return plan_stretches(along, from_lsn=at(start), to_lsn=at(to), segment_bytes=SIZE)


def test_one_timeline_is_one_stretch_however_long() -> None:
    assert stretches(65_000 * 365, history(timeline=1)) == [Stretch((1,), 0, 65_000 * 365 - 1)]


def test_a_position_on_a_boundary_needs_nothing_behind_it() -> None:
    assert stretches(3, history(timeline=1), start=2) == [Stretch((1,), 2, 2)]
    assert stretches(3.001, history(timeline=1), start=2) == [Stretch((1,), 2, 3)]
    assert stretches(2, history(timeline=1), start=2) == []


def test_the_segment_of_a_switch_is_taken_from_the_new_timeline() -> None:
    assert stretches(9, history((1, 4.5), timeline=2)) == [Stretch((1,), 0, 3), Stretch((2,), 4, 8)]


def test_a_target_before_the_switch_is_served_by_either_copy() -> None:
    assert stretches(4.25, history((1, 4.5), timeline=2)) == [Stretch((1,), 0, 3), Stretch((2, 1), 4, 4)]


def test_a_switch_on_a_boundary_shares_no_segment() -> None:
    assert stretches(6, history((1, 4), timeline=2)) == [Stretch((1,), 0, 3), Stretch((2,), 4, 5)]


def test_two_switches_in_one_segment() -> None:
    twice = history((1, 4.2), (2, 4.6), timeline=3)
    assert stretches(6, twice) == [Stretch((1,), 0, 3), Stretch((3,), 4, 5)]
    assert stretches(4.5, twice)[-1] == Stretch((3, 2), 4, 4)
    assert stretches(4.1, twice)[-1] == Stretch((3, 2, 1), 4, 4)


@given(st.lists(st.integers(1, 400), max_size=5, unique=True), st.integers(0, 100), st.integers(1, 300))
def test_every_byte_of_the_path_is_in_a_segment_of_its_plan(
    switches: list[int], start: int, length: int
) -> None:
    """Against an oracle that asks for one byte after the other (ten bytes to a segment)."""
    ordered = sorted(switches)
    along = TimelineHistory(
        len(ordered) + 1, tuple(TimelineSwitch(number, Lsn(where)) for number, where in enumerate(ordered, 1))
    )
    planned = plan_stretches(along, from_lsn=start, to_lsn=start + length, segment_bytes=10)
    numbers = [number for item in planned for number in range(item.first, item.last + 1)]
    assert numbers == list(range(start // 10, (start + length - 1) // 10 + 1))
    begins = [0, *ordered]
    for item in planned:
        for number in range(item.first, item.last + 1):
            wanted = range(max(start, number * 10), min(start + length, number * 10 + 10))
            best = 1 + sum(where <= number * 10 + 9 for where in ordered)
            assert item.timelines[0] == best
            for timeline in item.timelines:
                begin, end = (
                    begins[timeline - 1],
                    ordered[timeline - 1] if timeline <= len(ordered) else 10**9,
                )
                # It has this segment at all, and what is wanted was not written after it was left.
                assert begin // 10 <= number and wanted[-1] < end


def test_requested_timeline_is_not_a_child_before_a_byte_is_copied() -> None:
    along = history((1, 4), timeline=2)
    check_is_child(along, 1, at(4))
    with pytest.raises(NotAChild) as caught:
        plan_path(
            along, backup_timeline=1, backup_stop=at(5), from_lsn=at(4.5), to_lsn=at(9), segment_bytes=SIZE
        )
    assert "left timeline 1 at 0/4000000, before 0/5000000" in caught.value.message
    with pytest.raises(NotAChild, match="does not descend from timeline 3 at all"):
        check_is_child(along, 3, at(1))


def test_a_path_reaches_at_least_the_backups_end() -> None:
    planned = plan_path(
        history(timeline=1), backup_timeline=1, backup_stop=at(5.5), from_lsn=at(4), to_lsn=at(5),
        segment_bytes=SIZE,
    )  # fmt: skip
    assert planned == [Stretch((1,), 4, 5)]


def test_one_epoch_counts_without_end() -> None:
    assert Lineage([claim(1)], SIZE).limits(1, [1]) == [(1, None)]


def test_a_promotion_leaves_the_old_timeline_whole() -> None:
    """The new primary archives the old timeline's ``.partial``: epoch 2 has a folder of timeline 1 as well.
    What epoch 1 wrote past the fork stays reachable, for whoever regrets the new timeline."""
    lineage = Lineage([claim(1), claim(2, ForkPoint(1, at(4.5)))], SIZE)
    assert lineage.limits(1, [1, 2]) == [(2, None), (1, None)]
    assert lineage.limits(2, [2]) == [(2, None)]


def test_a_moved_data_directory_takes_its_timeline_over_from_the_fork_on() -> None:
    fork = ForkPoint(1, at(4.5), is_same_timeline=True)
    lineage = Lineage([claim(1), claim(2, fork)], SIZE)
    assert lineage.limits(1, [1, 2]) == [(2, None), (1, 4)]
    again = Lineage([claim(1), claim(2, fork), claim(3, ForkPoint(1, at(2), is_same_timeline=True))], SIZE)
    assert again.limits(1, [1, 2, 3]) == [(3, None), (2, 2), (1, 2)]


def test_two_branches_of_one_number_never_mix() -> None:
    """Both sides of a partition were promoted to timeline 2; the later claim forked from timeline 1."""
    lineage = Lineage([claim(1), claim(2, ForkPoint(1, at(4))), claim(3, ForkPoint(1, at(5)))], SIZE)
    assert lineage.limits(2, [2, 3]) == [(3, None)]


def test_an_ancestors_leftovers_count_beside_the_ancestors_own() -> None:
    lineage = Lineage([claim(1), claim(2, ForkPoint(1, at(4))), claim(3, ForkPoint(2, at(6)))], SIZE)
    assert lineage.limits(1, [1, 3]) == [(3, None), (1, None)]


def test_holes_are_named_on_the_best_timeline() -> None:
    planned = [Stretch((1,), 0, 3), Stretch((2, 1), 4, 4), Stretch((2,), 5, 9)]
    assert missing_ranges(planned, {1: [(0, 1), (3, 4)], 2: [(5, 6), (8, 20)]}, SIZE) == [
        SegmentRange(1, 2, 2, SIZE),
        SegmentRange(2, 7, 7, SIZE),
    ]
    assert missing_ranges(planned, {}, SIZE)[1] == SegmentRange(2, 4, 4, SIZE)


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(0, 60), st.integers(0, 60))
def test_holes_are_exactly_what_is_in_no_timeline(one: set[int], two: set[int], a: int, b: int) -> None:
    first, last = min(a, b), max(a, b)
    present = {1: union_ranges((n, n) for n in one), 2: union_ranges((n, n) for n in two)}
    holes = missing_ranges([Stretch((2, 1), first, last)], present, SIZE)
    found = [number for hole in holes for number in range(hole.first, hole.last + 1)]
    assert found == sorted(set(range(first, last + 1)) - one - two)
    assert all(hole.count == hole.last - hole.first + 1 for hole in holes)


def test_ranges_name_their_segments() -> None:
    span = SegmentRange(2, 255, 257, SIZE)
    assert list(span.names()) == [
        "0000000200000000000000FF",
        "000000020000000100000000",
        "000000020000000100000001",
    ]
    assert str(span) == "0000000200000000000000FF to 000000020000000100000001"
    assert str(SegmentRange(2, 255, 255, SIZE)) == "0000000200000000000000FF"
