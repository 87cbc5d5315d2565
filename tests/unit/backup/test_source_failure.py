"""A source disk that fails while it is read: a sentence with a remedy, and no backup."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from seawall.backup.errors import SourceReadFailed
from seawall.backup.fan_out import FanOut
from seawall.backup.pipeline import Worker
from seawall.backup.source_files import SourceFile
from seawall.backup.work import Batch, Chunk, WorkItem
from seawall.repository.backups.file_entry import FileKind
from seawall.repository.format.codec import CompressionPolicy


class NoPacks:
    """A fan-out without targets."""

    def open_packs(self) -> NoPacks:
        return self

    def no_extents(self) -> list[list[object]]:
        return []


def unreadable(tmp_path: Path) -> SourceFile:
    """Return an entry whose read fails: a folder opens, and read(2) answers EISDIR, as a dying disk does EIO."""
    folder = tmp_path / "16384"
    folder.mkdir()
    status = os.stat_result((0o100600, *os.stat(folder)[1:6], 4096, *os.stat(folder)[7:10]))
    return SourceFile("base/5/16384", str(folder), FileKind.FILE, status)


@pytest.mark.parametrize("kind", ["chunk", "batch"])
def test_a_failing_read_names_the_file_and_ends_the_backup(tmp_path: Path, kind: str) -> None:
    file = unreadable(tmp_path)
    item: WorkItem = Chunk(file, 0, 4096, is_last=True) if kind == "chunk" else Batch((file,))
    worker = Worker(cast("FanOut", NoPacks()), None, CompressionPolicy())
    with pytest.raises(SourceReadFailed) as caught:
        worker.process(item)
    assert str(tmp_path / "16384") in caught.value.message
    assert caught.value.hint
