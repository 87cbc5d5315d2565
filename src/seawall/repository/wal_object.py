"""One archived WAL file as an object: header, a meta frame, then its bytes in frames of 1 MiB.

The meta frame says what the file is and what it hashes to, so that a duplicate is recognised by reading a
kilobyte. Two threads compress; sealing follows in order, since a frame's nonce is its offset.

This is on the path of ``archive_command``, which starts a process for every 16 MiB: imports are measured.
"""

from __future__ import annotations

import mmap
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
    MAX_STORED_BYTES,
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
    sealer = ObjectSealer(context, ObjectKind.WAL, key)
    pipeline = _Pipeline(view, sealer, policy)
    pipeline.start()
    meta = WalMeta(
        name, len(view), blake3(view).hexdigest(), system_identifier, timeline_of(name), attributes or {}
    )
    return SealedWal(pipeline.finish(encode_record(_meta_fields(meta))), sealer.header, meta)


class _Pipeline:
    """Compresses pieces of one file in the caller's thread and another, and seals them in order.

    Whoever has compressed the piece that is next seals it, and all behind it that are ready, while the other
    goes on compressing. So few compressed pieces are alive at once: in a process that lives for one segment,
    fresh memory costs as much as compression.
    """

    def __init__(self, view: memoryview, sealer: ObjectSealer, policy: CompressionPolicy | None) -> None:
        self._view = view
        self._sealer = sealer
        self._policy = policy
        self._count = -(-len(view) // WAL_FRAME_BYTES)
        self._target = memoryview(b"")
        self._ready: dict[int, bytes] = {}
        self._begun = 0
        self._sealed = 0
        self._is_sealing = True  # by the caller, until the meta frame is in
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded_work, daemon=True)
            for _ in range(min(_THREADS, self._count) - 1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, meta: bytes) -> memoryview:
        """Seal the meta frame, help, wait for the others, and return the whole object."""
        sealer = self._sealer
        most = (
            HEADER_BYTES
            + sealer.frame_length(len(meta))
            + self._count * sealer.frame_length(MAX_STORED_BYTES)
        )
        self._target = _fresh_memory(most)
        self._target[:HEADER_BYTES] = sealer.header
        self._seal(meta, len(meta), content=FrameContent.META, codec=Codec.STORED, is_last=not self._count)
        self._seal_ready()
        self._work()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        return self._target[: sealer.offset]

    def _guarded_work(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - a thread's top: finish() raises it
            self._failure = error

    def _work(self) -> None:
        compressor = Compressor(self._policy)
        while True:
            with self._lock:
                number = self._begun
                self._begun += 1
            if number >= self._count:
                return
            start = number * WAL_FRAME_BYTES
            compressed = compressor.compress(self._view[start : start + WAL_FRAME_BYTES])
            with self._lock:
                self._ready[number] = compressed
                is_mine = not self._is_sealing
                self._is_sealing = True
            if is_mine:
                self._seal_ready()

    def _seal_ready(self) -> None:
        """Seal while the next piece is ready; only whoever set ``_is_sealing`` is here."""
        while True:
            with self._lock:
                number = self._sealed
                compressed = self._ready.pop(number, None)
                if compressed is None:
                    self._is_sealing = False
                    return
            raw_length = min(WAL_FRAME_BYTES, len(self._view) - number * WAL_FRAME_BYTES)
            self._seal(compressed, raw_length, is_last=number + 1 == self._count)
            self._sealed = number + 1

    def _seal(
        self,
        payload: bytes,
        raw_length: int,
        *,
        content: FrameContent = FrameContent.DATA,
        codec: Codec = Codec.ZSTD,
        is_last: bool,
    ) -> None:
        target = self._target[self._sealer.offset :]
        self._sealer.seal_into(target, payload, raw_length, content=content, codec=codec, is_last=is_last)


def _fresh_memory(size: int) -> memoryview:
    """Return zeroed memory of which only what is written costs anything, in huge pages where there are."""
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


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
