"""A repository with every kind of object, built as the engines build one."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime

from blake3 import blake3

from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.repository.backups.file_entry import FileEntry, FileKind
from seawall.repository.backups.packs import PackPolicy, PackWriter
from seawall.repository.backups.record import BackupRecord
from seawall.repository.backups.writer import BackupWriter
from seawall.repository.format.codec import Codec, Compressor
from seawall.repository.format.extents import Extent, ExtentKind, pack_extents
from seawall.repository.repository import Repository
from seawall.repository.wal.archive import WalArchive
from seawall.repository.wal.terms import ForkPoint, TermLog

SYSTEM = 7412345678901234567
CLUSTER = "main"
SEGMENT_BYTES = 1 << 20
"""The smallest WAL segment size that PostgreSQL knows, for speed."""
FIRST_ID = "20261125T104107Z-3fa9c1"
SECOND_ID = "20261126T020000Z-00beef"
EXTENT_BYTES = 4096


def compressible(seed: object, size: int) -> bytes:
    """Return bytes that zstd halves, as heap pages are: hexadecimal digits of hashes."""
    pieces = (hashlib.md5(f"{seed}/{number}".encode()).hexdigest() for number in range(size // 32 + 1))
    return "".join(pieces).encode()[:size]


def segment_name(number: int, timeline: int = 1) -> str:
    return str(SegmentName(timeline, number, SEGMENT_BYTES))


def segment(number: int, timeline: int = 1) -> bytes:
    """Return the content of one WAL segment: a little that differs, and the zeros of an early switch."""
    return compressible((timeline, number), 20_000) + bytes(SEGMENT_BYTES - 20_000)


def archive_of(repository: Repository, *, segment_bytes: int | None = SEGMENT_BYTES) -> WalArchive:
    return WalArchive(repository, CLUSTER, SYSTEM, segment_bytes=segment_bytes)


def push_segments(repository: Repository, numbers: range, *, epoch: int = 1, timeline: int = 1) -> None:
    for number in numbers:
        archive_of(repository).push(epoch, segment_name(number, timeline), segment(number, timeline))


def claim(repository: Repository, epoch: int, fork: ForkPoint | None = None) -> None:
    """Claim ``epoch`` as the next one."""
    log = TermLog(repository, CLUSTER)
    head = log.head()
    if head is None:
        head = log.claim_first(system_identifier=SYSTEM, writer=f"w{epoch}", data_directory="/data")
    else:
        assert fork is not None
        head = log.claim_next(
            head, system_identifier=SYSTEM, writer=f"w{epoch}", data_directory="/data", forked_from=fork
        )
    assert head.epoch == epoch


def backup_files(seed: int) -> dict[str, bytes]:
    """Return files of all sorts: empty, small ones that share a frame, large, with a hole."""
    source = random.Random(seed)
    return {
        "PG_VERSION": b"18\n",
        "base/5/1259": compressible(seed, 40_000),
        "base/5/1260": b"",
        "base/5/2600": source.randbytes(9_000) + bytes(30_000) + source.randbytes(5),
        "global/pg_control": source.randbytes(8192),
    }


def record_for(backup_id: str, *, start: int, stop: int, timeline: int = 1) -> BackupRecord:
    """Return the facts of a backup whose WAL is the segments ``start`` to ``stop``."""
    at = datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)
    return BackupRecord(
        id=backup_id,
        cluster=CLUSTER,
        system_identifier=SYSTEM,
        started_at=at,
        stopped_at=at,
        start_lsn=Lsn(start * SEGMENT_BYTES + 0x28),
        stop_lsn=Lsn(stop * SEGMENT_BYTES + 0x100),
        timeline=timeline,
        start_wal=segment_name(start, timeline),
        stop_wal=segment_name(stop, timeline),
        wal_segment_bytes=SEGMENT_BYTES,
        pg_version_num=180004,
    )


def write_backup(
    repository: Repository, backup_id: str, *, seed: int = 1, start: int = 2, stop: int = 3
) -> BackupRecord:
    """Write and commit a backup of :func:`backup_files`."""
    with begin_backup(repository, backup_id, seed=seed) as writer:
        return writer.commit(record_for(backup_id, start=start, stop=stop))


def begin_backup(repository: Repository, backup_id: str, *, seed: int = 1) -> BackupWriter:
    """Write all of a backup but its commit."""
    writer = BackupWriter.begin(
        repository,
        cluster=CLUSTER,
        system_identifier=SYSTEM,
        backup_id=backup_id,
        policy=PackPolicy(target_bytes=16_000),
    )
    packs = writer.new_pack_writer()
    writer.manifest.add(FileEntry(path="", kind=FileKind.DIRECTORY, mode=0o700))
    files = backup_files(seed)
    small = _store_together(packs, {path: files[path] for path in ("PG_VERSION", "base/5/1260")})
    for path, content in files.items():
        extents = small.get(path)
        if extents is None:
            extents = _store_file(packs, content)
        writer.manifest.add(FileEntry(path=path, size=len(content), extents=extents))
    packs.close()
    return writer


def _store_file(packs: PackWriter, content: bytes) -> bytes:
    compressor, extents = Compressor(), []
    for offset in range(0, len(content), EXTENT_BYTES):
        piece = content[offset : offset + EXTENT_BYTES]
        if any(piece):
            ref = packs.append(compressor.compress(piece), len(piece), Codec.ZSTD)
            extents.append(_extent(piece, offset, 0, *ref))
        else:
            extents.append(Extent.zeros(offset, len(piece)))
    return pack_extents(extents)


def _store_together(packs: PackWriter, files: dict[str, bytes]) -> dict[str, bytes]:
    joined = b"".join(files.values())
    ref = packs.append(Compressor().compress(joined), len(joined), Codec.ZSTD)
    inner, result = 0, {}
    for path, content in files.items():
        result[path] = pack_extents([_extent(content, 0, inner, *ref)] if content else [])
        inner += len(content)
    return result


def _extent(piece: bytes, offset: int, inner: int, pack: int, frame_offset: int, frame_length: int) -> Extent:
    digest = blake3(piece).digest(length=16)
    return Extent(offset, len(piece), ExtentKind.DATA, 0, pack, frame_offset, frame_length, inner, digest)
