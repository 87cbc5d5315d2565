"""Sealed frames: the only way in which bytes enter or leave an object of the repository.

An object is a 64-byte header and frames up to one that says it is the last (``docs/format.md``). Each frame
is authenticated together with everything that says where it belongs: repository, object header, object key,
offset and frame header. So a frame that is flipped, cut, swapped, moved or replayed elsewhere does not open,
and an object that was cut at a frame's edge lacks its last frame.

Sealers and openers belong to one thread; their buffers are reused. Compression happens before, in
:mod:`seawall.repository.format.codec`, because several repositories may seal the same compressed bytes.
"""

from __future__ import annotations

import enum
import hmac
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from blake3 import blake3

from seawall.repository.errors import FrameDamaged
from seawall.repository.format.aead import AESGCM, invalid_tag
from seawall.repository.format.codec import Codec, decompress
from seawall.repository.format.crypto import SALT_BYTES, CryptoContext
from seawall.storage.protocol import Buffer

FORMAT_VERSION = 1
HEADER_BYTES = 64
FRAME_HEADER_BYTES = 12
MAX_RAW_BYTES = 1 << 20
"""Plaintext of a frame at most, so that readers can bound their memory before they trust anything."""
MAX_STORED_BYTES = MAX_RAW_BYTES + (8 << 10)
"""Payload of a frame at most: incompressible plaintext grows a little under zstd."""
MAX_FRAME_BYTES = FRAME_HEADER_BYTES + MAX_STORED_BYTES + 32

_MAGIC = b"SEAWALL\x01"
_HEADER = struct.Struct("<8sHHI32s16s")
_FRAME = struct.Struct("<IIBBBB")
_PLACE = struct.Struct("<QIIBBBB")
_AAD_PREFIX = b"seawall frame v1"
_AAD_PLACE = len(_AAD_PREFIX) + 16 + HEADER_BYTES
_AAD_FRAME = _AAD_PLACE + 8
_FLAG_ENCRYPTED = 1
_FLAG_LAST = 1
_GCM_TAG_BYTES = 16
_BLAKE3_TAG_BYTES = 32


class ObjectKind(enum.IntEnum):
    """What an object is; part of its header and of every frame's authentication."""

    PACK = 1
    MANIFEST = 2
    COMMIT = 3
    WAL = 4
    TERM = 5
    LEASE = 6


class FrameContent(enum.IntEnum):
    """What a frame holds within its object."""

    DATA = 1
    META = 2
    INDEX = 3
    TRAILER = 4


class FrameHeader(NamedTuple):
    """The 12 bytes before a payload, not yet authenticated."""

    stored: int
    raw: int
    content: int
    codec: int
    flags: int
    zero: int

    @classmethod
    def parse(cls, data: Buffer, position: int = 0) -> FrameHeader:
        """Read and bound-check a frame header. Raises FrameDamaged."""
        if len(data) - position < FRAME_HEADER_BYTES:
            raise FrameDamaged("an object ends within a frame header")
        header = cls._make(_FRAME.unpack_from(data, position))
        if (
            header.stored > MAX_STORED_BYTES
            or header.raw > MAX_RAW_BYTES
            or not 1 <= header.content <= 4
            or header.codec > 1
            or header.flags > 1
            or header.zero
            or (header.codec == Codec.STORED and header.stored != header.raw)
        ):
            raise FrameDamaged("a frame header holds impossible values")
        return header


class Frame(NamedTuple):
    """One opened frame: authenticated, decrypted, decompressed. ``length`` counts all its bytes on disk."""

    payload: bytes
    content: FrameContent
    is_last: bool
    offset: int
    length: int


def tag_bytes(context: CryptoContext) -> int:
    """Return the length of the authenticator behind every payload."""
    return _GCM_TAG_BYTES if context.is_encrypted else _BLAKE3_TAG_BYTES


def encode_header(context: CryptoContext, kind: ObjectKind, salt: bytes) -> bytes:
    """Return an object's 64-byte header."""
    flags = _FLAG_ENCRYPTED if context.is_encrypted else 0
    return _HEADER.pack(_MAGIC, FORMAT_VERSION, kind, flags, salt, bytes(16))


def _associated_data(context: CryptoContext, header: bytes, key: str) -> bytearray:
    """Return the associated data with room for offset and frame header, which each frame fills in place."""
    gap = bytes(8 + FRAME_HEADER_BYTES)
    return bytearray(_AAD_PREFIX + context.repository_id + header + gap + key.encode())


