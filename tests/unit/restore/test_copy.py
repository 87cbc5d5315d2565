"""The bytes of a backup into a directory: whole files, zero runs, modes, links; damage never arrives."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from blake3 import blake3

from seawall.model.clock import SystemClock
from seawall.model.errors import IntegrityError
from seawall.model.lsn import Lsn
from seawall.repository.backups.file_entry import FileEntry, FileKind
from seawall.repository.backups.reader import BackupReader
from seawall.repository.backups.record import BackupRecord
from seawall.repository.backups.writer import BackupWriter
from seawall.repository.format.codec import Codec
from seawall.repository.format.extents import EXTENT_HASH_BYTES, Extent, ExtentKind, pack_extents
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.restore.directory.copy import CHUNK_BYTES, Layout, copy_files
from seawall.restore.directory.ownership import Ownership
from seawall.storage.memory import MemoryStore

BACKUP = "20261125T104107Z-3fa9c1"
PIECE = 256 << 10
SYSTEM = 7_712_042_811_824_995_824


class Source:
    """A backup of given files in a repository in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.repository = Repository.create(self.store, [KeyFile("key", os.urandom(32))], clock=SystemClock())
        self._writer = BackupWriter.begin(
            self.repository, cluster="main", system_identifier=SYSTEM, backup_id=BACKUP
        )
        self._packs = self._writer.new_pack_writer()

    def add(
        self, path: str, content: bytes = b"", *, kind: FileKind = FileKind.FILE, mode: int = 0o600
    ) -> None:
        extents = []
        for start in range(0, len(content), PIECE):
            piece = content[start : start + PIECE]
            if not any(piece):
                extents.append(Extent.zeros(start, len(piece)))
                continue
            ref = self._packs.append(piece, len(piece), Codec.STORED)
            digest = blake3(piece).digest(length=EXTENT_HASH_BYTES)
            extents.append(
                Extent(start, len(piece), ExtentKind.DATA, 0, ref.pack, ref.offset, ref.length, 0, digest)
            )
        entry = FileEntry(
            path=path,
            kind=kind,
            mode=mode,
            size=len(content),
            extents=pack_extents(extents),
            target="/nowhere",
        )
        self._writer.manifest.add(entry)

    def finish(self) -> BackupReader:
        self._packs.close()
        now = datetime.now(UTC)
        record = BackupRecord(
            id=BACKUP,
            cluster="main",
            system_identifier=SYSTEM,
            started_at=now,
            stopped_at=now,
            start_lsn=Lsn(1),
            stop_lsn=Lsn(2),
            timeline=1,
            start_wal="000000010000000000000001",
            stop_wal="000000010000000000000001",
            pg_version_num=160000,
        )
        return BackupReader(self.repository, self._writer.commit(record))


def copy(reader: BackupReader, layout: Layout, jobs: int = 2) -> int:
    return copy_files(reader, layout, jobs=jobs, ownership=Ownership(gives_away=False))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data", tmp_path / "data.config", {16400: tmp_path / "space"})


@pytest.mark.parametrize("jobs", [1, 4])
def test_files_come_back_byte_for_byte(layout: Layout, jobs: int) -> None:
    contents = {
        "base/1/1": b"",
        "base/1/2": b"small",
        "base/1/3": os.urandom(PIECE + 1),
        "base/1/4": os.urandom(CHUNK_BYTES + 3 * PIECE + 17),
    }
    source = Source()
    for folder in ("", "base", "base/1"):
        source.add(folder, kind=FileKind.DIRECTORY, mode=0o700)
    for path, content in contents.items():
        source.add(path, content)
    written = copy(source.finish(), layout, jobs)
    assert written == sum(map(len, contents.values()))
    for path, content in contents.items():
        assert (layout.data_directory / path).read_bytes() == content


def test_runs_of_zeros_are_holes_of_the_right_length(layout: Layout) -> None:
    content = bytes(2 * PIECE) + b"x" * PIECE + bytes(3 * PIECE)
    source = Source()
    source.add("", kind=FileKind.DIRECTORY, mode=0o700)
    source.add("1", content)
    copy(source.finish(), layout)
    place = layout.data_directory / "1"
    assert place.read_bytes() == content
    assert place.stat().st_blocks * 512 < len(content)


def test_modes_are_kept_also_of_large_files_that_nobody_may_write(layout: Layout) -> None:
    source = Source()
    source.add("", kind=FileKind.DIRECTORY, mode=0o750)
    source.add("large", os.urandom(2 * CHUNK_BYTES + 5), mode=0o400)
    source.add("small", b"s", mode=0o640)
    copy(source.finish(), layout)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in layout.data_directory.iterdir()}
    assert modes == {"large": 0o400, "small": 0o640}
    assert stat.S_IMODE(layout.data_directory.stat().st_mode) == 0o750


def test_a_tablespace_goes_where_the_layout_says_never_where_it_was(layout: Layout) -> None:
    source = Source()
    for folder in ("", "pg_tblspc"):
        source.add(folder, kind=FileKind.DIRECTORY, mode=0o700)
    source.add("pg_tblspc/16400", kind=FileKind.SYMLINK)
    source.add("pg_tblspc/16400/PG_16_202307071", kind=FileKind.DIRECTORY, mode=0o700)
    source.add("pg_tblspc/16400/PG_16_202307071/1", b"row")
    copy(source.finish(), layout)
    link = layout.data_directory / "pg_tblspc" / "16400"
    assert Path(os.readlink(link)) == layout.tablespaces[16400]
    assert (layout.tablespaces[16400] / "PG_16_202307071" / "1").read_bytes() == b"row"


def test_a_flipped_bit_ends_the_copy_before_the_file_has_it(layout: Layout) -> None:
    source = Source()
    source.add("", kind=FileKind.DIRECTORY, mode=0o700)
    content = os.urandom(PIECE)
    source.add("1", content)
    reader = source.finish()
    (pack,) = [info.key for info in source.store.scan("") if "/pack/" in info.key]
    damaged = bytearray(source.store.get(pack))
    damaged[len(damaged) // 2] ^= 1
    source.store.delete(pack)
    source.store.put(pack, bytes(damaged))
    with pytest.raises(IntegrityError):
        copy(reader, layout)
    place = layout.data_directory / "1"
    assert not place.exists() or not any(place.read_bytes())
