"""One worker per core: read, check pages, hash, compress, and hand each frame to every repository.

All heavy calls (``preadv``, numpy, BLAKE3, zstd, AES-GCM, ``write``) release the GIL; Python spends some
tens of microseconds per 256 KiB frame. A worker owns its buffer, compressor, checksummer and pack
writers, so workers share nothing but the two queues. Results are put back in the order of the file list
by :func:`run`, because manifests are sorted; what is in flight is bounded, and so is memory.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from blake3 import blake3

from seawall.backup.errors import SourceReadFailed
from seawall.backup.fan_out import FanOut, TargetPacks
from seawall.backup.page_guard import PageGuard
from seawall.backup.source_files import SourceFile
from seawall.backup.work import CHUNK_BYTES, Batch, Chunk, WorkItem, cut
from seawall.repository.format.codec import Codec, CompressionPolicy, Compressor
from seawall.repository.format.extents import EXTENT_HASH_BYTES, Extent, ExtentKind

FRAME_BYTES = 256 << 10
"""Plaintext of one frame at most (docs/format.md)."""
_ALIGN = 8
_ZEROS = bytes(FRAME_BYTES)


@dataclass(slots=True)
class FileResult:
    """What became of one file: its extents for each repository, in the order of the fan-out's targets."""

    file: SourceFile
    size_bytes: int
    extents: list[list[Extent]]
    corrupt_blocks: list[int] = field(default_factory=list)
    is_gone: bool = False


@dataclass(slots=True)
class ItemResult:
    """One work item, done. ``completes`` says whether its (last) file is whole with it."""

    files: list[FileResult]
    completes: bool
    raw_bytes: int