class ObjectSealer:
    """Seals the frames of one new object, in order. ``offset`` is where the next frame goes."""

    __slots__ = ("_aad", "_cipher", "_tag_bytes", "header", "key", "offset", "salt")

    def __init__(self, context: CryptoContext, kind: ObjectKind, key: str) -> None:
        self.key = key
        self.salt = os.urandom(SALT_BYTES)
        self.header = encode_header(context, kind, self.salt)
        self.offset = HEADER_BYTES
        self._aad = _associated_data(context, self.header, key)
        self._tag_bytes = tag_bytes(context)
        self._cipher = AESGCM(context.object_key(self.salt)) if context.is_encrypted else None

    def frame_length(self, payload_length: int) -> int:
        """Return how many bytes a frame with such a payload takes."""
        return FRAME_HEADER_BYTES + payload_length + self._tag_bytes

    def seal_into(
        self,
        target: memoryview,
        payload: Buffer,
        raw_length: int,
        *,
        content: FrameContent = FrameContent.DATA,
        codec: Codec = Codec.ZSTD,
        is_last: bool = False,
    ) -> int:
        """Write the next frame to the start of ``target`` and return its length.

        Written in place with the GIL released while it encrypts: this runs once per 256 KiB of a backup.
        """
        stored = len(payload)
        if raw_length > MAX_RAW_BYTES or stored > MAX_STORED_BYTES:
            raise ValueError(f"a frame of {raw_length} bytes is larger than the format allows")
        aad, offset = self._aad, self.offset
        _PLACE.pack_into(aad, _AAD_PLACE, offset, stored, raw_length, content, codec, is_last, 0)
        target[:FRAME_HEADER_BYTES] = aad[_AAD_FRAME : _AAD_FRAME + FRAME_HEADER_BYTES]
        length = FRAME_HEADER_BYTES + stored + self._tag_bytes
        if self._cipher is not None:
            nonce = offset.to_bytes(12, "big")
            self._cipher.encrypt_into(nonce, payload, aad, target[FRAME_HEADER_BYTES:length])
        else:
            target[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + stored] = payload
            tag = blake3(aad).update(payload).digest()
            target[FRAME_HEADER_BYTES + stored : length] = tag
        self.offset = offset + length
        return length

    def seal(
        self,
        payload: Buffer,
        raw_length: int,
        *,
        content: FrameContent = FrameContent.DATA,
        codec: Codec = Codec.ZSTD,
        is_last: bool = False,
    ) -> bytes:
        """Return the next frame as new bytes; for small objects, where a copy doesn't matter."""
        target = bytearray(self.frame_length(len(payload)))
        self.seal_into(memoryview(target), payload, raw_length, content=content, codec=codec, is_last=is_last)
        return bytes(target)


class ObjectOpener:
    """Opens frames of one object, in any order, for one thread."""

    __slots__ = ("_aad", "_cipher", "_scratch", "_tag_bytes", "header", "key")

    def __init__(self, context: CryptoContext, kind: ObjectKind, key: str, header: Buffer) -> None:
        """Trust nothing of ``header`` but its salt: the rest must be what this repository writes.

        Raises:
            FrameDamaged: it is no header of such an object.
        """
        given = bytes(header[:HEADER_BYTES])
        salt = given[16 : 16 + SALT_BYTES]
        if len(given) < HEADER_BYTES or given != encode_header(context, kind, salt):
            raise FrameDamaged(
                f"{key} does not begin with the header of a {kind.name.lower()} object of this repository",
                object=key,
                offset=0,
            )
        self.key = key
        self.header = given
        self._aad = _associated_data(context, given, key)
        self._tag_bytes = tag_bytes(context)
        self._cipher = AESGCM(context.object_key(salt)) if context.is_encrypted else None
        self._scratch = bytearray()

    @classmethod
    def from_salt(cls, context: CryptoContext, kind: ObjectKind, key: str, salt: bytes) -> ObjectOpener:
        """Return an opener for an object whose salt is known from elsewhere, saving a read of its header."""
        return cls(context, kind, key, encode_header(context, kind, salt))

    def frame_length(self, header: FrameHeader) -> int:
        return FRAME_HEADER_BYTES + header.stored + self._tag_bytes

    def open(self, data: Buffer, offset: int) -> Frame:
        """Return the frame at the start of ``data``, which lies at ``offset`` in the object.

        Raises:
            FrameDamaged: it is not what was sealed there.
        """
        try:
            header = FrameHeader.parse(data)
            return self._open(header, memoryview(data), offset)
        except FrameDamaged as error:
            message = f"{self.key} is damaged at offset {offset}: {error.message}"
            raise FrameDamaged(message, object=self.key, offset=offset) from error

    def _open(self, header: FrameHeader, data: memoryview, offset: int) -> Frame:
        stored = header.stored
        length = FRAME_HEADER_BYTES + stored + self._tag_bytes
        if len(data) < length:
            raise FrameDamaged("the object ends within the frame")
        aad = self._aad
        _PLACE.pack_into(
            aad, _AAD_PLACE, offset, stored, header.raw, header.content, header.codec, header.flags, 0
        )
        plain = self._authenticate(data[FRAME_HEADER_BYTES:length], stored, offset)
        payload = decompress(plain, header.raw) if header.codec == Codec.ZSTD else bytes(plain)
        return Frame(payload, FrameContent(header.content), bool(header.flags & _FLAG_LAST), offset, length)

    def _authenticate(self, sealed: memoryview, stored: int, offset: int) -> memoryview:
        if self._cipher is None:
            tag = blake3(self._aad).update(sealed[:stored]).digest()
            if not hmac.compare_digest(tag, sealed[stored:]):
                raise FrameDamaged("the hash of the frame differs")
            return sealed[:stored]
        if len(self._scratch) < stored:
            self._scratch = bytearray(max(stored, 256 << 10))
        plain = memoryview(self._scratch)[:stored]
        try:
            self._cipher.decrypt_into(offset.to_bytes(12, "big"), sealed, self._aad, plain)
        except invalid_tag():
            raise FrameDamaged("the frame does not authenticate under this repository's key") from None
        return plain


def open_object(context: CryptoContext, kind: ObjectKind, key: str, data: Buffer) -> Iterator[Frame]:
    """Yield every frame of a whole object in memory.

    Raises:
        FrameDamaged: any byte of it is not what was written, it is cut, or something was appended.
    """
    view = memoryview(data)
    opener = ObjectOpener(context, kind, key, view[:HEADER_BYTES])
    offset = HEADER_BYTES
    while True:
        frame = opener.open(view[offset:], offset)
        offset += frame.length
        if frame.is_last and offset != len(view):
            raise FrameDamaged(f"{key} goes on behind its last frame", object=key, offset=offset)
        yield frame
        if frame.is_last:
            return
