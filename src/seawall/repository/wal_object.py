"""One archived WAL file as an object: header, a meta frame, then its bytes in frames of 1 MiB.

The meta frame says what the file is and what it hashes to, so that a duplicate is recognised by reading a
kilobyte. Two threads compress; sealing follows in order, since a frame's nonce is its offset.

This is on the path of ``archive_command``, which starts a process for every 16 MiB: imports are measured.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple

from blake3 import blake3

from seawall.model.wal_name import timeline_of
from seawall.repository.codec import Codec, CompressionPolicy, Compressor
from seawall.repository.control_json import Fields, text_field
from seawall.repository.crypto import CryptoContext
from seawall.repository.errors import ControlDamaged, FrameDamaged
from seawall.repository.frames import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    FrameContent,
    ObjectKind,
    ObjectOpener,
    ObjectSealer,
    open_object,
)
from seawall.repository.records import count_field, decimal_field, decode_record, encode_record
from seawall.storage.protocol import Buffer

WAL_FRAME_BYTES = 1 << 20
META_READ_BYTES = 4 << 10
"""What is read of an object to learn its meta frame in one request; a longer one takes a second."""
_THREADS = 2


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
) -> SealedWal:
    """Return ``raw`` as the object to be put at ``key``."""
    view = memoryview(raw).cast("B")
    compression = _Compression(view, policy)
    compression.start()
    meta = WalMeta(
        name, len(view), blake3(view).hexdigest(), system_identifier, timeline_of(name), attributes or {}
    )
    frames = compression.finish()
    sealer = ObjectSealer(context, ObjectKind.WAL, key)
    meta_payload = encode_record(_meta_fields(meta))
    sizes = [len(meta_payload), *map(len, frames)]
    target = memoryview(bytearray(HEADER_BYTES + sum(map(sealer.frame_length, sizes))))
    target[:HEADER_BYTES] = sealer.header
    sealer.seal_into(
        target[HEADER_BYTES:],
        meta_payload,
        len(meta_payload),
        content=FrameContent.META,
        codec=Codec.STORED,
        is_last=not frames,
    )
    for number, compressed in enumerate(frames, start=1):
        raw_length = min(WAL_FRAME_BYTES, len(view) - (number - 1) * WAL_FRAME_BYTES)
        sealer.seal_into(target[sealer.offset :], compressed, raw_length, is_last=number == len(frames))
    return SealedWal(target, sealer.header, meta)


class _Compression:
    """Compresses the pieces of one file in the caller's thread and others, which share out the pieces."""

    def __init__(self, view: memoryview, policy: CompressionPolicy | None) -> None:
        self._view = view
        self._policy = policy
        self._count = -(-len(view) // WAL_FRAME_BYTES)
        self._frames: list[bytes] = [b""] * self._count
        self._next = iter(range(self._count))  # next() on it is atomic under the GIL
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded_work, daemon=True)
            for _ in range(min(_THREADS, self._count) - 1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> list[bytes]:
        """Help, wait for the others, and return all compressed pieces in order."""
        self._work()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        return self._frames

    def _guarded_work(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - a thread's top: finish() raises it
            self._failure = error

    def _work(self) -> None:
        compressor = Compressor(self._policy)
        while True:
            with self._lock:
                number = next(self._next, None)
            if number is None:
                return
            start = number * WAL_FRAME_BYTES
            self._frames[number] = compressor.compress(self._view[start : start + WAL_FRAME_BYTES])


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
