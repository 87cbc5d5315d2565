"""One entry of a manifest: a file, folder or link of the data directory, and where its bytes are.

Paths are relative to the data directory, with ``/``; a tablespace's files lie below ``pg_tblspc/OID/``. Names
that are not UTF-8 are text with surrogate escapes, as ``os.fsdecode`` gives them, and bytes on the wire.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

import msgspec

from seawall.repository.errors import FrameDamaged
from seawall.repository.format.extents import EXTENT_BYTES, Extent, iter_extents


class FileKind(enum.IntEnum):
    """What the entry is on disk."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2


class FileIdentity(msgspec.Struct, frozen=True, array_like=True):
    """What tells that a file was replaced or written since; reserved for incremental backups."""

    device: int
    inode: int
    ctime_ns: int
    birth_ns: int = 0


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file. ``extents`` is packed (:func:`seawall.repository.format.extents.pack_extents`), in file order."""

    path: str
    kind: FileKind = FileKind.FILE
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
    owner: str = ""
    group: str = ""
    mtime_ns: int = 0
    size: int = 0
    target: str = ""
    """Where a symlink points to."""
    extents: bytes = b""
    corrupt_blocks: tuple[int, ...] = ()
    """Blocks of a relation file whose page checksum did not match when it was read."""
    identity: FileIdentity | None = None

    def iter_extents(self) -> Iterator[Extent]:
        """Yield where the content is. Raises FrameDamaged."""
        return iter_extents(self.extents)


class _Record(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An entry, or a part of one, on the wire. A part with ``more`` is continued by the next record."""

    path: bytes
    kind: FileKind
    mode: int
    uid: int
    gid: int
    owner: str
    group: str
    mtime_ns: int
    size: int
    target: bytes
    extents: bytes
    corrupt_blocks: bytes
    identity: FileIdentity | None
    more: bool


MAX_RECORD_EXTENTS = 2048
MAX_RECORD_BLOCKS = 16 << 10
"""Larger entries are cut into parts, so that a frame is bounded whatever the size of a file."""
_encode = msgspec.msgpack.Encoder().encode
_decode_many = msgspec.msgpack.Decoder(list[_Record]).decode


def path_order(path: str) -> bytes:
    """Return the sort key of a path: components compared as byte strings, a folder before what is in it."""
    return encode_path(path).replace(b"/", b"\0")


def encode_path(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def check_path(path: bytes) -> None:
    """Raise ValueError unless ``path`` stays below the folder that it is restored into.

    The empty path is the data directory itself.
    """
    around = b"/" + path + b"/"
    if path and (b"//" in around or b"/./" in around or b"/../" in around or b"\0" in path):
        raise ValueError(f"not a relative path without detours: {path!r}")


def encode_entry(entry: FileEntry) -> list[bytes]:
    """Return an entry's records, nearly always one. Raises ValueError for an impossible path."""
    path = encode_path(entry.path)
    check_path(path)
    step, extents = MAX_RECORD_EXTENTS * EXTENT_BYTES, entry.extents
    blocks = struct.pack(f"<{len(entry.corrupt_blocks)}I", *entry.corrupt_blocks)
    parts = max(1, -(-len(extents) // step), -(-len(blocks) // (4 * MAX_RECORD_BLOCKS)))
    return [
        _encode(
            _Record(
                path,
                entry.kind,
                entry.mode,
                entry.uid,
                entry.gid,
                entry.owner,
                entry.group,
                entry.mtime_ns,
                entry.size,
                encode_path(entry.target),
                extents[part * step : (part + 1) * step],
                blocks[part * 4 * MAX_RECORD_BLOCKS : (part + 1) * 4 * MAX_RECORD_BLOCKS],
                entry.identity,
                part + 1 < parts,
            )
        )
        for part in range(parts)
    ]


class EntryDecoder:
    """Joins the records of consecutive frames back to entries."""

    def __init__(self) -> None:
        self._parts: list[_Record] = []

    def decode(self, payload: bytes) -> Iterator[FileEntry]:
        """Yield the entries that end in this frame. Raises FrameDamaged."""
        try:
            records = _decode_many(payload)
            for record in records:
                if self._parts or record.more:
                    joined = self._join(record)
                    if joined is None:
                        continue
                    record = joined
                yield _entry(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            raise FrameDamaged(f"a manifest frame holds no valid entries: {error}") from error

    def finish(self) -> None:
        """Raise FrameDamaged if an entry was begun and never ended."""
        if self._parts:
            raise FrameDamaged("the manifest ends within an entry")

    def _join(self, record: _Record) -> _Record | None:
        if self._parts and self._parts[0].path != record.path:
            raise FrameDamaged("the parts of a manifest entry are of different files")
        self._parts.append(record)
        if record.more:
            return None
        record.extents = b"".join([part.extents for part in self._parts])
        record.corrupt_blocks = b"".join([part.corrupt_blocks for part in self._parts])
        self._parts = []
        return record


def _entry(record: _Record) -> FileEntry:
    check_path(record.path)
    blocks = record.corrupt_blocks
    if len(blocks) % 4 or len(record.extents) % EXTENT_BYTES:
        raise ValueError("extents or corrupt blocks are cut")
    return FileEntry(
        path=record.path.decode("utf-8", "surrogateescape"),
        kind=record.kind,
        mode=record.mode,
        uid=record.uid,
        gid=record.gid,
        owner=record.owner,
        group=record.group,
        mtime_ns=record.mtime_ns,
        size=record.size,
        target=record.target.decode("utf-8", "surrogateescape"),
        extents=record.extents,
        corrupt_blocks=struct.unpack(f"<{len(blocks) // 4}I", blocks) if blocks else (),
        identity=record.identity,
    )
