"""The way through the WAL is proven from listings: holes, ends, timelines, epochs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from seawall.model.clock import SystemClock
from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory, TimelineSwitch
from seawall.repository.backups.record import BackupRecord
from seawall.repository.repository import Repository
from seawall.repository.wal.errors import NotAChild
from seawall.repository.wal.terms import ForkPoint
from seawall.restore.errors import TargetUnreachable, WalMissing
from seawall.restore.planning.moment import AtLsn, AtTime, Latest
from seawall.restore.planning.prove import ProvenPath, check_reach, prove_path
from seawall.storage.memory import MemoryStore
from tests.unit.repository.sample_repository import (
    CLUSTER,
    SEGMENT_BYTES,
    SYSTEM,
    archive_of,
    claim,
    push_segments,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def repository() -> Repository:
    found = Repository.create(MemoryStore(), [], clock=SystemClock(), encrypted=False)
    claim(found, 1)
    return found


def record(first: int, last: int, timeline: int = 1) -> BackupRecord:
    """Return a backup whose WAL are the segments ``first`` to ``last``."""
    return BackupRecord(
        id="20261125T104107Z-3fa9c1",
        cluster=CLUSTER,
        system_identifier=SYSTEM,
        started_at=NOW,
        stopped_at=NOW,
        start_lsn=at(first, 40),
        stop_lsn=at(last, 300),
        timeline=timeline,
        start_wal="",
        stop_wal="",
        pg_version_num=150000,
        wal_segment_bytes=SEGMENT_BYTES,
    )


def at(number: int, offset: int = 0) -> Lsn:
    return Lsn(number * SEGMENT_BYTES + offset)


def prove(repository: Repository, backup: BackupRecord, history: TimelineHistory | None = None) -> ProvenPath:
    return prove_path(archive_of(repository), backup, history or TimelineHistory(1))


def numbers(path: ProvenPath) -> list[tuple[int, int, int]]:
    return [(epoch, segment.timeline, segment.number) for epoch, segment in path.segments()]


def test_the_path_ends_with_the_archive(repository: Repository) -> None:
    push_segments(repository, range(2, 7))
    path = prove(repository, record(3, 4))
    assert numbers(path) == [(1, 1, n) for n in (3, 4, 5, 6)]
    assert (path.start, path.end, path.hole) == (at(3, 40), at(7), None)


def test_danger_02_a_hole_with_segments_behind_it_is_not_the_end(repository: Repository) -> None:
    push_segments(repository, range(3, 6))
    push_segments(repository, range(7, 9))
    path = prove(repository, record(3, 4))
    assert path.end == at(6) and path.hole is not None and path.hole.number == 6
    for moment in (Latest(), AtLsn(at(6, 1))):
        with pytest.raises(WalMissing, match="is missing") as caught:
            check_reach(path, moment, "memory:")
        assert str(path.end) in caught.value.hint
    check_reach(path, AtLsn(at(5, 77)), "memory:")
    check_reach(path, AtLsn(at(6)), "memory:")
    check_reach(path, AtTime(NOW), "memory:")  # the WAL itself will tell


@pytest.mark.parametrize("present", [range(4, 9), range(3, 4), range(0), range(5, 9)])
def test_a_backup_without_its_own_wal_is_refused(repository: Repository, present: range) -> None:
    push_segments(repository, present)
    with pytest.raises(WalMissing, match="without which backup"):
        prove(repository, record(3, 4))


def test_a_position_behind_the_archive_is_unreachable(repository: Repository) -> None:
    push_segments(repository, range(3, 6))
    with pytest.raises(TargetUnreachable):
        check_reach(prove(repository, record(3, 4)), AtLsn(at(6, 1)), "memory:")


def test_the_segment_of_a_switch_is_taken_from_the_child(repository: Repository) -> None:
    push_segments(repository, range(3, 9))
    push_segments(repository, range(5, 7), timeline=2)
    history = TimelineHistory(2, (TimelineSwitch(1, at(5, 100)),))
    path = prove(repository, record(3, 4), history)
    assert numbers(path) == [(1, 1, 3), (1, 1, 4), (1, 2, 5), (1, 2, 6)]
    assert path.end == at(7) and path.hole is None


def test_a_timeline_without_its_first_segment_is_no_way_to_the_latest_moment(repository: Repository) -> None:
    """A restored primary promoted, archived its history, and died: the end of timeline 1 must not be dropped."""
    push_segments(repository, range(3, 9))
    path = prove(repository, record(3, 4), TimelineHistory(2, (TimelineSwitch(1, at(6, 100)),)))
    assert path.end == at(6) and path.hole is not None and (path.hole.timeline, path.hole.number) == (2, 6)
    with pytest.raises(WalMissing, match="timeline 2 began at 0/600064") as caught:
        check_reach(path, Latest(), "memory:")
    assert "--timeline 1" in caught.value.hint
    check_reach(path, AtLsn(at(5, 8)), "memory:")


def test_a_timeline_that_began_at_a_border_needs_nothing_more(repository: Repository) -> None:
    push_segments(repository, range(3, 6))
    path = prove(repository, record(3, 3), TimelineHistory(2, (TimelineSwitch(1, at(6)),)))
    assert path.end == at(6) and path.hole is None


def test_a_switch_at_the_border_of_a_segment(repository: Repository) -> None:
    push_segments(repository, range(3, 5))
    push_segments(repository, range(5, 6), timeline=2)
    history = TimelineHistory(2, (TimelineSwitch(1, at(5)),))
    assert numbers(prove(repository, record(3, 3), history)) == [(1, 1, 3), (1, 1, 4), (1, 2, 5)]


def test_a_hole_before_the_switch_is_a_hole(repository: Repository) -> None:
    push_segments(repository, range(3, 5))
    push_segments(repository, range(7, 9), timeline=2)
    path = prove(repository, record(3, 3), TimelineHistory(2, (TimelineSwitch(1, at(7, 5)),)))
    assert path.end == at(5) and path.hole is not None and (path.hole.timeline, path.hole.number) == (1, 5)


def test_a_backup_behind_the_switch_can_not_follow(repository: Repository) -> None:
    push_segments(repository, range(3, 9))
    with pytest.raises(NotAChild):
        prove(repository, record(3, 6), TimelineHistory(2, (TimelineSwitch(1, at(5, 100)),)))


def test_an_old_epochs_segments_of_the_new_timeline_do_not_count(repository: Repository) -> None:
    push_segments(repository, range(3, 6))
    push_segments(repository, range(5, 9), timeline=2)  # a promoted clone wrote its own timeline 2
    claim(repository, 2, ForkPoint(1, at(5, 100)))
    push_segments(repository, range(5, 7), timeline=2, epoch=2)
    path = prove(repository, record(3, 4), TimelineHistory(2, (TimelineSwitch(1, at(5, 100)),)))
    assert numbers(path) == [(1, 1, 3), (1, 1, 4), (2, 2, 5), (2, 2, 6)]
