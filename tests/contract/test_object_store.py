"""What every ObjectStore promises, asked of each implementation, bare and behind retries over injected faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from seawall.storage.errors import ObjectExists, ObjectMissing
from seawall.storage.protocol import LockState, ObjectStore

SMALL = b"small content \x00\xff"
PART = 8 << 20

ODD_ORDER = ["a", "a-b/1", "a.b", "aa/0/0", "aa/0-", "aa0", "aA/x", "b/1", "b/10", "b/2", "b-/z"]


def test_put_then_read(store: ObjectStore) -> None:
    store.put("x/one", SMALL)
    assert store.get("x/one") == SMALL
    info = store.stat("x/one")
    assert info is not None
    assert (info.key, info.size_bytes) == ("x/one", len(SMALL))


def test_modified_is_aware_and_about_now(store: ObjectStore) -> None:
    store.put("x/one", SMALL)
    info = store.stat("x/one")
    assert info is not None
    assert info.modified.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - info.modified) < timedelta(minutes=1)
    assert [listed.modified for listed in store.scan("x/")] == [info.modified]


def test_put_never_overwrites(store: ObjectStore) -> None:
    store.put("x/one", SMALL)
    for data in (b"other", SMALL):
        with pytest.raises(ObjectExists):
            store.put("x/one", data)
    assert store.get("x/one") == SMALL


def test_commit_never_overwrites(store: ObjectStore) -> None:
    store.put("x/one", SMALL)
    with store.open_writer("x/one") as writer:
        writer.write(b"other")
        with pytest.raises(ObjectExists):
            writer.commit()
    assert store.get("x/one") == SMALL


def test_large_commit_never_overwrites(store: ObjectStore) -> None:
    store.put("x/one", SMALL)
    with pytest.raises(ObjectExists), store.open_writer("x/one") as writer:  # at the latest by commit
        for _ in range(10):
            writer.write(bytes(1 << 20))
        writer.commit()
    assert store.get("x/one") == SMALL


def test_of_racing_puts_one_wins(store: ObjectStore) -> None:
    assert _race(lambda content: store.put("race/put", content)) == [store.get("race/put")]


def test_of_racing_writers_one_wins(store: ObjectStore) -> None:
    def write(content: bytes) -> None:
        with store.open_writer("race/w") as writer:
            writer.write(content)
            writer.commit()

    assert _race(write) == [store.get("race/w")]


def test_an_empty_object(store: ObjectStore) -> None:
    store.put("x/empty", b"")
    with store.open_writer("x/empty-too") as writer:
        writer.commit()
    for key in ("x/empty", "x/empty-too"):
        assert store.get(key) == b""
        assert store.get_range(key, 0, 10) == b""
        info = store.stat(key)
        assert info is not None
        assert info.size_bytes == 0


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 2 * PART + 12345])
def test_streamed_sizes_around_a_part(store: ObjectStore, size: int) -> None:
    content = _pattern(size)
    with store.open_writer("big/one") as writer:
        for start in range(0, size, 1_000_003):
            writer.write(memoryview(content)[start : start + 1_000_003])
        assert store.stat("big/one") is None
        writer.commit()
    assert store.get("big/one") == content
    assert store.get_range("big/one", size - 1, 5) == content[-1:]


def test_one_write_larger_than_several_parts(store: ObjectStore) -> None:
    content = _pattern(2 * PART + 77)
    with store.open_writer("big/two") as writer:
        writer.write(content)
        writer.commit()
    assert store.get("big/two") == content


def test_buffers_may_be_reused_at_once(store: ObjectStore) -> None:
    buffer = bytearray(3 << 20)
    expected = b""
    with store.open_writer("big/reuse") as writer:
        for byte in range(5):
            buffer[:] = bytes([byte]) * len(buffer)
            expected += bytes(buffer)
            writer.write(buffer)
            buffer[:] = b"\xee" * len(buffer)
        writer.commit()
    assert store.get("big/reuse") == expected
    store.put("x/view", memoryview(buffer)[5:9])
    buffer[:] = bytes(len(buffer))
    assert store.get("x/view") == b"\xee" * 4


@pytest.mark.parametrize("size", [10, PART + 10])
def test_an_uncommitted_writer_leaves_nothing(store: ObjectStore, size: int) -> None:
    with store.open_writer("big/dropped") as writer:
        writer.write(bytes(size))
    writer.abort()
    with pytest.raises(KeyboardInterrupt), store.open_writer("big/broken") as broken:
        broken.write(bytes(size))
        raise KeyboardInterrupt
    assert list(store.scan("")) == []
    with store.open_writer("big/dropped") as writer:
        writer.write(b"now")
        writer.commit()
    assert store.get("big/dropped") == b"now"


def test_abort_after_commit_is_harmless_and_a_closed_writer_takes_nothing(store: ObjectStore) -> None:
    writer = store.open_writer("x/done")
    writer.write(SMALL)
    writer.commit()
    writer.abort()
    assert store.get("x/done") == SMALL
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")
    with pytest.raises(ValueError, match="closed"):
        writer.commit()


def test_ranges(store: ObjectStore) -> None:
    content = _pattern(1000)
    store.put("x/one", content)
    assert store.get_range("x/one", 0, 10) == content[:10]
    assert store.get_range("x/one", 990, 10) == content[990:]
    assert store.get_range("x/one", 990, 100) == content[990:]
    assert store.get_range("x/one", 1000, 1) == b""
    assert store.get_range("x/one", 5000, 1) == b""
    assert store.get_range("x/one", 5, 0) == b""
    with pytest.raises(ValueError, match="range"):
        store.get_range("x/one", -1, 5)


def test_what_is_missing(store: ObjectStore) -> None:
    store.put("x/one", SMALL)
    for key in ("x/two", "x", "x/one/below", "y/z"):
        with pytest.raises(ObjectMissing):
            store.get(key)
        with pytest.raises(ObjectMissing):
            store.get_range(key, 0, 1)
        with pytest.raises(ObjectMissing):
            store.get_range(key, 0, 0)
        assert store.stat(key) is None
        store.delete(key)
    assert list(store.scan("y/")) == []
    assert store.children("y/") == []
    assert store.get("x/one") == SMALL


def test_scan_is_in_the_order_of_keys_as_bytes(store: ObjectStore) -> None:
    keys = ["c" if key == "a" else key for key in ODD_ORDER]
    for key in keys:
        store.put(key, key.encode())
    assert [info.key for info in store.scan("")] == sorted(keys)
    assert [info.size_bytes for info in store.scan("")] == [len(key) for key in sorted(keys)]
    assert [info.key for info in store.scan("b/")] == ["b/1", "b/10", "b/2"]
    assert [info.key for info in store.scan("aa/")] == ["aa/0-", "aa/0/0"]
    assert [info.key for info in store.scan("a/")] == []


def test_scan_of_more_than_a_page(store: ObjectStore) -> None:
    """S3 lists a thousand at a time."""
    keys = [f"many/{number:04}" for number in range(1100)]
    _together(keys, lambda key: store.put(key, b""))
    assert [info.key for info in store.scan("many/")] == keys
    assert store.children("many/") == [key[5:] for key in keys]


def test_children(store: ObjectStore) -> None:
    for key in ("a/x/1", "a/x/2", "a/y", "a/z-/3", "b"):
        store.put(key, b"")
    assert store.children("") == ["a", "b"]
    assert store.children("a/") == ["x", "y", "z-"]
    assert store.children("a/x/") == ["1", "2"]


def test_what_is_deleted_is_gone_and_may_be_created_again(store: ObjectStore) -> None:
    store.put("d/e/one", SMALL)
    store.delete("d/e/one")
    store.delete("d/e/one")
    assert store.stat("d/e/one") is None
    assert list(store.scan("")) == []
    assert store.children("") == []
    store.put("d/e/one", b"again")
    assert store.get("d/e/one") == b"again"


def test_longest_key(store: ObjectStore) -> None:
    key = "/".join(["k" * 50] * 10)[:509] + "end"
    assert len(key) == 512
    store.put(key, SMALL)
    assert store.get(key) == SMALL
    assert [info.key for info in store.scan("")] == [key]


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/./b", "a b", "ä", ".tmp/x", "k" * 513])
def test_what_is_no_key_is_refused_everywhere(store: ObjectStore, key: str) -> None:
    calls = [store.get, store.stat, store.delete, store.open_writer]
    for call in calls:
        with pytest.raises(ValueError, match="key"):
            call(key)
    with pytest.raises(ValueError, match="key"):
        store.put(key, b"")
    with pytest.raises(ValueError, match="key"):
        store.get_range(key, 0, 1)


def test_what_is_no_prefix_is_refused(store: ObjectStore) -> None:
    for prefix in ("a", "/", "../", "a//"):
        with pytest.raises(ValueError, match=r"prefix|key"):
            list(store.scan(prefix))
        with pytest.raises(ValueError, match=r"prefix|key"):
            store.children(prefix)


def test_probe_finds_a_safe_store_and_cleans_up(store: ObjectStore) -> None:
    abilities = store.probe()
    assert abilities.conditional_put
    assert abilities.read_after_write
    assert abilities.ordered_list
    assert abilities.details == ()
    assert list(store.scan("")) == []


def test_a_lock_is_known_or_comes_with_a_reason(store: ObjectStore) -> None:
    lock = store.object_lock()
    assert lock.state is LockState.NO and lock.reason
    assert list(store.scan("")) == [], "asking changes nothing"


def test_threads_share_a_store(store: ObjectStore) -> None:
    keys = [f"t/{number}" for number in range(24)]

    def use(key: str) -> None:
        store.put(key, key.encode() * 1000)
        assert store.get_range(key, 0, len(key)) == key.encode()

    _together(keys, use)
    assert len(list(store.scan("t/"))) == len(keys)


def _pattern(size: int) -> bytes:
    block = bytes(range(251))
    return (block * (size // len(block) + 1))[:size]


def _race(action: object) -> list[bytes]:
    """Run ``action`` with six contents at once; return the contents that were accepted."""
    assert callable(action)
    winners: list[bytes] = []

    def attempt(content: bytes) -> None:
        start.wait()
        try:
            action(content)
        except ObjectExists:
            return
        winners.append(content)

    contents = [b"content %d" % number for number in range(6)]
    start = threading.Barrier(len(contents))
    _run([threading.Thread(target=attempt, args=(content,)) for content in contents])
    return winners


def _together(keys: list[str], action: object) -> None:
    assert callable(action)
    errors: list[BaseException] = []

    def work(mine: Iterator[str]) -> None:
        try:
            for key in mine:
                action(key)
        except BaseException as error:  # noqa: BLE001 handed to the test
            errors.append(error)

    _run([threading.Thread(target=work, args=(iter(keys[start::8]),)) for start in range(8)])
    assert errors == []


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
