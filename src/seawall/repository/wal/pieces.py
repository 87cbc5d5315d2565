"""The bytes of one WAL file, compressed piece by piece, ahead of whoever seals them.

``archive_command`` starts a process for every 16 MiB, whose time goes half into imports and half into zstd.
zstd releases the GIL, so the two overlap: a thread compresses from the moment the file is read, and whoever
wants a piece that isn't ready compresses others meanwhile. Several repositories share the pieces.

Imported first of all on that path: it must stay as light as it is.
"""

from __future__ import annotations

import mmap
import threading

from seawall.repository.format.codec import CompressionPolicy, Compressor
from seawall.storage.protocol import Buffer

WAL_FRAME_BYTES = 1 << 20


class Workspace:
    """Memory for one file at a time, kept for the next one: fresh memory costs as much as the work in it."""

    __slots__ = ("_raw", "_sealed")

    def __init__(self) -> None:
        self._raw: mmap.mmap | None = None
        self._sealed: mmap.mmap | None = None

    def raw(self, size: int) -> memoryview:
        """Return room for the plain bytes of a file; whatever was in it before may still be."""
        self._raw = _room(self._raw, size)
        return memoryview(self._raw)[:size]

    def sealed(self, size: int) -> memoryview:
        """Return room for the object made of them."""
        self._sealed = _room(self._sealed, size)
        return memoryview(self._sealed)[:size]


def _room(memory: mmap.mmap | None, size: int) -> mmap.mmap:
    if memory is not None and len(memory) >= size:
        return memory
    fresh = mmap.mmap(-1, max(size, 1))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        fresh.madvise(mmap.MADV_HUGEPAGE)
    return fresh


class WalPieces:
    """A file's pieces in order. ``take`` may be called by one thread at a time, repeatedly."""

    def __init__(
        self,
        raw: Buffer,
        policy: CompressionPolicy | None = None,
        *,
        in_background: bool = True,
        workspace: Workspace | None = None,
    ) -> None:
        """Take ``raw``, which must not change from now on, and start compressing it ``in_background``; without,
        ``take`` does it all, for those who keep every processor busy by themselves."""
        self.view = memoryview(raw).cast("B")
        self.workspace = workspace or Workspace()
        self.count = -(-len(self.view) // WAL_FRAME_BYTES)
        self._policy = policy
        self._done: list[bytes | None] = [None] * self.count
        self._begun = 0
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._compressor: Compressor | None = None
        if in_background and self.count > 1:
            # A daemon: a process that is to end with an error must not wait for it.
            threading.Thread(target=self._work_ahead, daemon=True).start()

    def raw_length(self, number: int) -> int:
        """Return the plain length of a piece."""
        return min(WAL_FRAME_BYTES, len(self.view) - number * WAL_FRAME_BYTES)

    def take(self, number: int) -> bytes:
        """Return a piece compressed; until it is ready, help. Raises what compressing raised."""
        compressor = self._compressor = self._compressor or Compressor(self._policy)
        while True:
            with self._changed:
                piece = self._done[number]
                while piece is None and self._begun >= self.count and self._failure is None:
                    self._changed.wait()
                    piece = self._done[number]
            if piece is not None:
                return piece
            if self._failure is not None:
                raise self._failure
            self._compress_next(compressor)

    def _work_ahead(self) -> None:
        try:
            compressor = Compressor(self._policy)
            while self._compress_next(compressor):
                pass
        except Exception as error:  # noqa: BLE001 - a thread's top: take() raises it
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _compress_next(self, compressor: Compressor) -> bool:
        """Compress the next piece that nobody has begun; return False if there is none."""
        with self._changed:
            number = self._begun
            if number >= self.count:
                return False
            self._begun += 1
        start = number * WAL_FRAME_BYTES
        compressed = compressor.compress(self.view[start : start + WAL_FRAME_BYTES])
        with self._changed:
            self._done[number] = compressed
            self._changed.notify_all()
        return True
