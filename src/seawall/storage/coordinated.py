"""Two stores as one: data in a store that can't create conditionally, control objects in one that can.

Some S3-compatible servers ignore ``If-None-Match``. They may hold packs and manifests, whose names nobody can
guess, and WAL, which one bound writer sends; but who holds a term, whether a backup was committed or given up,
and who is alive must be decided by a store that lets one creator win (design rule 1). Those keys live in the
``coordination:`` store, whole; a reader needs both.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from types import TracebackType

from seawall.storage.errors import ObjectExists
from seawall.storage.protocol import (
    Abilities,
    Buffer,
    LockState,
    ObjectInfo,
    ObjectLock,
    ObjectStore,
    ObjectWriter,
)

_CONTROL = re.compile(
    r"seawall\.json|(?:keys|leases|evidence|probe)/.+|clusters/[^/]+/(?:term|[0-9]+/commits)/.+"
)
"""Control objects by key (docs/format.md, "Keys")."""


def is_control_key(key: str) -> bool:
    """Say whether the object at ``key`` decides something, so that it needs create-only puts."""
    return _CONTROL.fullmatch(key) is not None


class CoordinatedStore:
    """See the module docstring. Safe to share by threads if both stores are."""

    def __init__(self, data: ObjectStore, control: ObjectStore) -> None:
        self._data = data
        self._control = control

    @property
    def url(self) -> str:
        return f"{self._data.url} (coordinated by {self._control.url})"

    def put(self, key: str, data: Buffer) -> None:
        self._refuse_existing(key)
        self._of(key).put(key, data)

    def open_writer(self, key: str) -> ObjectWriter:
        self._refuse_existing(key)
        return _CheckedWriter(self, key, self._of(key).open_writer(key))

    def get(self, key: str) -> bytes:
        return self._of(key).get(key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self._of(key).get_range(key, offset, length)

    def stat(self, key: str) -> ObjectInfo | None:
        return self._of(key).stat(key)

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        """Merge both listings; each store contributes only the keys that belong to it."""
        data = (info for info in self._data.scan(prefix) if not is_control_key(info.key))
        control = (info for info in self._control.scan(prefix) if is_control_key(info.key))
        return heapq.merge(data, control, key=lambda info: info.key.encode())

    def children(self, prefix: str) -> list[str]:
        return sorted({*self._data.children(prefix), *self._control.children(prefix)})

    def delete(self, key: str) -> None:
        self._of(key).delete(key)

    def probe(self) -> Abilities:
        """Return what the pair can do: conditional puts by the coordinator, the rest as the weaker of both."""
        data, control = self._data.probe(), self._control.probe()
        return Abilities(
            conditional_put=control.conditional_put,
            read_after_write=data.read_after_write and control.read_after_write,
            ordered_list=data.ordered_list and control.ordered_list,
            details=(*data.details, *control.details),
        )

    def object_lock(self) -> ObjectLock:
        """Return the weaker lock of both: a backup is gone when its commit record is, or its packs are."""
        return min(self._data.object_lock(), self._control.object_lock(), key=_strength)

    def close(self) -> None:
        self._data.close()
        self._control.close()

    def refuse_existing(self, key: str) -> None:
        """Raise ObjectExists if a data object is there; control objects are left to their store."""
        self._refuse_existing(key)

    def _refuse_existing(self, key: str) -> None:
        if not is_control_key(key) and self._data.stat(key) is not None:
            raise ObjectExists(f"{key} exists in {self._data.url}", hint="nothing was changed")

    def _of(self, key: str) -> ObjectStore:
        return self._control if is_control_key(key) else self._data


def _strength(lock: ObjectLock) -> tuple[int, int, bool]:
    """Order locks by what they promise; the bare answer counts first."""
    rank = (LockState.NO, LockState.UNKNOWN, LockState.YES).index(lock.state)
    return rank, lock.retention_s or 0, lock.mode == "COMPLIANCE"


class _CheckedWriter:
    """A streamed object whose key is looked at once more before it becomes visible."""

    def __init__(self, store: CoordinatedStore, key: str, inner: ObjectWriter) -> None:
        self._store = store
        self._key = key
        self._inner = inner

    def write(self, data: Buffer) -> None:
        self._inner.write(data)

    def commit(self) -> None:
        self._store.refuse_existing(self._key)
        self._inner.commit()

    def abort(self) -> None:
        self._inner.abort()

    def __enter__(self) -> ObjectWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
