"""Verify one committed backup: every byte of its manifest and packs, and every extent against its hash.

Extents are read in path order, as a restore reads them, so that each frame is opened once; what no extent
covers of a pack (header, trailer, frames of files that vanished) is read afterwards. So every byte is proven
with one read of everything and memory that does not grow with the backup.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import groupby
from typing import NamedTuple

from seawall.model.errors import IntegrityError
from seawall.repository import layout
from seawall.repository.backups.reader import BackupReader
from seawall.repository.backups.record import BackupRecord
from seawall.repository.errors import FrameDamaged
from seawall.repository.format.extents import Extent, ExtentKind
from seawall.repository.format.frames import HEADER_BYTES, MAX_FRAME_BYTES, ObjectKind, ObjectOpener
from seawall.repository.repository import Repository
from seawall.repository.verify.report import Ledger, Problem
from seawall.storage.errors import ObjectMissing

_BATCH_BYTES = 8 << 20
_BATCH_EXTENTS = 2048
_PENDING_PER_THREAD = 3


class _Piece(NamedTuple):
    """One extent of a file."""

    path: str
    extent: Extent


def run_bounded(executor: Executor, tasks: Iterable[Callable[[], None]], *, threads: int) -> None:
    """Run tasks on the executor, generating only a few more than are running. Raises what a task raised."""
    pending: list[Future[None]] = []
    for task in tasks:
        pending.append(executor.submit(task))
        if len(pending) >= _PENDING_PER_THREAD * threads:
            pending.pop(0).result()
    for future in pending:
        future.result()


class Coverage:
    """Which bytes of one object were proven: sorted, disjoint intervals."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        low = bisect.bisect_left(self._ends, start)
        high = bisect.bisect_right(self._starts, end)
        if low < high:
            start, end = min(start, self._starts[low]), max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def rest(self, size: int) -> list[tuple[int, int]]:
        """Return what is not covered of the first ``size`` bytes."""
        edges = [0, *(edge for pair in zip(self._starts, self._ends, strict=True) for edge in pair), size]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return [(start, end) for start, end in pairs if start < end]


