"""A store that lives and dies with the process: for tests, and for trying things out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from types import TracebackType

from seawall.model.clock import Clock, SystemClock
from seawall.storage.errors import ObjectExists, ObjectMissing
from seawall.storage.protocol import (
    Abilities,
    Buffer,
    LockState,
    ObjectInfo,
    ObjectLock,
    check_key,
    check_prefix,
)


class MemoryStore:
    """Objects in a dict. Durable in no sense; otherwise the whole contract, on the given clock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, datetime]] = {}

    @property
    def url(self) -> str:
        return "memory:"

    def put(self, key: str, data: Buffer) -> None:
        check_key(key)
        content = bytes(data)
        with self._lock:
            if key in self._objects:
                raise ObjectExists(f"{key} exists in {self.url}")
            self._objects[key] = (content, self._clock.now())

    def open_writer(self, key: str) -> MemoryWriter:
        return MemoryWriter(self, check_key(key))

    def get(self, key: str) -> bytes:
        found = self._objects.get(check_key(key))
        if found is None:
            raise ObjectMissing(f"{key} is not in {self.url}")
        return found[0]

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise ValueError(f"not a range: {offset}, {length}")
        return self.get(key)[offset : offset + length]

    def stat(self, key: str) -> ObjectInfo | None:
        found = self._objects.get(check_key(key))
        return None if found is None else ObjectInfo(key, len(found[0]), found[1])

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in self._keys(prefix):
            if (info := self.stat(key)) is not None:
                yield info

    def children(self, prefix: str) -> list[str]:
        return sorted({key[len(prefix) :].partition("/")[0] for key in self._keys(prefix)})

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(check_key(key), None)

    def probe(self) -> Abilities:
        from seawall.storage.probe import probe_store

        return probe_store(self)

    def object_lock(self) -> ObjectLock:
        return ObjectLock(LockState.NO, "memory has none")

    def close(self) -> None:
        """The objects stay: the store may be used on."""

    def _keys(self, prefix: str) -> list[str]:
        check_prefix(prefix)
        with self._lock:
            return sorted(key for key in self._objects if key.startswith(prefix))


class MemoryWriter:
    """Gathers pieces, then puts them."""

    def __init__(self, store: MemoryStore, key: str) -> None:
        self._store, self._key = store, key
        self._data: bytearray | None = bytearray()

    def write(self, data: Buffer) -> None:
        self._gathered().extend(memoryview(data).cast("B"))

    def commit(self) -> None:
        try:
            self._store.put(self._key, self._gathered())
        finally:
            self._data = None

    def abort(self) -> None:
        self._data = None

    def __enter__(self) -> MemoryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _gathered(self) -> bytearray:
        if self._data is None:
            raise ValueError(f"the writer of {self._key} is closed")
        return self._data
