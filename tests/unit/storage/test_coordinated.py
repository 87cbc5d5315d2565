"""Two stores as one: control objects where one creator wins, data where it can't be promised."""

from __future__ import annotations

import pytest

from seawall.storage.coordinated import CoordinatedStore, is_control_key
from seawall.storage.errors import ObjectExists
from seawall.storage.memory import MemoryStore
from seawall.storage.probe import require_safe
from seawall.storage.protocol import Abilities, Buffer, LockState, ObjectLock

SYSTEM = "clusters/main/7712042811824995824"


class Overwriting(MemoryStore):
    """What some S3-compatible servers are: a put of an existing key replaces it."""

    def put(self, key: str, data: Buffer) -> None:
        self.delete(key)
        super().put(key, data)

    def probe(self) -> Abilities:
        return super().probe()._replace(conditional_put=False, details=("it overwrites",))


@pytest.fixture
def store() -> CoordinatedStore:
    return CoordinatedStore(Overwriting(), MemoryStore())


@pytest.mark.parametrize(
    "key",
    [
        "seawall.json",
        "keys/47a94584.json",
        "clusters/main/term/000001",
        f"{SYSTEM}/commits/20261125T104107Z-3fa9c1",
        "leases/main/20261125T104107Z-3fa9c1/000001",
    ],
)
def test_what_decides_is_created_once(store: CoordinatedStore, key: str) -> None:
    assert is_control_key(key)
    store.put(key, b"first")
    with pytest.raises(ObjectExists):
        store.put(key, b"second")
    assert store.get(key) == b"first"


@pytest.mark.parametrize(
    "key",
    [
        f"{SYSTEM}/backups/20261125T104107Z-3fa9c1/pack/00ff",
        f"{SYSTEM}/backups/20261125T104107Z-3fa9c1/manifest",
        f"{SYSTEM}/wal/00000001-00000001/000000010000000000000001",
        f"{SYSTEM}/diverged/00000001-00000001/000000010000000000000001",
    ],
)
def test_data_is_looked_for_before_it_is_written(store: CoordinatedStore, key: str) -> None:
    assert not is_control_key(key)
    store.put(key, b"first")
    with pytest.raises(ObjectExists):
        store.put(key, b"second")
    with pytest.raises(ObjectExists), store.open_writer(key) as writer:
        writer.write(b"third")
        writer.commit()
    assert store.get(key) == b"first"


def test_a_data_object_that_appeared_while_one_was_streamed_is_not_replaced(store: CoordinatedStore) -> None:
    key = f"{SYSTEM}/backups/20261125T104107Z-3fa9c1/manifest"
    with store.open_writer(key) as writer:
        writer.write(b"late")
        store.put(key, b"early")
        with pytest.raises(ObjectExists):
            writer.commit()
    assert store.get(key) == b"early"


def test_a_listing_is_the_ordered_union(store: CoordinatedStore) -> None:
    keys = [
        "clusters/main/term/000001",
        f"{SYSTEM}/backups/x/manifest",
        f"{SYSTEM}/commits/x",
        f"{SYSTEM}/wal/00000001-00000001/a",
        "seawall.json",
    ]
    for key in reversed(keys):
        store.put(key, b"")
    assert [info.key for info in store.scan("")] == sorted(keys, key=str.encode)
    assert store.children(f"{SYSTEM}/") == ["backups", "commits", "wal"]
    store.delete(keys[0])
    assert store.stat(keys[0]) is None


def test_the_pair_is_safe_where_the_first_alone_is_not(store: CoordinatedStore) -> None:
    require_safe(store.probe(), store.url)


class LockedStore(MemoryStore):
    """Says of its lock what it is told to."""

    def __init__(self, lock: ObjectLock) -> None:
        super().__init__()
        self.lock = lock

    def object_lock(self) -> ObjectLock:
        return self.lock


def test_the_weaker_lock_counts() -> None:
    """From the weakest to the strongest: a pair of any two is as strong as the weaker one, in either place."""
    week, month = 7 * 86_400, 30 * 86_400
    by_strength = [
        ObjectLock(LockState.NO, "none"),
        ObjectLock(LockState.UNKNOWN, "no answer"),
        ObjectLock(LockState.YES),
        ObjectLock(LockState.YES, mode="COMPLIANCE", retention_s=week),
        ObjectLock(LockState.YES, mode="GOVERNANCE", retention_s=month),
        ObjectLock(LockState.YES, mode="COMPLIANCE", retention_s=month),
    ]
    for index, weaker in enumerate(by_strength):
        for stronger in by_strength[index:]:
            for pair in ((weaker, stronger), (stronger, weaker)):
                assert CoordinatedStore(*map(LockedStore, pair)).object_lock() == weaker