class BackupVerifier:
    """Verifies one backup; findings go to the ledger, nothing is raised but Unavailable."""

    def __init__(self, repository: Repository, record: BackupRecord, ledger: Ledger) -> None:
        self._repository = repository
        self._record = record
        self._ledger = ledger
        self._reader = BackupReader(repository, record)
        self._lost: dict[str, list[str]] = {}
        """What missing packs affect, by key."""

    def run(self, executor: Executor, *, threads: int) -> None:
        """Verify manifest, packs and extents."""
        if not self._check_manifest_size():
            return
        try:
            packs = self._check_packs()
            coverage = {index: Coverage() for index in packs}
            batches = self._batches(coverage)
            run_bounded(executor, (self._check_task(batch) for batch in batches), threads=threads)
        except IntegrityError as error:
            self._damaged(self._reader.manifest.key, error.message, [self._whole()])
            self._ledger.lose(self._record.id, "its manifest is damaged")
            return
        self._ledger.count(objects=1, size_bytes=self._record.manifest.size)
        rests = (self._rest_task(index, coverage[index]) for index in packs)
        run_bounded(executor, rests, threads=threads)
        for key, affected in self._lost.items():
            self._ledger.find(key, Problem.MISSING, "the manifest names this pack", affected)
            self._ledger.lose(self._record.id, f"pack {key} is missing")

    def _check_manifest_size(self) -> bool:
        key, size = self._reader.manifest.key, self._record.manifest.size
        info = self._repository.store.stat(key)
        if info is not None and info.size_bytes == size:
            return True
        if info is None:
            self._ledger.find(key, Problem.MISSING, "the commit record names it", [self._whole()])
            self._ledger.lose(self._record.id, "its manifest is missing")
            return False
        self._damaged(key, f"it has {info.size_bytes} bytes instead of {size}", [self._whole()])
        if info.size_bytes < size:
            self._ledger.lose(self._record.id, "its manifest is cut")
            return False
        return True

    def _check_packs(self) -> list[int]:
        """Compare the pack table with the store; return the indexes of packs to read."""
        record = self._record
        prefix = layout.backup_prefix(record.cluster, record.system_identifier, record.id)
        sizes = {info.key: info.size_bytes for info in self._repository.store.scan(prefix)}
        sizes.pop(self._reader.manifest.key, None)
        wanted: list[int] = []
        for index, pack in enumerate(self._reader.packs()):
            key = self._reader.pack_key(index)
            size = sizes.pop(key, None)
            if size is None and pack.backup_id != record.id:
                info = self._repository.store.stat(key)
                size = info.size_bytes if info else None
            if size is None:
                self._lost[key] = []
                continue
            if size != pack.size_bytes:
                self._damaged(key, f"it has {size} bytes instead of {pack.size_bytes}", [])
            if self._ledger.sample.takes(key):
                wanted.append(index)
                self._ledger.expect(pack.size_bytes)
            else:
                self._ledger.skip()
        for key in sizes:
            self._ledger.find(key, Problem.STRAY, f"no part of the committed backup {record.id}")
        return wanted

    def _batches(self, coverage: dict[int, Coverage]) -> Iterator[list[_Piece]]:
        """Yield what to read, noting it as covered, and what lies in missing packs as lost."""
        batch: list[_Piece] = []
        size = 0
        for entry in self._reader.entries():
            for extent in entry.iter_extents():
                if extent.kind is ExtentKind.ZEROS:
                    continue
                piece = _Piece(entry.path, extent)
                lost = self._lost.get(self._reader.pack_key(extent.pack))
                if lost is not None:
                    lost += self._describe([piece])
                elif extent.pack in coverage:
                    end = extent.frame_offset + extent.frame_length
                    coverage[extent.pack].add(extent.frame_offset, end)
                    batch.append(piece)
                    size += extent.length
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_EXTENTS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _check_task(self, batch: list[_Piece]) -> Callable[[], None]:
        return lambda: self._check(batch)

    def _check(self, batch: list[_Piece]) -> None:
        try:
            for _ in self._reader.read_extents(piece.extent for piece in batch):
                pass
        except IntegrityError:
            self._check_singly(batch)
        frames = {
            (piece.extent.pack, piece.extent.frame_offset): piece.extent.frame_length for piece in batch
        }
        self._ledger.count(size_bytes=sum(frames.values()))

    def _check_singly(self, batch: list[_Piece]) -> None:
        """Find each damaged extent by itself, and report by frame: files that share one are lost together."""

        def place(piece: _Piece) -> tuple[int, int]:
            return piece.extent.pack, piece.extent.frame_offset

        for (pack, _), group in groupby(sorted(batch, key=place), key=place):
            bad: list[_Piece] = []
            message = ""
            for piece in group:
                try:
                    for _ in self._reader.read_extents([piece.extent]):
                        pass
                except IntegrityError as error:
                    bad.append(piece)
                    message = error.message
            if bad:
                self._damaged(self._reader.pack_key(pack), message, self._describe(bad))
                self._ledger.lose(self._record.id, f"content of {bad[0].path} is damaged")

    def _rest_task(self, index: int, coverage: Coverage) -> Callable[[], None]:
        return lambda: self._check_rest(index, coverage)

    def _check_rest(self, index: int, coverage: Coverage) -> None:
        """Prove what no extent covers: header, trailer, and frames that nothing refers to."""
        pack = self._reader.packs()[index]
        key = self._reader.pack_key(index)
        opener = ObjectOpener.from_salt(self._repository.context, ObjectKind.PACK, key, pack.salt)
        is_ended = False
        try:
            if self._repository.store.get_range(key, 0, HEADER_BYTES) != opener.header:
                raise FrameDamaged("its header is not the one that the manifest stands for")
            coverage.add(0, HEADER_BYTES)
            for start, end in coverage.rest(pack.size_bytes):
                is_ended = self._check_range(opener, start, end)
                self._ledger.count(size_bytes=end - start)
            if not is_ended:
                raise FrameDamaged("its last frame does not say that it is the last")
        except FrameDamaged as error:
            self._damaged(key, error.message, [f"no file of backup {self._record.id}"])
        except ObjectMissing:
            self._ledger.find(key, Problem.MISSING, "it vanished while it was read", [self._whole()])
        self._ledger.count(objects=1, size_bytes=HEADER_BYTES)

    def _check_range(self, opener: ObjectOpener, start: int, end: int) -> bool:
        """Open the frames from ``start`` to ``end``; return whether the last of them ends the object."""
        is_last = False
        while start < end:
            data = self._repository.store.get_range(opener.key, start, min(end - start, MAX_FRAME_BYTES))
            frame = opener.open(data, start)
            start += frame.length
            is_last = frame.is_last
        return is_last

    def _damaged(self, key: str, message: str, affects: list[str]) -> None:
        self._ledger.find(key, Problem.DAMAGED, message, affects or [self._whole()])

    def _whole(self) -> str:
        return f"backup {self._record.id}"

    def _describe(self, pieces: list[_Piece]) -> list[str]:
        """Name files and ranges, in pages as ``pageinspect`` counts them and in bytes."""
        page = self._record.page_bytes
        result: list[str] = []
        for path, group in groupby(pieces, key=lambda piece: piece.path):
            extents = [piece.extent for piece in group]
            start = min(extent.file_offset for extent in extents)
            end = max(extent.file_end for extent in extents)
            blocks = f"blocks {start // page} to {(max(end - 1, start)) // page}"
            result.append(f"backup {self._record.id}: {path}, {blocks} (bytes {start} to {end})")
        return result
