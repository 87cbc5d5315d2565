"""A process may die, and a store may fail, at any operation of an append: never half an entry, never one twice.

And a ledger may be changed by somebody at any bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from seawall.evidence.ledger import Ledger, new_entry_id
from seawall.evidence.places import place_in
from seawall.evidence.verify import verify_ledger
from seawall.model.errors import SeawallError
from seawall.storage.errors import StoreUnavailable
from seawall.storage.memory import MemoryStore
from seawall.storage.protocol import ObjectStore
from tests.support.faulty_store import Crash, Fault, FaultyStore, When
from tests.support.manual_clock import ManualClock
from tests.unit.evidence.sample_ledger import drill, key, note

MOMENTS: tuple[When, When] = ("before", "after")
Prepare = Callable[[ObjectStore], object]


def nothing(store: ObjectStore) -> None:
    """No ledger was begun."""


def begun(store: ObjectStore) -> None:
    ledger(store).append(note("before"), key())


def ledger(store: ObjectStore) -> Ledger:
    return Ledger(place_in(store), clock=ManualClock())


def append(store: ObjectStore, entry_id: str) -> object:
    return ledger(store).append(drill(), key(), entry_id=entry_id)


def drills_in(store: ObjectStore) -> int:
    """Return how many drills are recorded, in a ledger that is intact or not begun."""
    if ledger(store).head() is None:
        return 0
    report = verify_ledger(place_in(store), trusted=[key().public])
    assert report.is_intact, report.findings
    return sum(entry.type == "drill" for entry in report.entries)


class FaultAt(Fault):
    """An error at one operation, by its number."""

    def __init__(self, number: int, when: When, store: FaultyStore) -> None:
        super().__init__(lambda: StoreUnavailable("the wire was cut", hint="wait"), when=when)
        self.number = number
        self.store = store

    def matches(self, operation: str, key: str) -> bool:
        return self.store.count == self.number


def moments(prepare: Prepare) -> Iterator[tuple[FaultyStore, int, When]]:
    """Yield a prepared store for each operation of an append, before and after it took effect."""
    store = FaultyStore(MemoryStore())
    prepare(store.inner)
    append(store, new_entry_id())
    assert store.count > 8
    for number in range(1, store.count + 1):
        for when in MOMENTS:
            fresh = FaultyStore(MemoryStore())
            prepare(fresh.inner)
            yield fresh, number, when


@pytest.mark.parametrize("prepare", [nothing, begun])
def test_an_append_killed_anywhere(prepare: Prepare) -> None:
    outcomes = set()
    for store, number, when in moments(prepare):
        entry_id = new_entry_id()
        store.crash_at(number, when)
        try:
            append(store, entry_id)
        except Crash:
            outcomes.add(drills_in(store.inner))
        append(store.inner, entry_id)
        assert drills_in(store.inner) == 1, f"{when} operation {number}: {store.trace[number - 1]}"
    assert outcomes == {0, 1}, "killed behind the put, it is recorded"


@pytest.mark.parametrize("prepare", [nothing, begun])
def test_an_append_that_meets_an_error_anywhere(prepare: Prepare) -> None:
    """An append that says that it succeeded did, and one that failed succeeds when it is tried again."""
    survived = 0
    for store, number, when in moments(prepare):
        entry_id = new_entry_id()
        store.fail(FaultAt(number, when, store))
        try:
            append(store, entry_id)
        except SeawallError as error:
            assert error.hint
        else:
            survived += 1
            assert drills_in(store.inner) == 1
        append(store.inner, entry_id)
        assert drills_in(store.inner) == 1, f"{when} operation {number}: {store.trace[number - 1]}"
    assert survived >= 1, "a lost answer of the put is read back"


def test_a_writer_that_died_leaves_nothing_in_the_way_of_others() -> None:
    for store, number, when in moments(begun):
        store.crash_at(number, when)
        with pytest.raises(Crash):
            append(store, new_entry_id())
        ledger(store.inner).append(note("another host"), key())
        assert drills_in(store.inner) in (0, 1)


@pytest.mark.parametrize("bit", range(8))
def test_every_single_flipped_bit_is_found(bit: int) -> None:
    """Each bit of each object of a ledger with two entries, one at a time, this one of every byte."""
    sound = MemoryStore()
    ledger(sound).append(note("x"), key())
    objects = {info.key: sound.get(info.key) for info in sound.scan("evidence/")}
    assert len(objects) == 2
    for object_key, written in objects.items():
        for position in range(len(written)):
            store = MemoryStore()
            for name, data in objects.items():
                if name == object_key:
                    data = data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]
                store.put(name, data)
            assert verify_ledger(place_in(store)).findings, f"{object_key}, byte {position}, bit {bit}"
