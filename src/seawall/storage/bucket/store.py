"""A bucket as an object store: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.

Creation is ``PUT`` with ``If-None-Match: *``, which the server decides. The client can't send that header when
it completes a multipart upload, so streamed objects beyond one part are checked for existence just before; see
the contract for what may be that large.

Every call is one request of bounded time and is never repeated here: :mod:`seawall.storage.retry` does that,
because only who repeats knows that "exists already" may mean oneself. Streams are the exception.

Of a streamed object, parts travel while the next ones are written. The client takes an iterator, so a thread of
its own runs the upload, fed through a queue of one part; an exception raised inside the iterator makes the
client abort the upload. A killed process leaves parts that are no object: let a lifecycle rule of the bucket
remove those.

Not for use after ``fork``: the client's threads do not survive it, and its calls would hang.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

import obstore
from obstore.exceptions import BaseError

from seawall.model.clock import Clock
from seawall.model.errors import SeawallError, Unavailable
from seawall.storage.bucket.client import (
    CLIENT_ERRORS,
    Bucket,
    Client,
    check_account,
    make_client,
    status_of,
    translate,
)
from seawall.storage.bucket.lock import ask_object_lock
from seawall.storage.errors import ObjectExists, ObjectMissing, StoreUnavailable, StoreUnsafe
from seawall.storage.protocol import (
    Abilities,
    Buffer,
    ObjectInfo,
    ObjectLock,
    ObjectStore,
    check_key,
    check_prefix,
    is_key,
)
from seawall.storage.retry import PART_BYTES, RetryingStore, RetryPolicy

T = TypeVar("T")

PARTS_IN_FLIGHT = 3
"""With the part being filled and the one that waits: about 40 MiB per writer."""

_POLL_S = 0.1
_LEAVE_S = 10.0
"""How long an abort waits for the server to hear of it; the upload's thread goes on alone after that."""


def open_bucket(
    bucket: Bucket,
    credentials: Mapping[str, str] | None,
    *,
    retry: RetryPolicy | None = None,
    clock: Clock | None = None,
) -> ObjectStore:
    """Return the bucket's store behind retries. Nothing is sent yet. Raises StoreUrlInvalid."""
    policy = retry or RetryPolicy()
    return RetryingStore(BucketStore(bucket, credentials, policy), policy, clock=clock)


