"""Try again what a remote store could not do now: exponential backoff, full jitter, one deadline per operation.

Only :class:`Unavailable` is worth another try. A put that is tried again may meet its own object, whose
success was never heard of; so once an outcome is unknown, "exists already" is settled by reading back
(design rule 1: same key, same bytes, until it is resolved).

Full jitter keeps many clients that failed together from coming back together (AWS Architecture Blog,
"Exponential Backoff And Jitter").
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, TypeVar

from seawall.model.clock import Clock, SystemClock
from seawall.model.errors import Unavailable
from seawall.storage.errors import ObjectExists, ObjectMissing, StoreUnavailable
from seawall.storage.protocol import (
    Abilities,
    Buffer,
    ObjectInfo,
    ObjectLock,
    ObjectStore,
    ObjectWriter,
    check_key,
)

T = TypeVar("T")

PART_BYTES = 8 << 20
"""Up to this size a streamed object is kept until commit and put at once: create-only and repeatable."""


class RetryPolicy(NamedTuple):
    """How long to keep trying. An operation ends within ``deadline_s`` plus one ``attempt_s``, a streamed
    commit within ``deadline_s`` plus three of them."""

    deadline_s: float = 300.0
    attempt_s: float = 60.0
    connect_s: float = 5.0
    first_backoff_s: float = 0.1
    max_backoff_s: float = 10.0


class RetryingStore:
    """Wraps a store whose single calls are bounded in time already."""

    def __init__(
        self, inner: ObjectStore, policy: RetryPolicy | None = None, *, clock: Clock | None = None
    ) -> None:
        self._inner = inner
        self._policy = policy or RetryPolicy()
        self._clock = clock or SystemClock()
        self._random = random.Random()

    @property
    def url(self) -> str:
        return self._inner.url

    def put(self, key: str, data: Buffer) -> None:
        check_key(key)
        is_unresolved = False

        def attempt() -> None:
            nonlocal is_unresolved
            try:
                self._inner.put(key, data)
            except ObjectExists:
                if not is_unresolved or not self._is_ours(key, data):
                    raise
            except Unavailable:
                is_unresolved = True
                raise

        self._run(attempt)

    def open_writer(self, key: str) -> RetryingWriter:
        return RetryingWriter(self, check_key(key))

    def open_inner_writer(self, key: str) -> ObjectWriter:
        """Start the wrapped store's own streamed create, which repeats its parts by itself."""
        return self._run(lambda: self._inner.open_writer(key))

    def get(self, key: str) -> bytes:
        return self._run(lambda: self._inner.get(key))

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self._run(lambda: self._inner.get_range(key, offset, length))

    def stat(self, key: str) -> ObjectInfo | None:
        return self._run(lambda: self._inner.stat(key))

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        """List; a listing that breaks off starts again and passes over what was handed out already."""
        last = ""
        listing = self._inner.scan(prefix)

        def following() -> ObjectInfo | None:
            nonlocal listing
            try:
                return next((info for info in listing if info.key > last), None)
            except Unavailable:
                listing = self._inner.scan(prefix)
                raise

        while (info := self._run(following)) is not None:
            last = info.key
            yield info

    def children(self, prefix: str) -> list[str]:
        return self._run(lambda: self._inner.children(prefix))

    def delete(self, key: str) -> None:
        self._run(lambda: self._inner.delete(key))

    def probe(self) -> Abilities:
        return self._run(self._inner.probe)

    def object_lock(self) -> ObjectLock:
        """Ask once: the answer is bounded in time already, and "unknown" is one."""
        return self._inner.object_lock()

    def close(self) -> None:
        self._inner.close()

    def _is_ours(self, key: str, data: Buffer) -> bool:
        """Say whether an earlier try stored the object. Raises Unavailable while that can't be known."""
        try:
            return self._inner.get(key) == data
        except ObjectMissing:
            # "Conflict" of two requests at one moment (409), not "exists": nothing is settled yet.
            raise StoreUnavailable(
                f"{self.url} says that {key} exists, and that it does not",
                hint="another program deletes there, or two puts met: try again",
            ) from None

    def _run(self, action: Callable[[], T]) -> T:
        policy, began = self._policy, self._clock.monotonic()
        backoff_s = policy.first_backoff_s
        tries = 0
        while True:
            tries += 1
            try:
                return action()
            except Unavailable as error:
                pause_s = self._random.uniform(0.0, backoff_s)
                passed_s = self._clock.monotonic() - began
                if passed_s + pause_s >= policy.deadline_s:
                    raise StoreUnavailable(
                        f"{error.message} (gave up after {tries} tries in {passed_s:.0f} s)",
                        hint=error.hint or f"find out whether {self.url} can be reached from here",
                    ) from error
            self._clock.sleep(pause_s)
            backoff_s = min(2 * backoff_s, policy.max_backoff_s)


class RetryingWriter:
    """Keeps up to a part, so that a small object's commit is a put that may be tried again."""

    def __init__(self, store: RetryingStore, key: str) -> None:
        self._store, self._key = store, key
        self._kept: bytearray | None = bytearray()
        self._inner: ObjectWriter | None = None
        self._is_closed = False

    def write(self, data: Buffer) -> None:
        self._require_open()
        if self._inner is None and self._kept is not None:
            if len(self._kept) + memoryview(data).nbytes <= PART_BYTES:
                self._kept += data
                return
            self._inner = self._store.open_inner_writer(self._key)
            self._inner.write(self._kept)
            self._kept = None
        if self._inner is not None:
            self._inner.write(data)

    def commit(self) -> None:
        """Put what was kept, or finish the stream; either way the writer is closed then."""
        self._require_open()
        try:
            if self._inner is not None:
                self._inner.commit()
            elif self._kept is not None:
                self._store.put(self._key, self._kept)
        finally:
            self.abort()

    def abort(self) -> None:
        self._is_closed = True
        self._kept = None
        if self._inner is not None:
            self._inner.abort()

    def __enter__(self) -> RetryingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _require_open(self) -> None:
        if self._is_closed:
            raise ValueError(f"the writer of {self._key} is closed")
