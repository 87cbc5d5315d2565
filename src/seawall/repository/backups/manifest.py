"""The manifest of a backup: all entries in path order, then the packs, then an index over both.

It is written and read as a stream, with one frame in memory, so a million files cost as much memory as one.
The index at the end leads to any single file without reading the rest; the commit record says where it is
and what the whole manifest hashes to.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from blake3 import blake3

from seawall.repository.backups.file_entry import (
    EntryDecoder,
    FileEntry,
    FileIdentity,
    FileKind,
    encode_entry,
    encode_path,
    path_order,
)
from seawall.repository.backups.packs import PackEntry
from seawall.repository.backups.record import ManifestRef
from seawall.repository.errors import FrameDamaged
from seawall.repository.format.codec import Codec, Compressor
from seawall.repository.format.frames import HEADER_BYTES, Frame, FrameContent, ObjectKind, ObjectOpener
from seawall.repository.format.object_io import FramedWriter, stream_frames
from seawall.repository.repository import Repository
from seawall.storage.errors import ObjectMissing

__all__ = [
    "FileEntry",
    "FileIdentity",
    "FileKind",
    "ManifestReader",
    "ManifestRef",
    "ManifestWriter",
    "path_order",
]

FRAME_TARGET_BYTES = 256 << 10
_PACKS_PER_FRAME = 2000
_INDEX_LINES_PER_FRAME = 2000


class _PackLine(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    name: str
    backup_id: str
    salt: bytes
    size_bytes: int


class _IndexLine(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """One earlier frame: what it holds, where it is, and the first path in it (empty for packs)."""

    content: int
    offset: int
    length: int
    first_path: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_packs = msgspec.msgpack.Decoder(list[_PackLine]).decode
_decode_index = msgspec.msgpack.Decoder(list[_IndexLine]).decode


class ManifestWriter:
    """Takes entries in ascending path order (:func:`path_order`), from one thread."""

    def __init__(self, repository: Repository, key: str) -> None:
        self._hash = blake3()
        self._object = FramedWriter(
            repository.store, repository.context, ObjectKind.MANIFEST, key, hasher=self._hash
        )
        self._compressor = Compressor()
        self._records: list[bytes] = []
        self._records_bytes = 0
        self._first_path = b""
        self._index: list[_IndexLine] = []
        self._previous: bytes | None = None

    def add(self, entry: FileEntry) -> None:
        """Append one entry. Raises ValueError if it does not come after the one before."""
        order = path_order(entry.path)
        if self._previous is not None and order <= self._previous:
            raise ValueError(f"{entry.path!r} is out of order in the manifest, or there twice")
        self._previous = order
        for record in encode_entry(entry):
            if not self._records:
                self._first_path = encode_path(entry.path)
            self._records.append(record)
            self._records_bytes += len(record)
            if self._records_bytes >= FRAME_TARGET_BYTES:
                self._flush()

    def finish(self, packs: list[PackEntry]) -> ManifestRef:
        """Write the pack table and the index; return once the manifest is durable.

        Crash: no manifest, or a whole one that no commit record names.
        """
        self._flush()
        lines = [_PackLine(pack.name, pack.backup_id, pack.salt, pack.size_bytes) for pack in packs]
        for start in range(0, len(lines), _PACKS_PER_FRAME):
            self._append(_encode(lines[start : start + _PACKS_PER_FRAME]), FrameContent.META, b"")
        index, index_offset = self._index, self._object.offset
        chunks = [
            index[start : start + _INDEX_LINES_PER_FRAME]
            for start in range(0, len(index), _INDEX_LINES_PER_FRAME)
        ] or [[]]
        for number, chunk in enumerate(chunks, start=1):
            payload = _encode(chunk)
            compressed = self._compressor.compress(payload)
            self._object.append(
                compressed, len(payload), content=FrameContent.INDEX, is_last=number == len(chunks)
            )
        self._object.commit()
        return ManifestRef(self._object.offset, index_offset, self._hash.hexdigest())

    def abort(self) -> None:
        self._object.abort()

    def _flush(self) -> None:
        if not self._records:
            return
        payload = _array_header(len(self._records)) + b"".join(self._records)
        self._append(payload, FrameContent.DATA, self._first_path)
        self._records, self._records_bytes = [], 0

    def _append(self, payload: bytes, content: FrameContent, first_path: bytes) -> None:
        compressed = self._compressor.compress(payload)
        offset, length = self._object.append(compressed, len(payload), content=content, codec=Codec.ZSTD)
        self._index.append(_IndexLine(content, offset, length, first_path))


def _array_header(count: int) -> bytes:
    """Return msgpack's header of an array, so that records encoded one by one become one array."""
    return b"\xdd" + count.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class _Index:
    entries: list[_IndexLine]
    orders: list[bytes]
    packs: list[_IndexLine]


