"""A process may die at any storage operation: before it took effect, or after it did but before anybody knew.

Each test first lets the work pass once to learn how many operations it has, then kills it at each of them.
After that: nothing counts as complete that isn't, everything that counted before still does, nothing has to be
cleared away by a person, and the same work succeeds when it is started again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seawall.model.errors import SeawallError
from seawall.repository import layout
from seawall.repository.backups.catalog import Catalog
from seawall.repository.collect import execute_collection, observe_traces, plan_collection
from seawall.repository.errors import WrongKey
from seawall.repository.key_ring import list_slots, rotate_slot
from seawall.repository.leases import DEFAULT_LIFETIME_S
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.verify.whole import verify
from seawall.repository.wal.archive import WalArchive
from seawall.storage.errors import StoreUnavailable
from seawall.storage.memory import MemoryStore
from tests.faults.paper_server import (
    CLUSTER,
    FILES,
    SYSTEM,
    ManualClock,
    PaperServer,
    content_of,
    segment,
    segment_name,
)
from tests.support.faulty_store import Crash, Fault, FaultyStore, When

KEY = KeyFile("shop", b"k" * 40)
OTHER = KeyFile("other", b"o" * 40)
MOMENTS: tuple[When, When] = ("before", "after")


@dataclass(frozen=True)
class World:
    """One store, seen by the process that will die (``faulty``) and by everybody else."""

    clock: ManualClock
    store: MemoryStore
    faulty: FaultyStore
    server: PaperServer

    def open(self, *keys: KeyFile) -> Repository:
        """Open the repository as a process that lives."""
        return Repository.open(self.store, keys or [KEY], clock=self.clock)

    def open_doomed(self) -> Repository:
        """Open it as the process that will die."""
        return Repository.open(self.faulty, [KEY], clock=self.clock)


class FaultAt(Fault):
    """An error at one operation, by its number."""

    def __init__(self, number: int, when: When, store: FaultyStore) -> None:
        super().__init__(lambda: StoreUnavailable("the wire was cut", hint="wait"), when=when)
        self.number = number
        self.store = store

    def matches(self, operation: str, key: str) -> bool:
        return self.store.count == self.number


Prepare = Callable[[World], None]
Work = Callable[[World], object]


@pytest.fixture
def server(tmp_path: Path) -> PaperServer:
    return PaperServer(tmp_path, ManualClock())


def crashed_worlds(server: PaperServer, prepare: Prepare, work: Work) -> Iterator[tuple[str, World]]:
    """Yield the world after a crash at each operation of ``work``, and where that was."""
    world = new_world(server, prepare)
    work(world)
    whole = world.faulty.count
    assert whole > 3, "a work without operations proves nothing"
    for number in range(1, whole + 1):
        for when in MOMENTS:
            world = new_world(server, prepare)
            world.faulty.crash_at(number, when)
            if has_died(world, work):
                operation, key = world.faulty.trace[number - 1]
                yield f"{when} operation {number} of {whole}, {operation} {key}", world
            else:  # threads share the work out anew each time
                assert number > whole * 3 // 4, f"operation {number} of {whole} never came"
    yield from worlds_that_died_at_the_commit(server, prepare, work)


def worlds_that_died_at_the_commit(
    server: PaperServer, prepare: Prepare, work: Work
) -> Iterator[tuple[str, World]]:
    """Yield the worlds in which a backup died around its commit, found by its key.

    By number it can be missed: which number it has depends on how threads shared out the packs.
    """
    for when in MOMENTS:
        world = new_world(server, prepare)
        world.faulty.crash_on("put", "/commits/", when)
        if has_died(world, work):
            yield f"{when} the put of the commit", world


def has_died(world: World, work: Work) -> bool:
    try:
        work(world)
    except Crash:
        return True
    return False


def failed_worlds(server: PaperServer, prepare: Prepare, work: Work) -> Iterator[tuple[str, World, bool]]:
    """Yield the world after an error, not a crash, at each operation, and whether the work gave up."""
    world = new_world(server, prepare)
    work(world)
    for number, (operation, key) in enumerate(world.faulty.trace, start=1):
        for when in MOMENTS:
            world = new_world(server, prepare)
            world.faulty.fail(FaultAt(number, when, world.faulty))
            try:
                work(world)
                gave_up = False
            except SeawallError as error:
                assert error.hint, f"{operation} {key}: no remedy for {error}"
                gave_up = True
            yield f"an error {when} operation {number}, {operation} {key}", world, gave_up


def new_world(server: PaperServer, prepare: Prepare) -> World:
    store = MemoryStore(server.clock)
    world = World(server.clock, store, FaultyStore(store), server)
    prepare(world)
    return world


def empty_repository(world: World) -> None:
    Repository.create(world.store, [KEY], clock=world.clock)


def one_backup(world: World) -> None:
    empty_repository(world)
    world.server.backup(world.open(), world.open())


def two_dead_backups(world: World) -> None:
    """A complete backup, and two whose writers were killed so long ago that their leases have expired."""
    empty_repository(world)
    first = FaultyStore(world.store)
    world.server.backup(Repository.open(first, [KEY], clock=world.clock), world.open())
    for number in (first.count // 2, first.count * 3 // 4):
        doomed = FaultyStore(world.store)
        doomed.crash_at(number)
        with pytest.raises(Crash):
            world.server.backup(Repository.open(doomed, [KEY], clock=world.clock), world.open())
    world.clock.sleep(DEFAULT_LIFETIME_S + 1)


def take_backup(world: World) -> None:
    world.server.backup(world.open_doomed(), world.open())


def take_parallel_backup(world: World) -> None:
    world.server.backup(world.open_doomed(), world.open(), jobs=2)


def push_a_segment(world: World) -> None:
    world.server.push(world.open_doomed(), 4)


def collect(world: World) -> None:
    repository = world.open_doomed()
    execute_collection(repository, plan_collection(observe_traces(repository)))


def assert_sound(where: str, world: World, *, least: int = 0) -> int:
    """Everything is intact, and each backup that counts as complete restores; return how many there are."""
    repository = world.open()
    report = verify(repository)
    assert report.is_intact and not report.stray, f"{where}: {report.findings} {report.stray}"
    records = Catalog(repository, CLUSTER).backups(SYSTEM)
    for record in records:
        assert content_of(repository, record) == FILES, where
    assert len(records) >= least, f"{where}: a complete backup is gone"
    return len(records)


def assert_nothing_left_over(where: str, world: World) -> None:
    """Once the leases have expired, collection needs nobody's help and leaves nothing of dead backups."""
    world.clock.sleep(DEFAULT_LIFETIME_S + 1)
    repository = world.open()
    execute_collection(repository, plan_collection(observe_traces(repository)))
    complete = {record.id for record in Catalog(repository, CLUSTER).backups(SYSTEM)}
    kept = set(world.store.children(layout.backups_prefix(CLUSTER, SYSTEM)))
    assert kept == complete, f"{where}: {kept - complete} was not collected"
    assert not list(world.store.scan(layout.LEASES_PREFIX)), f"{where}: a lease was left"
    assert verify(repository).unfinished == [], where


