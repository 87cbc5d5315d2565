"""Files are cut into items that cover every byte once, in order, and keep small files together."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from seawall.backup.source_files import SourceFile
from seawall.backup.work import BATCH_FILES, CHUNK_BYTES, SMALL_FILE_BYTES, Batch, cut
from seawall.repository.backups.file_entry import FileKind


def file(name: str, size: int, kind: FileKind = FileKind.FILE) -> SourceFile:
    status = os.stat_result((0o600, 1, 1, 1, 0, 0, size, 0, 0, 0))
    return SourceFile(name, f"/nowhere/{name}", kind, status)


sizes = st.one_of(
    st.integers(0, 300),
    st.sampled_from(
        [
            SMALL_FILE_BYTES,
            SMALL_FILE_BYTES + 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            3 * CHUNK_BYTES,
            10 * CHUNK_BYTES + 7,
        ]
    ),
)


@given(st.lists(sizes, max_size=600))
def test_every_byte_is_covered_once_and_in_order(wanted: list[int]) -> None:
    files = [file(str(number), size) for number, size in enumerate(wanted)]
    seen: list[SourceFile] = []
    position = 0
    for item in cut(iter(files)):
        if isinstance(item, Batch):
            assert position == 0 and 0 < len(item.files) <= BATCH_FILES
            assert all(member.size_bytes <= SMALL_FILE_BYTES for member in item.files)
            assert sum(member.size_bytes for member in item.files) < CHUNK_BYTES + SMALL_FILE_BYTES
            seen += item.files
            continue
        assert item.offset == position and 0 < item.length <= CHUNK_BYTES
        position += item.length
        assert item.is_last == (position == item.file.size_bytes)
        if item.is_last:
            seen.append(item.file)
            position = 0
    assert seen == files


def test_folders_and_links_travel_with_the_small_files() -> None:
    files = [file("a", 1 << 40, FileKind.DIRECTORY), file("b", 5), file("c", 1 << 40, FileKind.SYMLINK)]
    assert list(cut(files)) == [Batch(tuple(files))]