class ManifestReader:
    """Reads one manifest. Safe to share by threads: each call reads for itself."""

    def __init__(self, repository: Repository, key: str, ref: ManifestRef) -> None:
        self._repository = repository
        self.key = key
        self.ref = ref

    def entries(self) -> Iterator[FileEntry]:
        """Yield all entries in path order. Reaching the end proves that the whole manifest is intact.

        Raises:
            FrameDamaged: some byte of it is not what the commit record stands for.
        """
        digest, decoder = blake3(), EntryDecoder()
        previous: bytes | None = None
        for frame in self._stream(digest):
            if frame.content is not FrameContent.DATA:
                continue
            for entry in self._decoded(decoder, frame):
                order = path_order(entry.path)
                if previous is not None and order <= previous:
                    raise FrameDamaged(f"{self.key} is not in path order", object=self.key)
                previous = order
                yield entry
        decoder.finish()
        if digest.hexdigest() != self.ref.hash:
            raise FrameDamaged(f"{self.key} is another manifest than the one committed", object=self.key)

    def packs(self) -> list[PackEntry]:
        """Return the pack table, in order of the indexes that extents use. Raises FrameDamaged."""
        opener = self._opener()
        packs: list[PackEntry] = []
        try:
            for line in self._index(opener).packs:
                frame = self._frame(opener, line)
                packs += [
                    PackEntry(pack.name, pack.backup_id, pack.salt, pack.size_bytes)
                    for pack in _decode_packs(frame.payload)
                ]
        except msgspec.MsgspecError as error:
            raise FrameDamaged(f"{self.key} has no valid pack table: {error}", object=self.key) from error
        return packs

    def find(self, path: str) -> FileEntry | None:
        """Return one entry by reading the index and the frame that holds it. Raises FrameDamaged."""
        opener = self._opener()
        index = self._index(opener)
        order = path_order(path)
        # A file cut in parts may begin at the end of the frame before the one that its path opens.
        number = max(bisect.bisect_left(index.orders, order) - 1, 0)
        decoder = EntryDecoder()
        for line, first in zip(index.entries[number:], index.orders[number:], strict=True):
            if first > order:
                break
            for entry in self._decoded(decoder, self._frame(opener, line)):
                if entry.path == path:
                    return entry
        return None

    def _decoded(self, decoder: EntryDecoder, frame: Frame) -> Iterator[FileEntry]:
        try:
            yield from decoder.decode(frame.payload)
        except FrameDamaged as error:
            message = f"{self.key} is damaged at offset {frame.offset}: {error.message}"
            raise FrameDamaged(message, object=self.key, offset=frame.offset) from error

    def _stream(self, digest: blake3) -> Iterator[Frame]:
        repository = self._repository
        try:
            yield from stream_frames(
                repository.store,
                repository.context,
                ObjectKind.MANIFEST,
                self.key,
                size=self.ref.size,
                hasher=digest,
            )
        except ObjectMissing:
            raise self._missing() from None

    def _opener(self) -> ObjectOpener:
        return ObjectOpener(
            self._repository.context, ObjectKind.MANIFEST, self.key, self._fetch(0, HEADER_BYTES)
        )

    def _index(self, opener: ObjectOpener) -> _Index:
        start = self.ref.index_offset
        data = memoryview(self._fetch(start, self.ref.size - start))
        lines: list[_IndexLine] = []
        position, is_last = 0, False
        while not is_last:
            frame = opener.open(data[position:], start + position)
            if frame.content is not FrameContent.INDEX:
                raise FrameDamaged(f"{self.key} has no index at {start}", object=self.key, offset=start)
            try:
                lines += _decode_index(frame.payload)
            except msgspec.MsgspecError as error:
                raise FrameDamaged(f"{self.key} has no valid index: {error}", object=self.key) from error
            position += frame.length
            is_last = frame.is_last
        entries = [line for line in lines if line.content == FrameContent.DATA]
        orders = [line.first_path.replace(b"/", b"\0") for line in entries]
        return _Index(entries, orders, [line for line in lines if line.content == FrameContent.META])

    def _frame(self, opener: ObjectOpener, line: _IndexLine) -> Frame:
        return opener.open(self._fetch(line.offset, line.length), line.offset)

    def _fetch(self, offset: int, length: int) -> bytes:
        try:
            return self._repository.store.get_range(self.key, offset, length)
        except ObjectMissing:
            raise self._missing() from None

    def _missing(self) -> FrameDamaged:
        return FrameDamaged(f"{self.key} is missing, although a commit record names it", object=self.key)
