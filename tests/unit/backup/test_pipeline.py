"""Workers may finish in any order; results come in the order of the files, and one error ends all."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from seawall.backup.pipeline import FileResult, ItemResult, Worker, read_fully, run
from seawall.backup.source_files import SourceFile
from seawall.backup.work import CHUNK_BYTES, Chunk, WorkItem
from seawall.repository.backups.file_entry import FileKind
from seawall.repository.format.extents import Extent
from tests.unit.backup.test_work import file


class SlowWorker:
    """Takes a random time for each item; a file named ``gone`` vanishes with its second chunk."""

    def __init__(self, seed: int, *, fails_at: str | None = None) -> None:
        self._random = random.Random(seed)
        self._fails_at = fails_at
        self.done = 0

    def process(self, item: WorkItem) -> ItemResult:
        time.sleep(self._random.random() / 500)
        self.done += 1
        members = [item.file] if isinstance(item, Chunk) else list(item.files)
        if self._fails_at in {member.path for member in members}:
            raise OSError(5, "the disk is dying")
        results = []
        for member in members:
            offset, length = (item.offset, item.length) if isinstance(item, Chunk) else (0, member.size_bytes)
            is_gone = member.path == "gone" and offset > 0
            results.append(
                FileResult(member, length, [[Extent.zeros(offset, length)] if length else []], [], is_gone)
            )
        return ItemResult(
            results, not isinstance(item, Chunk) or item.is_last, sum(r.size_bytes for r in results)
        )


def workers(*made: SlowWorker) -> list[Worker]:
    return cast("list[Worker]", list(made))


def tree() -> list[SourceFile]:
    source = random.Random(4)
    files = [file("", 0, FileKind.DIRECTORY)]
    for number in range(300):
        size = source.choice([0, 10, 5000, 200_000, 3 * CHUNK_BYTES + 1, 2 * CHUNK_BYTES])
        files.append(file(f"{number:03d}", size))
    return [*files, file("gone", 2 * CHUNK_BYTES)]


def test_results_come_in_order_and_whole() -> None:
    files = tree()
    counted: list[int] = []
    results = list(
        run(files, workers(*map(SlowWorker, range(4))), on_item=lambda item: counted.append(item.raw_bytes))
    )
    assert [result.file for result in results] == files
    for result in results:
        assert result.size_bytes == result.file.size_bytes or not result.file.has_content
        offsets = [extent.file_offset for extent in result.extents[0]]
        assert offsets == sorted(offsets)
        assert result.is_gone == (result.file.path == "gone"), "gone with one chunk is gone as a whole"
    assert sum(counted) == sum(f.size_bytes for f in files)


def test_the_first_error_ends_all_threads() -> None:
    before = threading.active_count()
    made = [SlowWorker(1, fails_at="050"), SlowWorker(2, fails_at="050"), SlowWorker(3, fails_at="050")]
    with pytest.raises(OSError, match="dying"):
        list(run(tree(), workers(*made)))
    assert threading.active_count() == before
    assert sum(worker.done for worker in made) < 200, "nobody works on behind the error"


def test_who_stops_listening_stops_the_workers() -> None:
    before = threading.active_count()
    results = run(tree(), workers(SlowWorker(1), SlowWorker(2)))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_reading_stops_at_the_end_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    descriptor = os.open(tmp_path / "f", os.O_RDONLY)
    try:
        buffer = memoryview(bytearray(6))
        assert read_fully(descriptor, buffer, 0) == 6 and bytes(buffer) == b"012345"
        assert read_fully(descriptor, buffer, 6) == 4 and bytes(buffer[:4]) == b"6789"
        assert read_fully(descriptor, buffer, 10) == 0
    finally:
        os.close(descriptor)
