"""Collection: what is dead goes, what may live stays, and a crash at any step only delays it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from seawall.model.clock import SystemClock
from seawall.repository.backups.catalog import Catalog
from seawall.repository.backups.writer import BackupWriter
from seawall.repository.collect import (
    BackupTrace,
    CollectionPlan,
    CommitState,
    Traces,
    execute_collection,
    observe_traces,
    plan_collection,
)
from seawall.repository.errors import BackupCollected
from seawall.repository.leases import Lease, LeaseEntry, LeaseRole
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.verify.whole import verify
from seawall.storage.protocol import Buffer, ObjectInfo
from tests.unit.repository.sample_repository import (
    CLUSTER,
    FIRST_ID,
    SECOND_ID,
    begin_backup,
    claim,
    push_segments,
    record_for,
    write_backup,
)
from tests.unit.repository.tiny_store import TinyStore

DEAD_ID = "20261127T030000Z-00dead"
LONG = timedelta(days=2)


class Crash(BaseException):
    """The process dies here."""


class AgingStore(TinyStore):
    """A store whose clock a test moves, and that can die at one operation before or after it took effect."""

    def __init__(self) -> None:
        super().__init__()
        self.time = datetime(2026, 11, 27, tzinfo=UTC)
        self.stamps: dict[str, datetime] = {}
        self.crash_at = 0
        self.crashes_after = False

    def put(self, key: str, data: Buffer) -> None:
        self._step(before=True)
        super().put(key, data)
        self.stamps[key] = self.time
        self._step(before=False)

    def delete(self, key: str) -> None:
        self._step(before=True)
        super().delete(key)
        self._step(before=False)

    def get(self, key: str) -> bytes:
        self._step(before=True)
        return super().get(key)

    def stat(self, key: str) -> ObjectInfo | None:
        self._step(before=True)
        info = super().stat(key)
        return info and ObjectInfo(key, info.size_bytes, self.stamps[key])

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        self._step(before=True)
        for info in super().scan(prefix):
            yield ObjectInfo(info.key, info.size_bytes, self.stamps[info.key])

    def _step(self, *, before: bool) -> None:
        if before:
            self.crash_at -= 1
        if self.crash_at == 0 and before is not self.crashes_after:
            raise Crash


@pytest.fixture
def store() -> AgingStore:
    return AgingStore()


@pytest.fixture
def repository(store: AgingStore, key_file: KeyFile) -> Repository:
    return Repository.create(store, [key_file], clock=SystemClock())


def abandon(repository: Repository, backup_id: str = DEAD_ID) -> BackupWriter:
    """Write all of a backup but its commit, as a writer that is suspended: it beats no more."""
    return begin_backup(repository, backup_id, seed=9)


def collect(repository: Repository) -> list[str]:
    return execute_collection(repository, plan_collection(observe_traces(repository))).collected


def of_backup(store: TinyStore, backup_id: str) -> list[str]:
    return [key for key in store.objects if backup_id in key and "/commits/" not in key]


def test_a_dead_backup_goes_and_everything_else_stays(repository: Repository, store: AgingStore) -> None:
    claim(repository, 1)
    push_segments(repository, range(2, 6))
    write_backup(repository, FIRST_ID)
    before = dict(store.objects)
    writer = abandon(repository)
    store.time += LONG
    plan = plan_collection(observe_traces(repository))
    assert [item.trace.backup_id for item in plan.dead] == [DEAD_ID]
    assert "never committed" in plan.dead[0].reason and plan.stored_bytes > 0
    result = execute_collection(repository, plan)
    assert result.collected == [DEAD_ID] and result.deleted_objects == plan.dead[0].trace.object_count
    mark = [key for key in store.objects if key not in before]
    assert mark == [f"clusters/{CLUSTER}/7412345678901234567/commits/{DEAD_ID}"]
    assert {key: store.objects[key] for key in before} == before
    with pytest.raises(BackupCollected):
        writer.commit(record_for(DEAD_ID, start=2, stop=3))
    writer.abort()
    assert [backup.id for backup in Catalog(repository, CLUSTER).backups(7412345678901234567)] == [FIRST_ID]
    assert verify(repository).is_intact
    assert collect(repository) == []


def test_a_live_writer_is_spared(repository: Repository, store: AgingStore) -> None:
    with abandon(repository) as writer:
        plan = plan_collection(observe_traces(repository))
        assert plan.dead == () and "lease is live" in plan.spared[0][1]
        before = dict(store.objects)
        execute_collection(repository, plan)
        assert store.objects == before
        writer.commit(record_for(DEAD_ID, start=2, stop=3))


def test_a_writer_that_wakes_before_the_mark_wins(repository: Repository, store: AgingStore) -> None:
    writer = abandon(repository)
    store.time += LONG
    plan = plan_collection(observe_traces(repository))
    record = writer.commit(record_for(DEAD_ID, start=2, stop=3))
    result = execute_collection(repository, plan)
    assert (result.collected, result.spared) == ([], [DEAD_ID])
    assert verify(repository, backup=DEAD_ID).backups == [record.id]
    assert not [item for item in verify(repository).findings if "pack" in item.key]


def test_a_lease_that_was_renewed_since_the_plan_spares(repository: Repository, store: AgingStore) -> None:
    writer = abandon(repository)
    store.time += LONG
    plan = plan_collection(observe_traces(repository))
    writer._heartbeat.beat()
    assert execute_collection(repository, plan).spared == [DEAD_ID]
    writer.abort()


def test_expired_leases_of_committed_backups_go(repository: Repository, store: AgingStore) -> None:
    write_backup(repository, FIRST_ID)
    Lease.acquire(repository, CLUSTER, FIRST_ID, role=LeaseRole.READER)
    before = {key for key in store.objects if not key.startswith("leases/")}
    assert collect(repository) == [] and len(store.objects) == len(before) + 1
    store.time += LONG
    assert collect(repository) == []
    assert set(store.objects) == before


def test_a_lease_number_that_went_to_a_new_holder_is_not_deleted(
    repository: Repository, store: AgingStore
) -> None:
    write_backup(repository, FIRST_ID)
    old = Lease.acquire(repository, CLUSTER, FIRST_ID, role=LeaseRole.READER)
    store.time += LONG
    plan = plan_collection(observe_traces(repository))
    old.release()
    Lease.acquire(repository, CLUSTER, FIRST_ID, role=LeaseRole.READER)
    execute_collection(repository, plan)
    assert [key for key in store.objects if key.startswith("leases/")] == [f"leases/main/{FIRST_ID}/000001"]


@pytest.mark.parametrize("crashes_after", [False, True])
def test_a_crash_at_every_operation_leaves_all_readable_and_the_next_run_ends_it(
    key_file: KeyFile, crashes_after: bool
) -> None:
    crash_at = 1
    while True:
        store = AgingStore()
        repository = Repository.create(store, [key_file], clock=SystemClock())
        claim(repository, 1)
        push_segments(repository, range(2, 6))
        write_backup(repository, FIRST_ID)
        writer = abandon(repository)
        store.time += LONG
        store.crash_at, store.crashes_after = crash_at, crashes_after
        try:
            collect(repository)
        except Crash:
            pass
        is_done = store.crash_at > 0
        store.crash_at = 0
        report = verify(repository)
        assert report.is_intact and report.backups == [FIRST_ID], report.findings
        collect(repository)
        assert of_backup(store, DEAD_ID) == []
        assert of_backup(store, FIRST_ID)
        with pytest.raises(BackupCollected):
            writer.commit(record_for(DEAD_ID, start=2, stop=3))
        writer.abort()
        if is_done:
            break
        crash_at += 1
    assert crash_at > 8


def lease(backup_id: str, age_s: int, now: datetime) -> LeaseEntry:
    key = f"leases/main/{backup_id}/000001"
    return LeaseEntry(
        key, "main", backup_id, now - timedelta(seconds=age_s), LeaseRole.WRITER, "h", lifetime_s=600
    )


@pytest.mark.parametrize(
    ("state", "age_s", "count", "other"),
    list(product(CommitState, [None, 0, 599, 600], [0, 3], [False, True])),
)
def test_the_decision_over_its_whole_input_space(
    state: CommitState, age_s: int | None, count: int, other: bool
) -> None:
    """``other``: a live lease on another backup, which must make no difference."""
    now = datetime(2026, 11, 27, tzinfo=UTC)
    leases = [lease(FIRST_ID, age_s, now)] if age_s is not None else []
    if other:
        leases.append(lease(SECOND_ID, 0, now))
    trace = BackupTrace("main", 7, FIRST_ID, state, count, count * 100)
    plan: CollectionPlan = plan_collection(Traces((trace,), tuple(leases), now))
    is_lease_live = age_s is not None and age_s < 600
    is_dead = state in (CommitState.NONE, CommitState.ABORTED) and not is_lease_live and count > 0
    assert [item.trace for item in plan.dead] == ([trace] if is_dead else [])
    expired = [entry for entry in leases if not entry.is_live(now)]
    handled = {entry.key for entry in plan.expired_leases} | {
        key for item in plan.dead for key in item.lease_keys
    }
    assert handled == {entry.key for entry in expired}
    if state is CommitState.COMMITTED:
        assert plan.spared == ()
