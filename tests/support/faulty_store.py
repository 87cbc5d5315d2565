"""A store that fails when it is told to: errors before or after an operation, crashes, slowness.

Every operation of the store and of its writers is counted and traced as (operation, key). A crash stands for
``kill -9``: from then on nothing reaches the store any more, not even a writer's abort.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeVar

from seawall.storage.protocol import Abilities, Buffer, ObjectInfo, ObjectLock, ObjectStore, ObjectWriter

T = TypeVar("T")
When = Literal["before", "after"]


class Crash(BaseException):
    """The process ends here. No ``except Exception`` may hold it up."""


@dataclass(slots=True)
class Fault:
    """What goes wrong: ``error`` at operations that match, ``times`` times."""

    error: Callable[[], BaseException]
    operation: str = ""
    key_prefix: str = ""
    when: When = "before"
    times: int = 1

    def matches(self, operation: str, key: str) -> bool:
        return self.operation in ("", operation) and key.startswith(self.key_prefix)


class FaultyStore:
    """Wraps ``inner``; ``trace`` is what was asked of it so far."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self.trace: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.latency_s = 0.0
        self.is_dead = False
        self._crash_at: tuple[int, When] | None = None
        self._crash_on: tuple[str, str, When] | None = None
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many operations were begun."""
        return len(self.trace)

    def fail(self, fault: Fault) -> None:
        """Let ``fault`` happen at the next operations that match it."""
        self.faults.append(fault)

    def crash_at(self, number: int, when: When = "before") -> None:
        """Crash at the operation of that number, counted from 1 from the start of the trace."""
        self._crash_at = (number, when)

    def crash_on(self, operation: str, key_part: str, when: When = "before") -> None:
        """Crash at the first ``operation`` on a key with ``key_part`` in it, whatever its number is this time."""
        self._crash_on = (operation, key_part, when)

    def run(self, operation: str, key: str, action: Callable[[], T]) -> T:
        """Do one operation with what is to go wrong with it."""
        with self._lock:
            if self.is_dead:
                raise Crash
            self.trace.append((operation, key))
            number = len(self.trace)
            fault = next((f for f in self.faults if f.times > 0 and f.matches(operation, key)), None)
            if fault is not None:
                fault.times -= 1
            if self._crash_on is not None:
                wanted, key_part, when = self._crash_on
                if operation == wanted and key_part in key:
                    self._crash_at, self._crash_on = (number, when), None
        if self.latency_s:
            time.sleep(self.latency_s)
        self._crash_if((number, "before"))
        if fault is not None and fault.when == "before":
            raise fault.error()
        result = action()
        self._crash_if((number, "after"))
        if fault is not None:
            raise fault.error()
        return result

    def _crash_if(self, moment: tuple[int, When]) -> None:
        if self._crash_at == moment:
            self.is_dead = True
            raise Crash

    @property
    def url(self) -> str:
        return self.inner.url

    def put(self, key: str, data: Buffer) -> None:
        self.run("put", key, lambda: self.inner.put(key, data))

    def open_writer(self, key: str) -> ObjectWriter:
        return FaultyWriter(self, key, self.run("open_writer", key, lambda: self.inner.open_writer(key)))

    def get(self, key: str) -> bytes:
        return self.run("get", key, lambda: self.inner.get(key))

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self.run("get_range", key, lambda: self.inner.get_range(key, offset, length))

    def stat(self, key: str) -> ObjectInfo | None:
        return self.run("stat", key, lambda: self.inner.stat(key))

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        """List; a fault "after" comes when one entry was handed out, as a listing that breaks off does."""
        found = self.run("scan", prefix, lambda: iter(list(self.inner.scan(prefix))))
        for info in found:
            yield info
            self.run("scan_next", prefix, lambda: None)

    def children(self, prefix: str) -> list[str]:
        return self.run("children", prefix, lambda: self.inner.children(prefix))

    def delete(self, key: str) -> None:
        self.run("delete", key, lambda: self.inner.delete(key))

    def probe(self) -> Abilities:
        return self.inner.probe()

    def object_lock(self) -> ObjectLock:
        return self.inner.object_lock()

    def close(self) -> None:
        self.inner.close()


class FaultyWriter:
    """A writer whose every step may fail. A dead process aborts nothing."""

    def __init__(self, store: FaultyStore, key: str, inner: ObjectWriter) -> None:
        self._store, self._key, self._inner = store, key, inner

    def write(self, data: Buffer) -> None:
        self._store.run("write", self._key, lambda: self._inner.write(data))

    def commit(self) -> None:
        self._store.run("commit", self._key, self._inner.commit)

    def abort(self) -> None:
        if not self._store.is_dead:
            self._inner.abort()

    def __enter__(self) -> FaultyWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
