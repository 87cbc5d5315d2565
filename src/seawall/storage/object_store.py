"""A bucket as an object store: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.

Creation is ``PUT`` with ``If-None-Match: *``, which the server decides. The client can't send that header when
it completes a multipart upload, so streamed objects beyond one part are checked for existence just before; see
the contract for what may be that large.

Every call is one request of bounded time and is never repeated here: :mod:`seawall.storage.retry` does that,
because only who repeats knows that "exists already" may mean oneself. Streams are the exception.

Not for use after ``fork``: the client's threads do not survive it, and its calls would hang.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import obstore
from obstore.exceptions import BaseError

from seawall.model.clock import Clock
from seawall.storage.bucket_clients import Bucket, check_account, make_client
from seawall.storage.bucket_errors import CLIENT_ERRORS, status_of, translate
from seawall.storage.errors import ObjectMissing, StoreUnsafe
from seawall.storage.multipart import MultipartWriter
from seawall.storage.protocol import (
    Abilities,
    Buffer,
    ObjectInfo,
    ObjectStore,
    check_key,
    check_prefix,
    is_key,
)
from seawall.storage.retry import RetryingStore, RetryPolicy

T = TypeVar("T")


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

        return probe_store(self, lock="object lock: this client can't ask the bucket for it")

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
