"""Packs: large objects of frames with file content, written by one thread each and read by many.

A pack fills to about 64 MiB and is then made durable behind the thread's back (fsync and link on a disk, the
last part of an upload) while the next one fills. Compression and sealing are apart: ``append`` takes what
one compressor made, and several repositories may each seal those same bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import NamedTuple

from seawall.repository.format.codec import Codec
from seawall.repository.format.frames import FrameContent, ObjectKind
from seawall.repository.format.object_io import WRITE_BYTES, FramedWriter
from seawall.repository.layout import new_pack_name
from seawall.repository.repository import Repository
from seawall.storage.protocol import Buffer

_MAX_CLOSING = 2
"""Full packs that one thread may leave behind before it waits for the oldest."""


class FrameRef(NamedTuple):
    """Where a frame went: index in the pack table, offset in the pack, whole length."""

    pack: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class PackPolicy:
    """How large packs grow. Larger: fewer requests and fsyncs; smaller: less to copy when one is dropped."""

    target_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class PackEntry:
    """One line of the pack table: enough to read the pack without reading its header first."""

    name: str
    backup_id: str
    salt: bytes
    size_bytes: int


class PackTable:
    """The packs of one backup by index. Thread-safe: indexes come from an append to a list."""

    def __init__(self) -> None:
        self._entries: list[PackEntry | None] = []
        self._lock = threading.Lock()

    def reserve(self) -> int:
        """Return the index of a new pack."""
        with self._lock:
            self._entries.append(None)
            return len(self._entries) - 1

    def complete(self, index: int, entry: PackEntry) -> None:
        """Say that the pack is durable."""
        self._entries[index] = entry

    @property
    def count(self) -> int:
        return len(self._entries)

    @property
    def stored_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self._entries if entry is not None)

    def entries(self) -> list[PackEntry]:
        """Return all of them. Raises ValueError while one is not durable."""
        done = [entry for entry in self._entries if entry is not None]
        if len(done) != len(self._entries):
            raise ValueError("a pack of this backup was never closed")
        return done


class PackWriter:
    """Writes frames into packs of one backup; owned by one thread.

    Errors of a pack that closes in the background are raised by the next ``append``, ``seal`` or ``close``.
    """

    def __init__(
        self,
        repository: Repository,
        table: PackTable,
        backup_id: str,
        *,
        key_of: Callable[[str], str],
        executor: Executor,
        policy: PackPolicy,
    ) -> None:
        self.repository = repository
        self._table = table
        self._backup_id = backup_id
        self._key_of = key_of
        self._executor = executor
        self._target_bytes = policy.target_bytes
        self._buffer = bytearray(WRITE_BYTES)
        self._closing: deque[Future[None]] = deque()
        self._pack: FramedWriter | None = None
        self._name = ""
        self._index = 0

    def append(self, payload: Buffer, raw_length: int, codec: Codec = Codec.ZSTD) -> FrameRef:
        """Seal one frame into the current pack. ``payload`` may be reused at once."""
        if self._closing and self._closing[0].done():
            self._closing.popleft().result()
        pack = self._pack or self._open()
        try:
            offset, length = pack.append(payload, raw_length, codec=codec)
        except BaseException:
            self._drop()
            raise
        ref = FrameRef(self._index, offset, length)
        if offset + length >= self._target_bytes:
            self.seal()
        return ref

    def seal(self) -> None:
        """End the current pack and let it become durable in the background; the next one may be begun."""
        pack = self._pack
        if pack is None:
            return
        try:
            pack.append(b"", 0, content=FrameContent.TRAILER, codec=Codec.STORED, is_last=True)
            pack.flush()
        except BaseException:
            self._drop()
            raise
        self._pack = None
        entry = PackEntry(self._name, self._backup_id, pack.salt, pack.offset)
        self._closing.append(self._executor.submit(self._commit, pack, self._index, entry))
        while len(self._closing) > _MAX_CLOSING:
            self._closing.popleft().result()

    def close(self) -> None:
        """Return once every frame that was appended is durable. Of several, ``seal`` all before closing."""
        self.seal()
        while self._closing:
            self._closing.popleft().result()

    def abort(self) -> None:
        """Drop the current pack and wait for those that are closing; what those wrote stays behind."""
        self._drop()
        while self._closing:
            self._closing.popleft().exception()

    def _drop(self) -> None:
        """Forget the current pack for good: half a write may be in it, so its index stays incomplete, and
        with it no backup can be committed."""
        pack, self._pack = self._pack, None
        if pack is not None:
            pack.abort()

    def _open(self) -> FramedWriter:
        self._name = new_pack_name()
        self._index = self._table.reserve()
        self._pack = FramedWriter(
            self.repository.store,
            self.repository.context,
            ObjectKind.PACK,
            self._key_of(self._name),
            buffer=self._buffer,
        )
        return self._pack

    def _commit(self, pack: FramedWriter, index: int, entry: PackEntry) -> None:
        try:
            pack.commit()
        except BaseException:
            pack.abort()
            raise
        self._table.complete(index, entry)
