"""How packs roll over and become durable behind their writer's back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seawall.model.clock import SystemClock
from seawall.repository.backups.packs import PackPolicy, PackTable, PackWriter
from seawall.repository.format.codec import Codec
from seawall.repository.format.frames import FrameContent, ObjectKind, open_object
from seawall.repository.repository import Repository
from seawall.storage.errors import StoreUnavailable
from seawall.storage.protocol import ObjectWriter
from tests.unit.repository.tiny_store import TinyStore, TinyWriter

ID = "20261125T104107Z-3fa9c1"


class GatedStore(TinyStore):
    """Commits of packs wait at a gate, and may fail behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.writes: list[int] = []
        self.is_failing = False

    def open_writer(self, key: str) -> ObjectWriter:
        return GatedWriter(self, key)


class GatedWriter(TinyWriter):
    def __init__(self, store: GatedStore, key: str) -> None:
        super().__init__(store, key)
        self._gated = store

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._gated.writes.append(len(data))
        super().write(data)

    def commit(self) -> None:
        assert self._gated.gate.wait(30)
        if self._gated.is_failing:
            raise StoreUnavailable("the disk is gone")
        super().commit()


@pytest.fixture
def gated() -> GatedStore:
    return GatedStore()


def writer_on(
    store: TinyStore, table: PackTable, executor: ThreadPoolExecutor, target_bytes: int
) -> PackWriter:
    repository = Repository.create(store, [], clock=SystemClock(), encrypted=False)
    return PackWriter(
        repository,
        table,
        ID,
        key_of=lambda name: f"pack/{name}",
        executor=executor,
        policy=PackPolicy(target_bytes=target_bytes),
    )


def test_filling_goes_on_while_full_packs_close(gated: GatedStore) -> None:
    table = PackTable()
    with ThreadPoolExecutor(4) as executor:
        packs = writer_on(gated, table, executor, 1000)
        refs = [packs.append(b"x" * 1000, raw_length=1000, codec=Codec.STORED) for _ in range(2)]
        assert [ref.pack for ref in refs] == [0, 1]
        with pytest.raises(ValueError, match="never closed"):
            table.entries()
        gated.gate.set()
        packs.close()
    entries = table.entries()
    for ref, entry in zip(refs, entries, strict=True):
        assert len(gated.objects[f"pack/{entry.name}"]) == entry.size_bytes
        assert ref.offset == 64
    assert table.stored_bytes == sum(entry.size_bytes for entry in entries)


def test_a_slow_store_holds_the_writer_back(gated: GatedStore) -> None:
    """At most two full packs wait; the third fill blocks until the oldest is durable."""
    table, passed = PackTable(), threading.Event()
    with ThreadPoolExecutor(4) as executor:
        packs = writer_on(gated, table, executor, 1000)

        def fill() -> None:
            for _ in range(3):
                packs.append(b"x" * 1000, raw_length=1000, codec=Codec.STORED)
            passed.set()

        thread = threading.Thread(target=fill)
        thread.start()
        assert not passed.wait(0.1)
        gated.gate.set()
        assert passed.wait(30)
        thread.join()
        packs.close()
    assert table.count == 3


@pytest.mark.parametrize("last_call", ["append", "close"])
def test_a_failed_close_is_raised_by_the_next_call(gated: GatedStore, last_call: str) -> None:
    table = PackTable()
    with ThreadPoolExecutor(4) as executor:
        packs = writer_on(gated, table, executor, 1000)
        packs.append(b"x" * 1000, raw_length=1000, codec=Codec.STORED)
        gated.is_failing = True
        gated.gate.set()
        executor.shutdown(wait=True)
        with pytest.raises(StoreUnavailable, match="the disk is gone"):
            packs.append(b"x", raw_length=1, codec=Codec.STORED) if last_call == "append" else packs.close()
        packs.abort()
    with pytest.raises(ValueError, match="never closed"):
        table.entries()


def test_frames_reach_the_store_in_large_writes(gated: GatedStore) -> None:
    gated.gate.set()
    table = PackTable()
    with ThreadPoolExecutor(4) as executor:
        packs = writer_on(gated, table, executor, 64 << 20)
        for _ in range(80):
            packs.append(b"y" * 50_000, raw_length=50_000, codec=Codec.STORED)
        packs.close()
        packs.close()
    assert len(gated.writes) <= 5
    assert all(size > 900_000 for size in gated.writes[:-1])


def test_a_pack_describes_itself_and_ends_in_a_trailer(gated: GatedStore) -> None:
    gated.gate.set()
    table = PackTable()
    with ThreadPoolExecutor(4) as executor:
        packs = writer_on(gated, table, executor, 64 << 20)
        repository = packs.repository
        refs = [packs.append(bytes([i]) * 10, raw_length=10, codec=Codec.STORED) for i in range(5)]
        packs.close()
    key = f"pack/{table.entries()[0].name}"
    frames = list(open_object(repository.context, ObjectKind.PACK, key, gated.objects[key]))
    assert [(frame.offset, frame.length) for frame in frames[:-1]] == [
        (ref.offset, ref.length) for ref in refs
    ]
    assert (frames[-1].content, frames[-1].payload, frames[-1].is_last) == (FrameContent.TRAILER, b"", True)


def test_a_writer_without_frames_leaves_no_pack(gated: GatedStore) -> None:
    table = PackTable()
    with ThreadPoolExecutor(1) as executor:
        packs = writer_on(gated, table, executor, 1000)
        packs.close()
        packs.abort()
    assert table.entries() == [] and table.count == 0