class BucketStore:
    """See the module docstring and :class:`seawall.storage.protocol.ObjectStore`."""

    def __init__(self, bucket: Bucket, credentials: Mapping[str, str] | None, policy: RetryPolicy) -> None:
        check_account(bucket.scheme, credentials)
        self._bucket, self._policy = bucket, policy
        self._client = make_client(bucket, credentials, policy, repeats=False)
        self._stream_client = make_client(bucket, credentials, policy, repeats=True)

        def ask_lock() -> ObjectLock:
            return ask_object_lock(bucket, credentials, policy)

        self._ask_lock = ask_lock
        """A function, so that no representation of a store has the credentials in it."""
        self._pid = os.getpid()

    @property
    def url(self) -> str:
        return self._bucket.url

    def put(self, key: str, data: Buffer) -> None:
        check_key(key)
        # The client reads the buffer in threads of its own; a copy can't change under a request that is late.
        content = bytes(data)
        self._call(key, lambda: obstore.put(self._client, key, content, mode="create", use_multipart=False))

    def open_writer(self, key: str) -> MultipartWriter:
        self._require_same_process()
        return MultipartWriter(self, self._stream_client, check_key(key), self._policy)

    def get(self, key: str) -> bytes:
        check_key(key)
        return self._call(key, lambda: bytes(obstore.get(self._client, key).bytes()))

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        check_key(key)
        if offset < 0 or length < 0:
            raise ValueError(f"not a range: {offset}, {length}")
        if length == 0:
            if self.stat(key) is None:
                raise ObjectMissing(f"{key} is not in {self.url}")
            return b""

        def read() -> bytes:
            try:
                return bytes(obstore.get_range(self._client, key, start=offset, length=length))
            except BaseError as error:
                if status_of(error) == 416:  # nothing at or beyond the end
                    return b""
                raise

        return self._call(key, read)

    def stat(self, key: str) -> ObjectInfo | None:
        check_key(key)
        try:
            return _info(self._call(key, lambda: obstore.head(self._client, key)))
        except ObjectMissing:
            return None

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        """List. The clouds list in the order of keys; other servers walk a tree, whose order differs where
        names hold ``-`` or ``.``, so there one folder at a time is asked for and sorted."""
        check_prefix(prefix)
        return self._scan_folders(prefix) if self._bucket.endpoint else self._scan_stream(prefix)

    def children(self, prefix: str) -> list[str]:
        folders, objects = self._folder(check_prefix(prefix))
        # A tree-walking server may show folders that hold nothing any more.
        live = [path for path in folders if not self._bucket.endpoint or self._holds_any(f"{path}/")]
        return sorted({path[len(prefix) :] for path in (*live, *(info.key for info in objects))})

    def delete(self, key: str) -> None:
        check_key(key)
        try:
            self._call(key, lambda: obstore.delete(self._client, key))
        except ObjectMissing:
            return

    def probe(self) -> Abilities:
        from seawall.storage.probe import probe_store

        return probe_store(self)

    def object_lock(self) -> ObjectLock:
        return self._ask_lock()

    def close(self) -> None:
        """The client closes idle connections by itself."""

    def _scan_stream(self, prefix: str) -> Iterator[ObjectInfo]:
        last = ""
        pages = self._call(prefix, lambda: iter(obstore.list(self._client, prefix or None, chunk_size=1000)))
        while (page := self._call(prefix, lambda: next(pages, None))) is not None:
            for info in (_info(meta) for meta in page if is_key(meta["path"])):
                if info.key <= last:
                    raise StoreUnsafe(
                        f"{self.url} lists {info.key} after {last}",
                        hint="this store does not list in order of keys; name its `endpoint:`, or use another",
                    )
                last = info.key
                yield info

    def _scan_folders(self, prefix: str) -> Iterator[ObjectInfo]:
        folders, objects = self._folder(prefix)
        entries: list[tuple[str, ObjectInfo | None]] = [(f"{path}/", None) for path in folders]
        entries += [(info.key, info) for info in objects]
        for path, info in sorted(entries, key=lambda entry: entry[0]):
            if info is not None:
                yield info
            else:
                yield from self._scan_folders(path)

    def _folder(self, prefix: str) -> tuple[list[str], list[ObjectInfo]]:
        found = self._call(prefix, lambda: obstore.list_with_delimiter(self._client, prefix or None))
        folders = [path for path in found["common_prefixes"] if is_key(path)]
        objects = [_info(meta) for meta in found["objects"] if is_key(meta["path"])]
        return folders, [info for info in objects if not self._is_ghost(info)]

    def _is_ghost(self, info: ObjectInfo) -> bool:
        """Say whether a listed object is only a folder that lost its last object, as SeaweedFS shows those for
        a while: its key ends in ``/``, which the client drops."""
        return bool(self._bucket.endpoint) and info.size_bytes == 0 and self.stat(info.key) is None

    def _holds_any(self, prefix: str) -> bool:
        return next(self._scan_folders(prefix), None) is not None

    def _call(self, key: str, action: Callable[[], T]) -> T:
        self._require_same_process()
        try:
            return action()
        except CLIENT_ERRORS as error:
            raise translate(error, self.url, key) from error

    def _require_same_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("a bucket's store can't be used after fork: open it again in a new process")


def _info(meta: Any) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], meta["last_modified"])


class _Aborted(Exception):
    pass


class MultipartWriter:
    """One object on its way. Crash: no object; perhaps parts that only a lifecycle rule removes."""

    def __init__(self, store: BucketStore, client: Client, key: str, policy: RetryPolicy) -> None:
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
        # As patient as everything else: an outage at this very moment must not cost the whole upload.
        patient = RetryingStore(self._store, self._policy)
        if patient.stat(self._key) is not None:
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
            info = patient.stat(self._key)
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
