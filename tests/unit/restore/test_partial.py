"""When an unfinished segment counts: only as the last one of a timeline, and never before a whole one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from seawall.model.clock import SystemClock
from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory, TimelineSwitch
from seawall.repository.backups.record import BackupRecord
from seawall.repository.repository import Repository
from seawall.repository.wal.errors import WalNotFound
from seawall.repository.wal.terms import ForkPoint
from seawall.restore.errors import WalMissing
from seawall.restore.planning.moment import AtLsn, Latest
from seawall.restore.planning.prove import ProvenPath, check_reach, prove_path
from seawall.restore.planning.spec import WalFolder
from seawall.restore.wal.get import Fetch, with_partial
from seawall.storage.errors import StoreUnavailable
from seawall.storage.memory import MemoryStore
from tests.unit.repository.sample_repository import (
    FIRST_ID,
    SEGMENT_BYTES,
    archive_of,
    claim,
    push_segments,
    record_for,
    segment,
    segment_name,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def repository() -> Repository:
    found = Repository.create(MemoryStore(), [], clock=SystemClock(), encrypted=False)
    claim(found, 1)
    push_segments(found, range(3, 6))
    return found


def at(number: int, offset: int = 0) -> Lsn:
    return Lsn(number * SEGMENT_BYTES + offset)


def backup() -> BackupRecord:
    return record_for(FIRST_ID, start=3, stop=4)


def push_partial(repository: Repository, number: int, *, epoch: int = 1, timeline: int = 1) -> None:
    name = f"{segment_name(number, timeline)}.partial"
    archive_of(repository).push(epoch, name, segment(number, timeline))


def prove(repository: Repository, *left_at: Lsn, timeline: int = 1) -> ProvenPath:
    """Prove the way along a timeline that others left at the given positions."""
    others = {
        9 + number: TimelineHistory(9 + number, (TimelineSwitch(timeline, lsn),))
        for number, lsn in enumerate(left_at)
    }
    return prove_path(archive_of(repository), backup(), TimelineHistory(timeline), others)


def test_it_is_the_last_segment_of_the_timeline_that_was_left(repository: Repository) -> None:
    push_partial(repository, 6)
    path = prove(repository, at(6, 100))
    assert path.folders == (WalFolder(1, 1, 3, 5), WalFolder(1, 1, 6, 6, is_partial=True))
    assert path.ends_partial and path.hole is None
    assert (path.whole_end, path.end) == (at(6), at(7))
    check_reach(path, Latest(), "memory:")
    check_reach(path, AtLsn(at(6, 50)), "memory:")


def test_a_whole_segment_goes_before_it(repository: Repository) -> None:
    push_partial(repository, 6)
    push_segments(repository, range(6, 7))
    path = prove(repository, at(6, 100))
    assert path.folders == (WalFolder(1, 1, 3, 6),) and not path.ends_partial


def test_it_fills_no_gap_before_a_whole_segment(repository: Repository) -> None:
    push_partial(repository, 6)
    push_segments(repository, range(7, 8))
    path = prove(repository, at(6, 100))
    assert not path.ends_partial and path.end == at(6)
    assert path.hole is not None and path.hole.number == 6


def test_it_fills_no_gap_before_a_later_one(repository: Repository) -> None:
    """Somebody promoted at 6 for a test, the timeline went on, and was left for good at 8."""
    push_partial(repository, 6)
    push_partial(repository, 8)
    path = prove(repository, at(6, 100), at(8, 100))
    assert not path.ends_partial and path.end == at(6)
    assert path.hole is not None and path.hole.number == 6
    with pytest.raises(WalMissing):
        check_reach(path, Latest(), "memory:")


def test_a_tail_that_is_known_and_not_archived_is_a_hole(repository: Repository) -> None:
    path = prove(repository, at(6, 100))
    assert path.hole is not None and path.hole.number == 6
    with pytest.raises(WalMissing, match="more came after it") as caught:
        check_reach(path, Latest(), "memory:")
    assert f"--to-lsn {at(6)}" in caught.value.hint
    assert prove(repository, at(6)).hole is None, "left at a border, nothing is missing"
    assert prove(repository, at(5, 100)).hole is None


def test_no_backup_stands_on_it(repository: Repository) -> None:
    push_partial(repository, 6)
    other = record_for(FIRST_ID, start=3, stop=6)
    with pytest.raises(WalMissing, match="without which backup"):
        prove_path(archive_of(repository), other, TimelineHistory(1))


def test_the_new_writer_archives_it_in_its_own_epoch(repository: Repository) -> None:
    claim(repository, 2, ForkPoint(1, at(6, 100)))
    push_partial(repository, 6, epoch=2)
    assert prove(repository, at(6, 100)).folders[-1] == WalFolder(2, 1, 6, 6, is_partial=True)


def test_it_does_not_count_where_its_epoch_does_not(repository: Repository) -> None:
    """A data directory that moved took timeline 1 over at segment 5: what the old one archived after is void."""
    claim(repository, 2, ForkPoint(1, at(5), is_same_timeline=True))
    push_segments(repository, range(5, 6), epoch=2)
    push_partial(repository, 6, epoch=1)
    path = prove(repository)
    assert not path.ends_partial and path.end == at(6)


def test_along_a_history_the_childs_segment_is_taken(repository: Repository) -> None:
    push_partial(repository, 6)
    push_segments(repository, range(6, 8), timeline=2)
    history = TimelineHistory(2, (TimelineSwitch(1, at(6, 100)),))
    path = prove_path(archive_of(repository), backup(), history, {2: history})
    assert path.folders == (WalFolder(1, 1, 3, 5), WalFolder(1, 2, 6, 7))


def test_a_timeline_that_was_left_in_its_first_segment(repository: Repository) -> None:
    push_partial(repository, 6)
    push_partial(repository, 6, timeline=2)
    history = TimelineHistory(2, (TimelineSwitch(1, at(6, 100)),))
    later = TimelineHistory(3, (TimelineSwitch(1, at(6, 100)), TimelineSwitch(2, at(6, 200))))
    path = prove_path(archive_of(repository), backup(), history, {2: history, 3: later})
    assert path.folders == (WalFolder(1, 1, 3, 5), WalFolder(1, 2, 6, 6, is_partial=True))
    assert path.hole is None


PATH = (WalFolder(1, 1, 3, 5), WalFolder(2, 1, 6, 6, is_partial=True))
NAME = segment_name(6)


def archive(files: dict[str, bytes | Exception], asked: list[str]) -> Fetch:
    def fetch(epoch: int, name: str) -> bytes:
        asked.append(f"{epoch} {name}")
        found = files.get(name, WalNotFound(f"no {name}", hint="none"))
        if isinstance(found, Exception):
            raise found
        return found

    return fetch


def test_it_is_served_under_the_plain_name_and_at_full_length() -> None:
    asked: list[str] = []
    files: dict[str, bytes | Exception] = {f"{NAME}.partial": b"tail", segment_name(5): b"whole"}
    fetch = with_partial(archive(files, asked), PATH, 8)
    assert fetch(2, NAME) == b"tail\0\0\0\0"
    assert fetch(1, segment_name(5)) == b"whole"
    assert asked == [f"2 {NAME}", f"2 {NAME}.partial", f"1 {segment_name(5)}"]


def test_a_whole_one_that_came_meanwhile_is_served_instead() -> None:
    files: dict[str, bytes | Exception] = {f"{NAME}.partial": b"tail", NAME: b"complete"}
    assert with_partial(archive(files, []), PATH, 8)(2, NAME) == b"complete"


def test_a_store_that_is_out_is_not_taken_for_the_lack_of_a_whole_one() -> None:
    files: dict[str, bytes | Exception] = {
        f"{NAME}.partial": b"tail",
        NAME: StoreUnavailable("out", hint="wait"),
    }
    with pytest.raises(StoreUnavailable):
        with_partial(archive(files, []), PATH, 8)(2, NAME)


def test_no_other_segment_is_served_from_a_partial() -> None:
    name = segment_name(5)
    for path in (PATH, PATH[:1], ()):
        with pytest.raises(WalNotFound):
            with_partial(archive({f"{name}.partial": b"x"}, []), path, 8)(1, name)
