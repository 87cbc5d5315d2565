"""The smallest store that keeps the contract, and can be asked what happened to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType

from seawall.storage.errors import ObjectExists, ObjectMissing
from seawall.storage.protocol import (
    Abilities,
    Buffer,
    LockState,
    ObjectInfo,
    ObjectLock,
    ObjectWriter,
    check_key,
)


class TinyStore:
    """Objects in a dict. ``gets`` records every ranged get; ``abilities`` is what a probe answers."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.gets: list[tuple[str, int, int]] = []
        self.abilities = Abilities(True, True, True)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return "memory:tiny"

    def put(self, key: str, data: Buffer) -> None:
        with self._lock:
            if check_key(key) in self.objects:
                raise ObjectExists(f"{key} exists")
            self.objects[key] = bytes(data)

    def open_writer(self, key: str) -> ObjectWriter:
        return TinyWriter(self, check_key(key))

    def get(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectMissing(f"{key} is missing") from None

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self.gets.append((key, offset, length))
        return self.get(key)[offset : offset + length]

    def stat(self, key: str) -> ObjectInfo | None:
        data = self.objects.get(key)
        return None if data is None else ObjectInfo(key, len(data), datetime.now(UTC))

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ObjectInfo(key, len(self.objects[key]), datetime.now(UTC))

    def children(self, prefix: str) -> list[str]:
        rests = [key[len(prefix) :] for key in self.objects if key.startswith(prefix)]
        return sorted({rest.split("/", 1)[0] for rest in rests})

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def probe(self) -> Abilities:
        return self.abilities

    def object_lock(self) -> ObjectLock:
        return ObjectLock(LockState.NO, "a dict")

    def close(self) -> None:
        pass


class TinyWriter:
    """Collects pieces, then puts."""

    def __init__(self, store: TinyStore, key: str) -> None:
        self._store = store
        self._key = key
        self._data = bytearray()
        self.is_done = False

    def write(self, data: Buffer) -> None:
        self._data += data

    def commit(self) -> None:
        self._store.put(self._key, self._data)
        self.is_done = True

    def abort(self) -> None:
        self._data.clear()

    def __enter__(self) -> ObjectWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.is_done:
            self.abort()