class Worker:
    """The thread-owned half of the pipeline; see the module docstring."""

    def __init__(
        self,
        fan_out: FanOut,
        guard: PageGuard | None,
        policy: CompressionPolicy,
        throttle: Callable[[int], None] | None = None,
    ) -> None:
        self._packs: TargetPacks = fan_out.open_packs()
        self._guard = guard
        self._compressor = Compressor(policy)
        self._throttle = throttle
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    def process(self, item: WorkItem) -> ItemResult:
        """Read and store one item. Raises what the source or all repositories raise."""
        try:
            return self._chunk(item) if isinstance(item, Chunk) else self._batch(item)
        except OSError as error:
            # Stores translate their own errors: what is left is the disk that is being backed up.
            files = [item.file] if isinstance(item, Chunk) else item.files
            raise SourceReadFailed(
                f"{error.filename or files[0].place} can't be read: {error.strerror or error}",
                hint="look at the kernel's log (dmesg) and at the disk's health; a standby or an older backup may "
                "be the better source now",
            ) from error

    def seal(self) -> None:
        """End this worker's packs and let them become durable in the background."""
        self._packs.seal()

    def close(self) -> None:
        """Return once this worker's packs are durable."""
        self._packs.close()

    def abandon(self) -> None:
        """Drop this worker's unfinished packs."""
        self._packs.abandon()

    def _chunk(self, item: Chunk) -> ItemResult:
        result = FileResult(item.file, item.length, self._packs.no_extents())
        view = self._buffer[: item.length]
        try:
            descriptor = item.file.open()
        except FileNotFoundError:
            result.is_gone = True
            return ItemResult([result], item.is_last, 0)
        try:
            if self._throttle:
                self._throttle(item.length)
            _read_ahead(descriptor, item)
            got = read_fully(descriptor, view, item.offset)
            if got < item.length:
                # Truncated while we read: core pads with zeros, and replay repeats the truncation.
                view[got:] = bytes(item.length - got)
            if self._guard and item.file.is_checked:
                result.corrupt_blocks = self._guard.check(item.file, descriptor, view[:got], item.offset)
        finally:
            os.close(descriptor)
        for start in range(0, item.length, FRAME_BYTES):
            piece = view[start : start + FRAME_BYTES]
            self._store_piece(result, piece, item.offset + start)
        return ItemResult([result], item.is_last, item.length)

    def _store_piece(self, result: FileResult, piece: memoryview, file_offset: int) -> None:
        length = len(piece)
        if piece[:8] == _ZEROS[:8] and bytes(piece) == _ZEROS[:length]:
            zeros = Extent.zeros(file_offset, length)
            for extents in result.extents:
                extents.append(zeros)
            return
        digest = blake3(piece).digest(length=EXTENT_HASH_BYTES)
        refs = self._packs.append(self._compressor.compress(piece), length, Codec.ZSTD)
        for extents, ref in zip(result.extents, refs, strict=True):
            if ref is not None:
                extents.append(
                    Extent(
                        file_offset, length, ExtentKind.DATA, 0, ref.pack, ref.offset, ref.length, 0, digest
                    )
                )

    def _batch(self, item: Batch) -> ItemResult:
        results: list[FileResult] = []
        shared: list[tuple[FileResult, int, int]] = []  # result, inner offset, length
        fill, raw_bytes = 0, 0
        for file in item.files:
            result = FileResult(file, file.size_bytes, self._packs.no_extents())
            results.append(result)
            if not file.has_content or file.size_bytes == 0:
                continue
            if fill + file.size_bytes > FRAME_BYTES:
                self._store_shared(shared, fill)
                shared, fill = [], 0
            got = self._read_small(result, self._buffer[fill : fill + file.size_bytes])
            if got == 0:
                continue
            raw_bytes += got
            shared.append((result, fill, got))
            end = fill + got
            fill = -(-end // _ALIGN) * _ALIGN
            self._buffer[end:fill] = _ZEROS[: fill - end]
        self._store_shared(shared, fill)
        return ItemResult(results, True, raw_bytes)

    def _read_small(self, result: FileResult, view: memoryview) -> int:
        file = result.file
        try:
            descriptor = file.open()
        except FileNotFoundError:
            result.is_gone = True
            return 0
        try:
            if self._throttle:
                self._throttle(len(view))
            got = read_fully(descriptor, view, 0)
            result.size_bytes = got
            if self._guard and file.is_checked:
                result.corrupt_blocks = self._guard.check(file, descriptor, view[:got], 0)
        finally:
            os.close(descriptor)
        return got

    def _store_shared(self, shared: list[tuple[FileResult, int, int]], fill: int) -> None:
        if not shared:
            return
        frame = self._buffer[:fill]
        refs = self._packs.append(self._compressor.compress(frame), fill, Codec.ZSTD)
        for result, inner, length in shared:
            digest = blake3(frame[inner : inner + length]).digest(length=EXTENT_HASH_BYTES)
            for extents, ref in zip(result.extents, refs, strict=True):
                if ref is not None:
                    extents.append(
                        Extent(0, length, ExtentKind.DATA, 0, ref.pack, ref.offset, ref.length, inner, digest)
                    )


def _read_ahead(descriptor: int, item: Chunk) -> None:
    """Have the kernel fetch what the workers take next, while this one is compressed: disks that sleep
    between reads are what makes a cold backup slow."""
    if hasattr(os, "posix_fadvise") and not item.is_last:
        os.posix_fadvise(descriptor, item.offset + item.length, 2 * CHUNK_BYTES, os.POSIX_FADV_WILLNEED)


def read_fully(descriptor: int, view: memoryview, offset: int) -> int:
    """Fill ``view`` from ``offset``; return the bytes read, fewer only at the end of the file."""
    got = 0
    while got < len(view):
        count = os.preadv(descriptor, [view[got:]], offset + got)
        if count == 0:
            break
        got += count
    return got


def run(
    files: Iterable[SourceFile], workers: list[Worker], *, on_item: Callable[[ItemResult], None] | None = None
) -> Iterator[FileResult]:
    """Push ``files`` through ``workers`` and yield every file's result in the order of ``files``.

    The first error of any worker ends all of them and is raised here, after every thread has ended.
    """
    todo: queue.SimpleQueue[tuple[int, WorkItem] | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, ItemResult | BaseException]] = queue.SimpleQueue()
    failed = threading.Event()
    threads = [
        threading.Thread(
            target=_serve, args=(worker, todo, done, failed), name=f"backup-{number}", daemon=True
        )
        for number, worker in enumerate(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield from _whole_files(
            _in_order(cut(files), todo, done, in_flight=4 * len(workers), on_item=on_item)
        )
    except BaseException:
        failed.set()
        raise
    finally:
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join()


def _serve(
    worker: Worker,
    todo: queue.SimpleQueue[tuple[int, WorkItem] | None],
    done: queue.SimpleQueue[tuple[int, ItemResult | BaseException]],
    failed: threading.Event,
) -> None:
    while (task := todo.get()) is not None:
        number, item = task
        if failed.is_set():
            continue
        try:
            done.put((number, worker.process(item)))
        except BaseException as error:  # noqa: BLE001 - a thread's top: handed over and raised by run()
            done.put((number, error))


def _in_order(
    items: Iterator[WorkItem],
    todo: queue.SimpleQueue[tuple[int, WorkItem] | None],
    done: queue.SimpleQueue[tuple[int, ItemResult | BaseException]],
    *,
    in_flight: int,
    on_item: Callable[[ItemResult], None] | None,
) -> Iterator[ItemResult]:
    waiting: dict[int, ItemResult] = {}
    sent = finished = 0
    exhausted = False
    while True:
        while not exhausted and sent - finished < in_flight:
            item = next(items, None)
            if item is None:
                exhausted = True
                break
            todo.put((sent, item))
            sent += 1
        if exhausted and finished == sent:
            return
        number, outcome = done.get()
        if isinstance(outcome, BaseException):
            raise outcome
        if on_item:
            on_item(outcome)
        waiting[number] = outcome
        while finished in waiting:
            yield waiting.pop(finished)
            finished += 1


def _whole_files(items: Iterator[ItemResult]) -> Iterator[FileResult]:
    """Join the chunks of big files; a file that vanished under any chunk is gone as a whole."""
    open_file: FileResult | None = None
    for item in items:
        for result in item.files:
            if open_file is None:
                open_file = result
            else:
                open_file.size_bytes += result.size_bytes
                open_file.is_gone |= result.is_gone
                open_file.corrupt_blocks += result.corrupt_blocks
                for whole, part in zip(open_file.extents, result.extents, strict=True):
                    whole.extend(part)
            if item.completes:
                yield open_file
                open_file = None
