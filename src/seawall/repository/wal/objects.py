"""One archived WAL file as an object: header, a meta frame, then its bytes in frames of 1 MiB.

The meta frame says what the file is and what it hashes to, so that a duplicate is recognised by reading a
kilobyte. Compression runs ahead (:mod:`seawall.repository.wal.pieces`); sealing follows in order.

This is on the path of ``archive_command``, which starts a process for every 16 MiB: imports are measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from blake3 import blake3

from seawall.model.wal_name import timeline_of
from seawall.repository.errors import ControlDamaged, FrameDamaged
from seawall.repository.format.codec import Codec, CompressionPolicy
from seawall.repository.format.control_json import Fields, text_field
from seawall.repository.format.crypto import CryptoContext
from seawall.repository.format.frames import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_STORED_BYTES,
    FrameContent,
    ObjectKind,
    ObjectOpener,
    ObjectSealer,
    open_object,
)
from seawall.repository.format.records import count_field, decimal_field, decode_record, encode_record
from seawall.repository.wal.pieces import WalPieces
from seawall.storage.protocol import Buffer

META_READ_BYTES = 4 << 10
"""What is read of an object to learn its meta frame in one request; a longer one takes a second."""


class WalMeta(NamedTuple):
    """What the meta frame says. ``attributes`` is reserved for a record index; readers ignore what they
    don't know."""

    name: str
    raw_bytes: int
    hash: str
    system_identifier: int
    timeline: int
    attributes: Mapping[str, object]


class SealedWal(NamedTuple):
    """A whole object, ready to be put, and what tells it from another put of the same file."""

    data: memoryview
    header: bytes
    meta: WalMeta


def seal_wal(
    context: CryptoContext,
    key: str,
    *,
    name: str,
    raw: Buffer,
    system_identifier: int,
    attributes: Mapping[str, object] | None = None,
    policy: CompressionPolicy | None = None,
    pieces: WalPieces | None = None,
) -> SealedWal:
    """Return ``raw`` as the object to be put at ``key``; ``pieces`` of it may be on their way already."""
    pieces = pieces or WalPieces(raw, policy)
    view = pieces.view
    sealer = ObjectSealer(context, ObjectKind.WAL, key)
    meta = WalMeta(
        name, len(view), blake3(view).hexdigest(), system_identifier, timeline_of(name), attributes or {}
    )
    return SealedWal(_seal_all(sealer, encode_record(_meta_fields(meta)), pieces), sealer.header, meta)


def _seal_all(sealer: ObjectSealer, meta: bytes, pieces: WalPieces) -> memoryview:
    """Return header, meta frame and every piece, sealed in order: a frame's nonce is its offset."""
    most = (
        HEADER_BYTES + sealer.frame_length(len(meta)) + pieces.count * sealer.frame_length(MAX_STORED_BYTES)
    )
    target = pieces.workspace.sealed(most)
    target[:HEADER_BYTES] = sealer.header
    sealer.seal_into(
        target[sealer.offset :],
        meta,
        len(meta),
        content=FrameContent.META,
        codec=Codec.STORED,
        is_last=not pieces.count,
    )
    for number in range(pieces.count):
        sealer.seal_into(
            target[sealer.offset :],
            pieces.take(number),
            pieces.raw_length(number),
            is_last=number + 1 == pieces.count,
        )
    return target[: sealer.offset]


def open_wal(context: CryptoContext, key: str, data: Buffer) -> tuple[WalMeta, bytes]:
    """Return meta and content of a whole object, authenticated and hash-checked.

    Raises:
        FrameDamaged, ControlDamaged: any bit of it is not what was written.
    """
    frames = open_object(context, ObjectKind.WAL, key, data)
    meta = _decode_meta(next(frames).payload, key)
    raw = b"".join([frame.payload for frame in frames])
    if len(raw) != meta.raw_bytes or blake3(raw).hexdigest() != meta.hash:
        raise FrameDamaged(f"{key} does not hold the file that its meta frame describes", object=key)
    return meta, raw


def open_meta(context: CryptoContext, key: str, beginning: Buffer) -> WalMeta | None:
    """Return the meta frame in the first bytes of an object, None if more of it is needed.

    Raises:
        FrameDamaged, ControlDamaged.
    """
    opener = ObjectOpener(context, ObjectKind.WAL, key, beginning)
    try:
        frame = opener.open(memoryview(beginning)[HEADER_BYTES:], HEADER_BYTES)
    except FrameDamaged:
        if len(beginning) < HEADER_BYTES + MAX_FRAME_BYTES and len(beginning) >= META_READ_BYTES:
            return None
        raise
    return _decode_meta(frame.payload, key)


def _meta_fields(meta: WalMeta) -> Fields:
    return {
        "attributes": dict(meta.attributes),
        "hash": meta.hash,
        "name": meta.name,
        "raw_bytes": meta.raw_bytes,
        "system_identifier": str(meta.system_identifier),
        "timeline": meta.timeline,
    }


def _decode_meta(payload: bytes, key: str) -> WalMeta:
    fields = decode_record(payload, key)
    attributes = fields.get("attributes")
    if not isinstance(attributes, dict):
        raise ControlDamaged(f"{key} has a meta frame without attributes", object=key)
    return WalMeta(
        name=text_field(fields, "name", key),
        raw_bytes=count_field(fields, "raw_bytes", key),
        hash=text_field(fields, "hash", key),
        system_identifier=decimal_field(fields, "system_identifier", key),
        timeline=count_field(fields, "timeline", key),
        attributes=attributes,
    )