@pytest.mark.parametrize(
    ("prepare", "work", "before"),
    [
        pytest.param(empty_repository, take_backup, 0, id="the first backup"),
        pytest.param(one_backup, take_backup, 1, id="a later backup"),
        pytest.param(one_backup, take_parallel_backup, 1, id="two threads"),
    ],
)
def test_a_backup_killed_anywhere(server: PaperServer, prepare: Prepare, work: Work, before: int) -> None:
    false_ends = 0
    for where, world in crashed_worlds(server, prepare, work):
        found = assert_sound(where, world, least=before)
        false_ends += found > before
        world.server.backup(world.open(), world.open())
        assert assert_sound(where, world) == found + 1, f"{where}: the next backup did not succeed"
        assert_nothing_left_over(where, world)
        assert_sound(where, world, least=found + 1)
    assert false_ends >= 1, "killed after its commit was stored, a backup is complete"


def test_a_backup_that_meets_an_error_anywhere(server: PaperServer) -> None:
    """Errors are not retried here, so nearly each one ends the backup; a store's own retries lie below."""
    for where, world, gave_up in failed_worlds(server, one_backup, take_backup):
        found = assert_sound(where, world, least=1)
        assert gave_up or found == 2, f"{where}: a success without a backup"
        assert not [thread for thread in threading.enumerate() if "lease" in thread.name], where
        world.server.backup(world.open(), world.open())
        assert assert_sound(where, world) == found + 1, where
        assert_nothing_left_over(where, world)


def test_a_push_that_meets_an_error_anywhere(server: PaperServer) -> None:
    for where, world, gave_up in failed_worlds(server, one_backup, push_a_segment):
        if not gave_up:
            assert WalArchive(world.open(), CLUSTER, SYSTEM).fetch(segment_name(4)) == segment(4), where
        assert not world.server.push(world.open(), 4).failed, where
        assert_sound(where, world, least=1)


def test_a_push_killed_anywhere(server: PaperServer) -> None:
    for where, world in crashed_worlds(server, one_backup, push_a_segment):
        assert_sound(where, world, least=1)
        again = world.server.push(world.open(), 4)
        assert not again.failed, where
        assert WalArchive(world.open(), CLUSTER, SYSTEM).fetch(segment_name(4)) == segment(4), where
        assert_sound(where, world, least=1)


def test_the_first_push_killed_anywhere(server: PaperServer) -> None:
    for where, world in crashed_worlds(server, empty_repository, push_a_segment):
        assert verify(world.open()).is_intact, where
        assert not world.server.push(world.open(), 4).failed, where
        assert WalArchive(world.open(), CLUSTER, SYSTEM).fetch(segment_name(4)) == segment(4), where


def test_a_collection_killed_anywhere(server: PaperServer) -> None:
    for where, world in crashed_worlds(server, two_dead_backups, collect):
        assert assert_sound(where, world) == 1, where
        assert_nothing_left_over(where, world)
        assert assert_sound(where, world) == 1, where


def test_a_creation_killed_anywhere(server: PaperServer) -> None:
    def create(world: World) -> None:
        Repository.create(world.faulty, [KEY, OTHER], clock=world.clock)

    def nothing(world: World) -> None:
        """The store is empty."""

    for where, world in crashed_worlds(server, nothing, create):
        if world.store.stat(layout.HEADER_KEY) is None:
            Repository.create(world.store, [KEY, OTHER], clock=world.clock)
        assert verify(world.open()).is_intact and verify(world.open(OTHER)).is_intact, where


def test_a_rotation_killed_anywhere(server: PaperServer) -> None:
    def rotate(world: World) -> None:
        rotate_slot(world.open_doomed(), "shop", OTHER)

    for where, world in crashed_worlds(server, one_backup, rotate):
        opening = OTHER if len(list(world.store.scan(layout.KEYS_PREFIX))) == 1 and not opens(world) else KEY
        repository = world.open(opening)
        assert verify(repository).is_intact, where
        assert 1 <= len(list_slots(repository).slots) <= 2, where
        if opening is KEY:
            rotate_slot(repository, "shop", OTHER)
        assert [slot.label for slot in list_slots(world.open(OTHER)).slots][-1] == "other", where


def opens(world: World) -> bool:
    try:
        world.open()
    except WrongKey:
        return False
    return True
