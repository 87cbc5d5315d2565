"""What is pushed ahead is as safe as what PostgreSQL asked for, and never in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.backup.wal.acknowledgements import Acknowledgements, take_acknowledgement
from seawall.backup.wal.ahead import push_ahead, waiting_behind
from seawall.backup.wal.push import PushTarget, WalPusher
from seawall.repository.layout import wal_key
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.wal.archive import WalArchive
from seawall.storage.errors import StoreUnavailable
from seawall.storage.memory import MemoryStore
from tests.faults.paper_server import CLUSTER, SYSTEM, ManualClock, PaperServer, segment, segment_name
from tests.support.faulty_store import Fault, FaultyStore

KEY = KeyFile("shop", b"k" * 40)
EPOCH = 1


class Backlog:
    """A server whose archiver has fallen behind, and its repository behind a store that can fail."""

    def __init__(self, folder: Path, ready: range) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.faulty = FaultyStore(self.store)
        self.server = PaperServer(folder, self.clock)
        self.plan = folder / "plan.yaml"
        self.plan.write_text("version: 1\n")
        self.wal = self.server.data / "pg_wal"
        (self.wal / "archive_status").mkdir()
        Repository.create(self.store, [KEY], clock=self.clock)
        for number in ready:
            (self.wal / segment_name(number)).write_bytes(segment(number))
            (self.wal / "archive_status" / f"{segment_name(number)}.ready").touch()

    def pusher(self) -> WalPusher:
        def open_it() -> Repository:
            return Repository.open(self.faulty, [KEY], clock=self.clock)

        return WalPusher(
            cluster=CLUSTER,
            data_directory=self.server.data,
            state_directory=self.server.state,
            targets=[PushTarget("far", "required", open_it)],
        )

    def push(self, number: int, folders: list[str] | None = None) -> list[str]:
        """Push one segment, then what waits behind it; return the names of those."""
        pusher = self.pusher()
        path = Path("pg_wal") / segment_name(number)
        notes = Acknowledgements(str(self.plan), None, settled_ns=0, folders=folders)
        pusher.push(path)
        waiting = waiting_behind(self.server.data, path)
        return sorted(push_ahead(pusher, waiting, notes).files)

    def archived(self) -> list[str]:
        archive = WalArchive(Repository.open(self.store, [KEY], clock=self.clock), CLUSTER, SYSTEM)
        return [name for folder in archive.folders() for name in archive.names(folder)]

    def is_noted(self, number: int) -> bool:
        return take_acknowledgement(str(self.plan), None, str(self.wal / segment_name(number)))


@pytest.fixture(autouse=True)
def notes_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def names(numbers: range) -> list[str]:
    return [segment_name(number) for number in numbers]


def test_what_is_ready_behind_it_is_pushed_and_noted(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, range(3, 9))
    assert backlog.push(3) == names(range(4, 9))
    assert backlog.archived() == names(range(3, 9))
    assert [backlog.is_noted(number) for number in range(3, 9)] == [False, *[True] * 5]


def test_what_is_not_ready_is_not_pushed(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, range(3, 5))
    status = backlog.wal / "archive_status"
    (backlog.wal / segment_name(7)).write_bytes(segment(7))  # the server still writes it
    (backlog.wal / segment_name(8)).write_bytes(segment(8))
    (status / f"{segment_name(8)}.done").touch()
    (status / f"{segment_name(9)}.partial.ready").touch()
    (status / "00000002.history.ready").touch()
    (status / "notes.txt.ready").touch()
    assert backlog.push(3) == names(range(4, 5))
    assert backlog.archived() == names(range(3, 5))


def test_an_error_ahead_is_raised_only_when_its_turn_comes(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, range(3, 5))
    (backlog.wal / segment_name(4)).write_bytes(bytes(len(segment(4))))
    assert backlog.push(3) == []
    assert backlog.archived() == names(range(3, 4))
    assert not backlog.is_noted(4)


def test_a_store_that_stops_answering_leaves_notes_only_of_what_it_has(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, range(3, 12))
    last = segment_name(6)
    key = wal_key(CLUSTER, SYSTEM, EPOCH, 1, last)
    backlog.faulty.fail(Fault(lambda: StoreUnavailable("out", hint="wait"), "put", key, times=99))
    pushed = backlog.push(3)
    assert last not in pushed
    assert set(pushed) <= set(backlog.archived())
    noted = [segment_name(number) for number in range(3, 12) if backlog.is_noted(number)]
    assert noted == pushed


def test_what_is_archived_already_is_noted_too(tmp_path: Path) -> None:
    """A crash between the push and its note: the next one finds it identical."""
    backlog = Backlog(tmp_path, range(3, 6))
    backlog.pusher().push(Path("pg_wal") / segment_name(5))
    assert backlog.push(3) == names(range(4, 6))
    assert backlog.is_noted(5)


def test_large_segments_are_pushed_one_by_one(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, range(3, 5))
    with open(backlog.wal / segment_name(3), "r+b") as file:
        file.truncate(65 << 20)
    assert waiting_behind(backlog.server.data, Path("pg_wal") / segment_name(3)) == []


def test_nothing_more_is_pushed_where_no_note_can_be_left(tmp_path: Path) -> None:
    """Each call would push all of it again."""
    backlog = Backlog(tmp_path, range(3, 40))
    (tmp_path / "a file").touch()
    pushed = backlog.push(3, folders=[str(tmp_path / "a file")])
    assert 0 < len(pushed) <= 4, "one for each worker"


def test_under_a_plan_that_is_still_being_written_nothing_is_pushed_ahead(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, range(3, 40))
    pusher = backlog.pusher()
    first = Path("pg_wal") / segment_name(3)
    pusher.push(first)
    backlog.plan.write_text("version: 1 \n")
    notes = Acknowledgements(str(backlog.plan), None)
    assert push_ahead(pusher, waiting_behind(backlog.server.data, first), notes).files == {}
    assert backlog.archived() == names(range(3, 4))
