"""A reader's leases: seen by a collector while they are held, given up without fuss where they can't be had."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from seawall.model.clock import SystemClock
from seawall.model.errors import SeawallError
from seawall.repository.collect import execute_collection, observe_traces, plan_collection
from seawall.repository.leases import LeasePolicy, LeaseRole, observe_leases
from seawall.repository.reading import Reading
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.verify.whole import verify
from seawall.storage.errors import StoreFull, StoreRefused, StoreUnavailable
from seawall.storage.memory import MemoryStore
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.manual_clock import ManualClock
from tests.unit.repository.sample_repository import (
    CLUSTER,
    FIRST_ID,
    SECOND_ID,
    claim,
    push_segments,
    write_backup,
)

FAST = LeasePolicy(beat_s=0.02, lifetime_s=60)


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture
def repository(store: FaultyStore, key_file: KeyFile) -> Repository:
    found = Repository.create(store, [key_file], clock=SystemClock())
    claim(found, 1)
    push_segments(found, range(2, 5))
    write_backup(found, FIRST_ID)
    write_backup(found, SECOND_ID)
    return found


def held(repository: Repository) -> list[tuple[str, LeaseRole | None]]:
    return [(entry.backup_id, entry.role) for entry in observe_leases(repository)]


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("waited in vain")


def test_each_repository_has_the_lease_until_it_is_ended(repository: Repository, key_file: KeyFile) -> None:
    other = Repository.create(MemoryStore(), [key_file], clock=SystemClock())
    with Reading({"near": repository, "far": other}, CLUSTER, policy=FAST) as reading:
        reading.hold(FIRST_ID)
        assert reading.notes() == []
        for each in (repository, other):
            assert held(each) == [(FIRST_ID, LeaseRole.READER)]
        plan = plan_collection(observe_traces(repository))
        assert plan.expired_leases == () and execute_collection(repository, plan).collected == []
        assert held(repository) == [(FIRST_ID, LeaseRole.READER)]
    assert held(repository) == held(other) == []


def test_the_next_backup_is_held_before_the_last_one_is_let_go(
    repository: Repository, store: FaultyStore
) -> None:
    before = store.count
    with Reading({"far": repository}, CLUSTER) as reading:
        reading.hold(FIRST_ID)
        reading.hold(SECOND_ID)
        wait_until(lambda: held(repository) == [(SECOND_ID, LeaseRole.READER)])
    steps = [(operation, key) for operation, key in store.trace[before:] if key.startswith("leases/")]
    put = steps.index(("put", f"leases/{CLUSTER}/{SECOND_ID}/000001"))
    assert put < steps.index(("delete", f"leases/{CLUSTER}/{FIRST_ID}/000001"))


def test_the_lease_is_renewed(repository: Repository) -> None:
    with Reading({"far": repository}, CLUSTER, policy=FAST) as reading:
        reading.hold(FIRST_ID)
        wait_until(lambda: any(entry.key.endswith("000004") for entry in observe_leases(repository)))


@pytest.mark.parametrize("error", [StoreRefused, StoreFull, StoreUnavailable])
def test_a_repository_that_can_not_be_written_is_read_without_a_lease(
    repository: Repository, store: FaultyStore, error: type[SeawallError]
) -> None:
    store.fail(Fault(lambda: error("read-only", hint="none"), "put", "leases/", times=10_000))
    with Reading({"repository far": repository}, CLUSTER) as reading:
        reading.hold(FIRST_ID)
        (note,) = reading.notes()
        assert note.startswith("repository far gave no reader's lease") and note.endswith("read-only")
    assert held(repository) == []


def test_a_lease_that_is_refused_at_first_is_asked_for_again(
    repository: Repository, store: FaultyStore
) -> None:
    store.fail(Fault(lambda: StoreFull("full", hint="none"), "put", "leases/", times=2))
    with Reading({"far": repository}, CLUSTER, policy=FAST) as reading:
        reading.hold(FIRST_ID)
        wait_until(lambda: reading.notes() == [])
        assert held(repository) == [(FIRST_ID, LeaseRole.READER)]


def test_a_lease_that_lapsed_is_told(key_file: KeyFile) -> None:
    clock, store = ManualClock(), FaultyStore(MemoryStore())
    repository = Repository.create(store, [key_file], clock=clock)
    with Reading({"far": repository}, CLUSTER, policy=FAST) as reading:
        reading.hold(FIRST_ID)
        store.fail(Fault(lambda: StoreUnavailable("out", hint="wait"), "put", "leases/", times=10_000))
        asked = store.count
        wait_until(lambda: store.count > asked + 2)
        clock.advance(61)
        assert "it lapsed meanwhile (out)" in reading.notes()[0]


class HangingStore(FaultyStore):
    """Never answers a put of a lease until it is let go."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.let_go = threading.Event()

    def put(self, key: str, data: bytes | bytearray | memoryview) -> None:
        if key.startswith("leases/"):
            self.let_go.wait(30)
        super().put(key, data)


@pytest.fixture
def hanging() -> Iterator[HangingStore]:
    store = HangingStore(MemoryStore())
    yield store
    store.let_go.set()


def test_a_repository_that_hangs_holds_nobody_up(
    hanging: HangingStore, repository: Repository, key_file: KeyFile
) -> None:
    slow = Repository.create(hanging, [key_file], clock=SystemClock())
    reading = Reading({"slow": slow, "far": repository}, CLUSTER, policy=FAST, patience_s=0.1)
    reading.hold(FIRST_ID)
    wait_until(lambda: held(repository) == [(FIRST_ID, LeaseRole.READER)])
    (note,) = reading.notes()
    assert note.startswith("slow ") and "has not answered yet" in note
    hanging.let_go.set()
    wait_until(lambda: reading.notes() == [])
    reading.stop()
    assert held(slow) == held(repository) == []


@pytest.mark.parametrize("backup", [FIRST_ID, None])
def test_verify_holds_what_it_reads(repository: Repository, store: FaultyStore, backup: str | None) -> None:
    before = store.count
    assert verify(repository, backup=backup).is_intact
    read = store.trace[before:]
    place = f"/backups/{FIRST_ID}/pack/"
    packs = [number for number, (_, key) in enumerate(read) if place in key]
    lease = f"leases/{CLUSTER}/{FIRST_ID}/000001"
    assert read.index(("put", lease)) < packs[0] and packs[-1] < read.index(("delete", lease))
    assert held(repository) == []


def test_verify_reads_what_can_not_be_written(repository: Repository, store: FaultyStore) -> None:
    store.fail(Fault(lambda: StoreRefused("read-only", hint="none"), "put", "leases/", times=10_000))
    report = verify(repository)
    assert report.is_intact and len(report.backups) == 2
    (note,) = report.notes
    assert "gave no reader's lease" in note
