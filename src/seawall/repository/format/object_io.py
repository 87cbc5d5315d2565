"""Whole objects in pieces: frames gathered into large writes, and read back through a moving window.

Both sides keep a bounded buffer whatever the object's size, and copy each byte once at most.
"""

from __future__ import annotations

from collections.abc import Iterator

from blake3 import blake3

from seawall.repository.errors import FrameDamaged
from seawall.repository.format.codec import Codec
from seawall.repository.format.crypto import CryptoContext
from seawall.repository.format.frames import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    Frame,
    FrameContent,
    ObjectKind,
    ObjectOpener,
    ObjectSealer,
)
from seawall.storage.protocol import Buffer, ObjectStore

WRITE_BYTES = MAX_FRAME_BYTES + HEADER_BYTES
"""About 1 MiB: what goes to the store at once, and room for the largest frame."""
WINDOW_BYTES = 4 << 20


class FramedWriter:
    """One object being written, frame by frame. Owned by one thread until ``commit``.

    ``buffer`` may be handed from one object to the next of the same thread.
    """

    __slots__ = ("_fill", "_sealer", "_view", "_writer", "hasher", "salt")

    def __init__(
        self,
        store: ObjectStore,
        context: CryptoContext,
        kind: ObjectKind,
        key: str,
        *,
        buffer: bytearray | None = None,
        hasher: blake3 | None = None,
    ) -> None:
        self._sealer = ObjectSealer(context, kind, key)
        self._view = memoryview(buffer if buffer is not None else bytearray(WRITE_BYTES))
        self._view[:HEADER_BYTES] = self._sealer.header
        self._fill = HEADER_BYTES
        self._writer = store.open_writer(key)
        self.salt = self._sealer.salt
        self.hasher = hasher

    @property
    def offset(self) -> int:
        """Where the next frame goes; the object's size once all frames are in."""
        return self._sealer.offset

    def append(
        self,
        payload: Buffer,
        raw_length: int,
        *,
        content: FrameContent = FrameContent.DATA,
        codec: Codec = Codec.ZSTD,
        is_last: bool = False,
    ) -> tuple[int, int]:
        """Seal one frame; return its offset and whole length."""
        sealer = self._sealer
        offset = sealer.offset
        fill = self._fill
        if fill + sealer.frame_length(len(payload)) > WRITE_BYTES:
            self.flush()
            fill = 0
        length = sealer.seal_into(
            self._view[fill:], payload, raw_length, content=content, codec=codec, is_last=is_last
        )
        self._fill = fill + length
        return offset, length

    def flush(self) -> None:
        """Hand what is gathered to the store, so that the buffer is free. Not yet durable."""
        if self._fill:
            ready = self._view[: self._fill]
            if self.hasher is not None:
                self.hasher.update(ready)
            self._writer.write(ready)
            self._fill = 0

    def commit(self) -> None:
        """Make the object durable. After :meth:`flush` another thread may do this."""
        self.flush()
        self._writer.commit()

    def abort(self) -> None:
        self._writer.abort()


def stream_frames(
    store: ObjectStore,
    context: CryptoContext,
    kind: ObjectKind,
    key: str,
    *,
    size: int,
    hasher: blake3 | None = None,
    window_bytes: int = WINDOW_BYTES,
) -> Iterator[Frame]:
    """Yield every frame of an object of ``size`` bytes, holding one window of it.

    Raises:
        FrameDamaged: as :func:`seawall.repository.format.frames.open_object`.
        ObjectMissing: there is no such object.
    """
    window = memoryview(_fetch(store, key, 0, min(size, window_bytes), hasher))
    opener = ObjectOpener(context, kind, key, window[:HEADER_BYTES])
    base, offset = 0, HEADER_BYTES
    while True:
        fetched = base + len(window)
        if fetched < size and fetched - offset < MAX_FRAME_BYTES:
            more = _fetch(store, key, fetched, min(size - fetched, window_bytes), hasher)
            window = memoryview(bytes(window[offset - base :]) + more)
            base = offset
        frame = opener.open(window[offset - base :], offset)
        offset += frame.length
        if frame.is_last and offset != size:
            raise FrameDamaged(f"{key} goes on behind its last frame", object=key, offset=offset)
        yield frame
        if frame.is_last:
            return


def _fetch(store: ObjectStore, key: str, offset: int, length: int, hasher: blake3 | None) -> bytes:
    data = store.get_range(key, offset, length)
    if len(data) != length:
        raise FrameDamaged(
            f"{key} ends at {offset + len(data)} bytes; more were written", object=key, offset=offset
        )
    if hasher is not None:
        hasher.update(data)
    return data
