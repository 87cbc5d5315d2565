"""Leases: expiry by the store's clock alone, holders that interleave, and a heartbeat that survives outages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from seawall.model.clock import SystemClock
from seawall.repository.format.frames import ObjectKind
from seawall.repository.leases import (
    MAX_LIFETIME_S,
    Heartbeat,
    Lease,
    LeasePolicy,
    LeaseRole,
    live_backups,
    observe_leases,
    observe_store_time,
)
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.storage.errors import ObjectExists, StoreUnavailable
from seawall.storage.protocol import Buffer, ObjectInfo
from tests.unit.repository.tiny_store import TinyStore

ID = "20261125T104107Z-3fa9c1"


class HandClock:
    """Clocks that a test moves. The wall clock is wrong on purpose: nothing may depend on it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(1999, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class ClockedStore(TinyStore):
    """A store with a clock of its own, which stamps what is put, and that can be out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.time = datetime(2026, 11, 25, tzinfo=UTC)
        self.stamps: dict[str, datetime] = {}
        self.is_out = False
        self.loses_answers = False

    def put(self, key: str, data: Buffer) -> None:
        if self.is_out:
            raise StoreUnavailable("out")
        super().put(key, data)
        self.stamps[key] = self.time
        if self.loses_answers and key.startswith("leases/"):
            raise StoreUnavailable("the answer was lost")

    def stat(self, key: str) -> ObjectInfo | None:
        info = super().stat(key)
        return info and ObjectInfo(key, info.size_bytes, self.stamps[key])

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        for info in super().scan(prefix):
            yield ObjectInfo(info.key, info.size_bytes, self.stamps[info.key])

    def delete(self, key: str) -> None:
        if self.is_out:
            raise StoreUnavailable("out")
        super().delete(key)


@pytest.fixture
def store() -> ClockedStore:
    return ClockedStore()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def repository(store: ClockedStore, clock: HandClock, key_file: KeyFile) -> Repository:
    return Repository.create(store, [key_file], clock=clock)


def acquire(repository: Repository, role: LeaseRole = LeaseRole.WRITER) -> Lease:
    return Lease.acquire(repository, "main", ID, role=role, lifetime_s=600)


def is_live(repository: Repository) -> bool:
    return ("main", ID) in live_backups(observe_leases(repository), observe_store_time(repository.store))


def lease_names(store: TinyStore) -> list[str]:
    return store.children(f"leases/main/{ID}/")


def test_a_lease_lives_until_its_lifetime_has_passed_in_the_store(
    repository: Repository, store: ClockedStore
) -> None:
    acquire(repository)
    assert is_live(repository)
    store.time += timedelta(seconds=599)
    assert is_live(repository)
    store.time += timedelta(seconds=1)
    assert not is_live(repository)


def test_renewal_moves_on_and_leaves_one_entry(repository: Repository, store: ClockedStore) -> None:
    lease = acquire(repository)
    for expected in ("000002", "000003"):
        store.time += timedelta(seconds=500)
        lease.renew()
        assert lease_names(store) == [expected]
        assert is_live(repository)
    lease.release()
    lease.release()
    assert lease_names(store) == [] and not is_live(repository)


def test_probing_the_stores_clock_leaves_nothing(repository: Repository, store: ClockedStore) -> None:
    before = dict(store.objects)
    assert observe_store_time(store) == store.time
    assert store.objects == before


def test_a_second_writer_of_one_backup_is_refused(repository: Repository, store: ClockedStore) -> None:
    acquire(repository)
    before = dict(store.objects)
    with pytest.raises(ObjectExists):
        acquire(repository)
    assert store.objects == before


def test_readers_share_a_backup_and_end_apart(repository: Repository, store: ClockedStore) -> None:
    one, two = (acquire(repository, LeaseRole.READER) for _ in range(2))
    assert len(lease_names(store)) == 2
    one.renew()
    two.renew()
    one.renew()
    assert len(lease_names(store)) == 2
    assert {entry.role for entry in observe_leases(repository)} == {LeaseRole.READER}
    one.release()
    assert is_live(repository)
    two.release()
    assert not is_live(repository)


def test_a_beat_whose_answer_was_lost_is_found_to_be_ones_own(
    repository: Repository, store: ClockedStore
) -> None:
    lease = acquire(repository)
    store.loses_answers = True
    with pytest.raises(StoreUnavailable):
        lease.renew()
    store.loses_answers = False
    lease.renew()
    assert lease_names(store) == ["000002"]


def test_a_damaged_entry_counts_as_live_for_a_day(repository: Repository, store: ClockedStore) -> None:
    acquire(repository)
    key = f"leases/main/{ID}/000001"
    store.objects[key] = store.objects[key][:-1]
    store.time += timedelta(seconds=MAX_LIFETIME_S - 1)
    assert is_live(repository)
    store.time += timedelta(seconds=1)
    assert not is_live(repository)


def test_nobody_can_claim_to_live_for_ever(repository: Repository, store: ClockedStore) -> None:
    with pytest.raises(ValueError):
        Lease.acquire(repository, "main", ID, role=LeaseRole.WRITER, lifetime_s=MAX_LIFETIME_S + 1)
    record = b'{"at":"2026-11-25T00:00:00+00:00","holder":"h","lifetime_s":999999999,"role":"writer"}'
    repository.write_object(f"leases/main/{ID}/000001", ObjectKind.LEASE, record)
    store.time += timedelta(seconds=MAX_LIFETIME_S)
    assert not is_live(repository)


def test_other_keys_below_leases_are_no_leases(repository: Repository, store: ClockedStore) -> None:
    for key in ("leases/x", "leases/main/notes/000001"):
        store.put(key, b"")
    assert list(observe_leases(repository)) == []


def state_of(heartbeat: Heartbeat) -> tuple[bool, bool]:
    return isinstance(heartbeat.failure, StoreUnavailable), heartbeat.is_lapsed


def test_a_beat_that_fails_is_retried_and_lapse_is_noticed(
    repository: Repository, store: ClockedStore, clock: HandClock
) -> None:
    heartbeat = Heartbeat(acquire(repository), clock=clock, beat_s=60)
    store.is_out = True
    clock.seconds = 599
    heartbeat.beat()
    assert state_of(heartbeat) == (True, False)
    clock.seconds = 600
    assert state_of(heartbeat) == (True, True)
    store.is_out = False
    heartbeat.beat()
    assert state_of(heartbeat) == (False, False)
    heartbeat.check()
    heartbeat.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it never came true")


def test_the_thread_beats_until_stopped(store: ClockedStore, key_file: KeyFile) -> None:
    repository = Repository.create(store, [key_file], clock=SystemClock())
    policy = LeasePolicy(beat_s=0.001, lifetime_s=60)
    with Heartbeat.start(repository, cluster="main", backup_id=ID, policy=policy) as heartbeat:
        wait_until(lambda: heartbeat.lease.number > 3)
        assert is_live(repository)
    assert lease_names(store) == []
    heartbeat.stop()


def test_a_store_that_is_out_at_the_end_leaves_an_entry_that_expires(
    repository: Repository, store: ClockedStore
) -> None:
    heartbeat = Heartbeat.start(repository, cluster="main", backup_id=ID)
    store.is_out = True
    heartbeat.stop()
    assert isinstance(heartbeat.failure, StoreUnavailable)
    store.is_out = False
    store.time += timedelta(seconds=LeasePolicy().lifetime_s)
    assert not is_live(repository)


def test_a_bug_in_the_thread_is_raised_where_it_is_seen(store: ClockedStore, key_file: KeyFile) -> None:
    repository = Repository.create(store, [key_file], clock=SystemClock())
    heartbeat = Heartbeat.start(
        repository, cluster="main", backup_id=ID, policy=LeasePolicy(beat_s=0.001, lifetime_s=60)
    )
    store.stamps = None  # type: ignore[assignment]

    def is_raised() -> bool:
        try:
            heartbeat.check()
        except TypeError:
            return True
        return False

    wait_until(is_raised)
    store.stamps = {}
    heartbeat.stop()
