"""Cut a list of files into items that workers take: chunks of big files, batches of small ones.

Extents, not files, are what is shared out, so one 1 GiB relation segment keeps every core busy, and ten
thousand catalog files cost a few dozen queue operations (design rule 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from seawall.backup.source_files import SourceFile

CHUNK_BYTES = 4 << 20
"""Bytes of a big file that one worker reads at once: large enough to drown the cost of Python, small enough
for two buffers per core."""
SMALL_FILE_BYTES = 128 << 10
"""Up to here a file shares its frames with its neighbours."""
BATCH_FILES = 256


@dataclass(frozen=True, slots=True)
class Chunk:
    """``length`` bytes of one big file from ``offset``; ``is_last`` completes the file."""

    file: SourceFile
    offset: int
    length: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Neighbouring small files, and entries without content (folders, links), in path order."""

    files: tuple[SourceFile, ...]


WorkItem = Chunk | Batch


def cut(files: Iterable[SourceFile]) -> Iterator[WorkItem]:
    """Yield work items that cover ``files`` in order; only one batch is held in memory."""
    batch: list[SourceFile] = []
    batch_bytes = 0
    for file in files:
        if file.has_content and file.size_bytes > SMALL_FILE_BYTES:
            if batch:
                yield Batch(tuple(batch))
                batch, batch_bytes = [], 0
            yield from _chunks(file)
            continue
        batch.append(file)
        batch_bytes += file.size_bytes if file.has_content else 0
        if batch_bytes >= CHUNK_BYTES or len(batch) >= BATCH_FILES:
            yield Batch(tuple(batch))
            batch, batch_bytes = [], 0
    if batch:
        yield Batch(tuple(batch))


def _chunks(file: SourceFile) -> Iterator[Chunk]:
    for offset in range(0, file.size_bytes, CHUNK_BYTES):
        length = min(CHUNK_BYTES, file.size_bytes - offset)
        yield Chunk(file, offset, length, is_last=offset + length == file.size_bytes)
