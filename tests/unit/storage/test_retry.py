"""Retries: what is tried again, for how long, and what an unknown outcome turns into."""

from __future__ import annotations

import pytest

from seawall.storage.errors import ObjectExists, ObjectMissing, StoreRefused, StoreUnavailable
from seawall.storage.memory import MemoryStore
from seawall.storage.retry import PART_BYTES, RetryingStore, RetryPolicy
from tests.support.faulty_store import Crash, Fault, FaultyStore
from tests.support.manual_clock import ManualClock

POLICY = RetryPolicy(deadline_s=60.0, first_backoff_s=0.5, max_backoff_s=4.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def faulty() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture
def store(faulty: FaultyStore, clock: ManualClock) -> RetryingStore:
    return RetryingStore(faulty, POLICY, clock=clock)


def unavailable() -> StoreUnavailable:
    return StoreUnavailable("injected", hint="wait")


def test_unavailable_is_tried_again(store: RetryingStore, faulty: FaultyStore, clock: ManualClock) -> None:
    faulty.fail(Fault(unavailable, "put", times=3))
    store.put("a", b"1")
    assert faulty.trace == [("put", "a")] * 4
    assert len(clock.sleeps) == 3


def test_nothing_else_is(store: RetryingStore, faulty: FaultyStore) -> None:
    faulty.fail(Fault(lambda: StoreRefused("no", hint="ask"), "put"))
    with pytest.raises(StoreRefused):
        store.put("a", b"1")
    with pytest.raises(ObjectMissing):
        store.get("b")
    assert faulty.trace == [("put", "a"), ("get", "b")]


def test_it_ends_within_the_deadline(store: RetryingStore, faulty: FaultyStore, clock: ManualClock) -> None:
    faulty.fail(Fault(unavailable, "get", times=10**6))
    with pytest.raises(StoreUnavailable, match=r"gave up after \d+ tries") as caught:
        store.get("a")
    assert caught.value.hint == "wait"
    assert clock.monotonic() < POLICY.deadline_s
    assert len(clock.sleeps) > POLICY.deadline_s / POLICY.max_backoff_s


def test_pauses_grow_are_bounded_and_jitter(
    store: RetryingStore, faulty: FaultyStore, clock: ManualClock
) -> None:
    faulty.fail(Fault(unavailable, "get", times=10**6))
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            store.get("a")
    assert max(clock.sleeps) <= POLICY.max_backoff_s
    assert max(clock.sleeps) > 2 * POLICY.first_backoff_s
    assert len(set(clock.sleeps)) > len(clock.sleeps) / 2
    firsts = [sleep for sleep in clock.sleeps if sleep < POLICY.first_backoff_s / 2]
    assert firsts, "full jitter reaches down to zero"


def test_a_put_whose_answer_was_lost_succeeds(store: RetryingStore, faulty: FaultyStore) -> None:
    faulty.fail(Fault(unavailable, "put", when="after"))
    store.put("a", b"mine")
    assert store.get("a") == b"mine"


def test_a_put_whose_answer_was_lost_to_another_is_a_conflict(
    store: RetryingStore, faulty: FaultyStore
) -> None:
    faulty.inner.put("a", b"theirs")
    faulty.fail(Fault(unavailable, "put"))
    with pytest.raises(ObjectExists):
        store.put("a", b"mine")


def test_a_put_that_was_never_in_doubt_is_not_read_back(store: RetryingStore, faulty: FaultyStore) -> None:
    store.put("a", b"same")
    with pytest.raises(ObjectExists):
        store.put("a", b"same")
    assert [operation for operation, _ in faulty.trace] == ["put", "put"]


def test_exists_and_yet_missing_is_not_settled(store: RetryingStore, faulty: FaultyStore) -> None:
    """S3 answers 409 while two puts of a key meet: trying again settles it."""
    faulty.fail(Fault(unavailable, "put"))
    faulty.fail(Fault(lambda: ObjectExists("409"), "put"))
    store.put("a", b"mine")
    assert faulty.inner.get("a") == b"mine"


def test_a_small_stream_is_one_put(store: RetryingStore, faulty: FaultyStore) -> None:
    faulty.fail(Fault(unavailable, "put", when="after", times=2))
    with store.open_writer("a") as writer:
        writer.write(b"1")
        writer.write(bytes(PART_BYTES - 1))
        writer.commit()
    assert {operation for operation, _ in faulty.trace} == {"put", "get"}
    assert faulty.inner.get("a") == b"1" + bytes(PART_BYTES - 1)


def test_a_large_stream_goes_through(store: RetryingStore, faulty: FaultyStore) -> None:
    with store.open_writer("a") as writer:
        writer.write(b"1" * PART_BYTES)
        writer.write(b"2")
        writer.commit()
    assert [operation for operation, _ in faulty.trace] == ["open_writer", "write", "write", "commit"]
    assert faulty.inner.get("a") == b"1" * PART_BYTES + b"2"


def test_a_large_stream_that_fails_leaves_nothing(store: RetryingStore, faulty: FaultyStore) -> None:
    faulty.fail(Fault(unavailable, "write"))
    with pytest.raises(StoreUnavailable), store.open_writer("a") as writer:
        writer.write(bytes(PART_BYTES + 1))
    assert faulty.inner.stat("a") is None


def test_a_listing_that_breaks_off_goes_on(store: RetryingStore, faulty: FaultyStore) -> None:
    keys = [f"k/{number}" for number in range(6)]
    for key in keys:
        faulty.inner.put(key, b"")
    faulty.fail(Fault(unavailable, "scan_next", times=4))
    faulty.fail(Fault(unavailable, "scan", times=2))
    assert [info.key for info in store.scan("k/")] == keys


def test_a_crash_is_not_held_up(store: RetryingStore, faulty: FaultyStore) -> None:
    faulty.crash_at(1, "after")
    with pytest.raises(Crash):
        store.put("a", b"1")
    with pytest.raises(Crash):
        store.get("a")
    assert faulty.inner.get("a") == b"1"
