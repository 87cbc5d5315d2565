"""A streamed object of a bucket: parts travel while the next ones are written, in bounded memory.

The client takes an iterator, so a thread of its own runs the upload and is fed through a queue of one part. An
exception raised inside the iterator makes the client abort the upload: that is how ``abort`` works. A process
that is killed leaves parts that are no object; a lifecycle rule of the bucket should remove those.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import obstore

from seawall.model.errors import SeawallError, Unavailable
from seawall.storage.bucket_errors import translate
from seawall.storage.errors import ObjectExists, StoreUnavailable
from seawall.storage.protocol import Buffer, ObjectInfo
from seawall.storage.retry import PART_BYTES, RetryPolicy

if TYPE_CHECKING:
    from seawall.storage.bucket_clients import Client

PARTS_IN_FLIGHT = 3
"""With the part being filled and the one that waits: about 40 MiB per writer."""

_POLL_S = 0.1
_LEAVE_S = 10.0
"""How long an abort waits for the server to hear of it; the upload's thread goes on alone after that."""


class SmallPuts(Protocol):
    """What the writer needs of its store."""

    @property
    def url(self) -> str: ...
    def put(self, key: str, data: Buffer) -> None: ...
    def stat(self, key: str) -> ObjectInfo | None: ...


class _Aborted(Exception):
    pass


class MultipartWriter:
    """One object on its way. Crash: no object; perhaps parts that only a lifecycle rule removes."""

    def __init__(self, store: SmallPuts, client: Client, key: str, policy: RetryPolicy) -> None:
        self._store, self._client, self._key, self._policy = store, client, key, policy
        self._part = bytearray()
        self._sent_bytes = 0
        self._queue: queue.Queue[bytes | bool] = queue.Queue(maxsize=1)
        """Parts, then True to complete the upload or False to abort it."""
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._is_closed = False

    def write(self, data: Buffer) -> None:
        self._require_open()
        view = memoryview(data).cast("B")
        while view:
            if len(self._part) == PART_BYTES:
                self._send_part()
            room = PART_BYTES - len(self._part)
            self._part += view[:room]
            view = view[room:]

    def commit(self) -> None:
        """Complete the upload; a small object is put in one request instead, create-only by the server."""
        self._require_open()
        try:
            if self._thread is None:
                self._store.put(self._key, self._part)
            else:
                self._complete()
        finally:
            self.abort()

    def abort(self) -> None:
        self._is_closed = True
        self._part = bytearray()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        ends_at = time.monotonic() + min(_LEAVE_S, self._policy.deadline_s)
        while thread.is_alive() and time.monotonic() < ends_at:
            try:
                self._queue.put(False, timeout=_POLL_S)
            except queue.Full:
                continue  # its last parts are still being taken
            break
        thread.join(max(0.0, ends_at - time.monotonic()))

    def __enter__(self) -> MultipartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _send_part(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._upload, name=f"upload {self._key}", daemon=True)
            self._thread.start()
        self._sent_bytes += len(self._part)
        self._send(bytes(self._part))
        self._part = bytearray()

    def _send(self, item: bytes | bool) -> None:
        """Hand over to the upload. Raises its error, or StoreUnavailable when it takes nothing for too long."""
        ends_at = time.monotonic() + self._policy.deadline_s + self._policy.attempt_s
        while self._thread is not None and self._thread.is_alive() and time.monotonic() < ends_at:
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return
        raise self._failure()

    def _complete(self) -> None:
        if self._store.stat(self._key) is not None:
            raise ObjectExists(f"{self._key} exists in {self._store.url}")
        total_bytes = self._sent_bytes + len(self._part)
        try:
            if self._part:
                self._send_part()
            self._send(True)
            self._wait()
        except Unavailable:
            # The answer to the completion may be what got lost. The name is ours alone (see the contract),
            # and the server shows nothing but whole objects.
            info = self._store.stat(self._key)
            if info is None or info.size_bytes != total_bytes:
                raise

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join(self._policy.deadline_s + self._policy.attempt_s)
            if self._thread.is_alive() or self._error is not None:
                raise self._failure()

    def _failure(self) -> SeawallError:
        if self._error is not None:
            return translate(self._error, self._store.url, self._key)
        return StoreUnavailable(
            f"the upload of {self._key} to {self._store.url} does not get on",
            hint="check network and server; what was stored before stays as it is",
        )

    def _upload(self) -> None:
        try:
            obstore.put(
                self._client,
                self._key,
                self._pieces(),
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_IN_FLIGHT,
            )
        except _Aborted:
            return
        except Exception as error:  # noqa: BLE001 a thread's top: handed to the writer
            self._error = error

    def _pieces(self) -> Iterator[bytes]:
        while True:
            item = self._queue.get()
            if item is True:
                return
            if item is False:
                raise _Aborted
            yield item

    def _require_open(self) -> None:
        if self._is_closed:
            raise ValueError(f"the writer of {self._key} is closed")
