"""Where the bytes of a file are: a run of extents, each naming its place in the file and in a pack.

Extents are stored packed, 52 bytes each, so that a 1 GiB relation segment costs one bytes object of 208 KiB
and not four thousand Python objects. At most 256 KiB each (runs of zeros may be longer), with a hash of
their own, so that any range of any file can be read and proven without reading the rest.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from seawall.repository.errors import FrameDamaged

MAX_EXTENT_BYTES = 256 << 10
"""Plaintext of a frame of file content at most, and so of an extent that holds data."""
EXTENT_BYTES = 52
EXTENT_HASH_BYTES = 16
_EXTENT = struct.Struct("<QIBBHIQII16s")
_NO_HASH = bytes(EXTENT_HASH_BYTES)


class ExtentKind(enum.IntEnum):
    """What an extent stands for."""

    DATA = 0
    ZEROS = 1
    PAGE_RUN = 2
    """Reserved: changed pages of an incremental backup."""


class Extent(NamedTuple):
    """``length`` bytes of a file from ``file_offset``.

    They are ``inner`` bytes into the plaintext of the frame of ``frame_length`` bytes (all of it: header,
    payload, tag) at ``frame_offset`` of the pack with index ``pack`` in the manifest's pack table.
    """

    file_offset: int
    length: int
    kind: ExtentKind
    flags: int
    pack: int
    frame_offset: int
    frame_length: int
    inner: int
    hash: bytes

    @classmethod
    def zeros(cls, file_offset: int, length: int) -> Extent:
        """Return a run of zero bytes, which takes no room in any pack."""
        return cls(file_offset, length, ExtentKind.ZEROS, 0, 0, 0, 0, 0, _NO_HASH)

    @property
    def file_end(self) -> int:
        return self.file_offset + self.length


def pack_extents(extents: Iterable[Extent]) -> bytes:
    """Return extents as they are stored."""
    return b"".join(
        [
            _EXTENT.pack(offset, length, kind, flags, 0, pack, frame_offset, frame_length, inner, digest)
            for offset, length, kind, flags, pack, frame_offset, frame_length, inner, digest in extents
        ]
    )


def iter_extents(packed: bytes) -> Iterator[Extent]:
    """Yield stored extents. Raises FrameDamaged for what no writer of this format makes."""
    if len(packed) % EXTENT_BYTES:
        raise FrameDamaged("a file's extents end within an extent")
    for offset, length, kind, flags, reserved, pack, start, size, inner, digest in _EXTENT.iter_unpack(
        packed
    ):
        if kind > ExtentKind.ZEROS or flags or reserved or (not kind and inner + length > MAX_EXTENT_BYTES):
            raise FrameDamaged("an extent holds values of a later format, or impossible ones")
        yield Extent(offset, length, _KINDS[kind], flags, pack, start, size, inner, digest)


_KINDS = tuple(ExtentKind)
