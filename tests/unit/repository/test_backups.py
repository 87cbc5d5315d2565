"""Write backups, read them back, and meet every way in which a writer can end."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime

import pytest
from blake3 import blake3

from seawall.model.clock import SystemClock
from seawall.model.lsn import Lsn
from seawall.repository.backups.catalog import Catalog, read_commit
from seawall.repository.backups.file_entry import FileEntry
from seawall.repository.backups.packs import PackPolicy, PackWriter
from seawall.repository.backups.reader import BackupReader
from seawall.repository.backups.record import AbortedBackup, BackupRecord, encode_commit
from seawall.repository.backups.writer import BackupWriter
from seawall.repository.errors import BackupCollected, ExtentDamaged, FrameDamaged, NameInvalid
from seawall.repository.format.codec import Codec, Compressor
from seawall.repository.format.extents import MAX_EXTENT_BYTES, Extent, ExtentKind, pack_extents
from seawall.repository.format.frames import HEADER_BYTES, ObjectKind
from seawall.repository.layout import commit_key
from seawall.repository.repository import Repository
from seawall.storage.errors import ObjectExists, StoreUnavailable
from seawall.storage.protocol import Buffer, ObjectWriter
from tests.unit.repository.tiny_store import TinyStore, TinyWriter

ID = "20261125T104107Z-3fa9c1"
SYSTEM = 7412345678901234567
SMALL_PACKS = PackPolicy(target_bytes=300_000)


def record_of(backup_id: str = ID, **changes: object) -> BackupRecord:
    at = datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)
    fields: dict[str, object] = {
        "id": backup_id,
        "cluster": "main",
        "system_identifier": SYSTEM,
        "started_at": at,
        "stopped_at": at,
        "start_lsn": Lsn.parse("0/2000028"),
        "stop_lsn": Lsn.parse("0/2000100"),
        "timeline": 1,
        "start_wal": "000000010000000000000002",
        "stop_wal": "000000010000000000000002",
        "pg_version_num": 180004,
    }
    return BackupRecord(**{**fields, **changes})  # type: ignore[arg-type]


def begin(repository: Repository, backup_id: str = ID, policy: PackPolicy = SMALL_PACKS) -> BackupWriter:
    return BackupWriter.begin(
        repository, cluster="main", system_identifier=SYSTEM, backup_id=backup_id, policy=policy
    )


def store_file(packs: PackWriter, content: bytes) -> bytes:
    """Store one file as the backup engine does; return its packed extents."""
    compressor, extents = Compressor(), []
    for offset in range(0, len(content), MAX_EXTENT_BYTES):
        piece = content[offset : offset + MAX_EXTENT_BYTES]
        if not any(piece):
            extents.append(Extent.zeros(offset, len(piece)))
            continue
        ref = packs.append(compressor.compress(piece), raw_length=len(piece), codec=Codec.ZSTD)
        digest = blake3(piece).digest(length=16)
        extents.append(
            Extent(offset, len(piece), ExtentKind.DATA, 0, ref.pack, ref.offset, ref.length, 0, digest)
        )
    return pack_extents(extents)


def contents(seed: int = 1) -> dict[str, bytes]:
    """Return files of all sorts: empty, small, several packs long, holes."""
    source = random.Random(seed)
    return {
        "PG_VERSION": b"18\n",
        "base/1/empty": b"",
        "base/1/large": source.randbytes(900_000),
        "base/1/sparse": source.randbytes(10_000) + bytes(600_000) + source.randbytes(5),
        "base/1/zeros": bytes(8192),
        "global/pg_control": source.randbytes(8192),
    }


def write_backup(repository: Repository, files: dict[str, bytes], backup_id: str = ID) -> BackupRecord:
    with begin(repository, backup_id) as writer:
        packs = writer.new_pack_writer()
        for path, content in files.items():
            writer.manifest.add(FileEntry(path=path, size=len(content), extents=store_file(packs, content)))
        packs.close()
        return writer.commit(record_of(backup_id))


def read_files(repository: Repository, record: BackupRecord) -> dict[str, bytes]:
    reader = BackupReader(repository, record)
    files: dict[str, bytes] = {}
    for entry in reader.entries():
        content = bytearray(entry.size)
        for extent, data in reader.read_extents(entry.iter_extents()):
            if data is not None:
                content[extent.file_offset : extent.file_end] = data
        files[entry.path] = bytes(content)
    return files


def test_a_backup_comes_back_byte_for_byte(repository: Repository) -> None:
    record = write_backup(repository, contents())
    assert record.pack_count > 2
    assert read_files(repository, record) == contents()
    again = Catalog(repository, "main").get("latest")
    assert again == record
    assert again.start_lsn == Lsn.parse("0/2000028") and isinstance(again.start_lsn, Lsn)


def test_stored_bytes_are_what_the_store_holds(repository: Repository, store: TinyStore) -> None:
    record = write_backup(repository, contents())
    held = sum(len(data) for key, data in store.objects.items() if "/backups/" in key)
    assert record.stored_bytes == held
    assert not [key for key in store.objects if key.startswith("leases/")]


def test_threads_write_and_read_packs_of_one_backup(repository: Repository) -> None:
    source = random.Random(2)
    files = {f"base/{number}": source.randbytes(400_000) for number in range(6)}
    stored: dict[str, bytes] = {}

    def work(packs: PackWriter, paths: list[str]) -> None:
        for path in paths:
            stored[path] = store_file(packs, files[path])

    with begin(repository) as writer:
        pack_writers = [writer.new_pack_writer() for _ in range(2)]
        threads = [
            threading.Thread(target=work, args=(packs, sorted(files)[number::2]))
            for number, packs in enumerate(pack_writers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for packs in pack_writers:
            packs.seal()
        for packs in pack_writers:
            packs.close()
        for path in sorted(files):
            writer.manifest.add(FileEntry(path=path, size=len(files[path]), extents=stored[path]))
        record = writer.commit(record_of())
    reader, read = BackupReader(repository, record), {}

    def check(entry: FileEntry) -> None:
        read[entry.path] = b"".join(
            bytes(data or b"") for _, data in reader.read_extents(entry.iter_extents())
        )

    readers = [threading.Thread(target=check, args=(entry,)) for entry in reader.entries()]
    for thread in readers:
        thread.start()
    for thread in readers:
        thread.join()
    assert read == files


def test_contiguous_frames_come_in_one_get(repository: Repository, store: TinyStore) -> None:
    with begin(repository, policy=PackPolicy()) as writer:
        packs = writer.new_pack_writer()
        first = store_file(packs, random.Random(3).randbytes(700_000))
        second = store_file(packs, random.Random(4).randbytes(700_000))
        writer.manifest.add(FileEntry(path="a", size=700_000, extents=first))
        writer.manifest.add(FileEntry(path="b", size=700_000, extents=second))
        packs.close()
        record = writer.commit(record_of())
    reader = BackupReader(repository, record)
    everything = [extent for entry in reader.entries() for extent in entry.iter_extents()]
    reader.packs()
    store.gets.clear()
    assert sum(len(data or b"") for _, data in reader.read_extents(everything)) == 1_400_000
    assert len(store.gets) == 1
    store.gets.clear()
    assert len(list(reader.read_extents(reversed(everything)))) == len(everything)
    assert len(store.gets) == len(everything)


def test_small_files_share_a_frame(repository: Repository, store: TinyStore) -> None:
    pieces = [b"one", b"twotwo", b"three"]
    frame = b"".join(pieces)
    with begin(repository) as writer:
        packs = writer.new_pack_writer()
        ref = packs.append(frame, raw_length=len(frame), codec=Codec.STORED)
        packs.close()
        record = writer.commit(record_of())
    extents, inner = [], 0
    for piece in pieces:
        digest = blake3(piece).digest(length=16)
        extents.append(Extent(0, len(piece), ExtentKind.DATA, 0, *ref, inner, digest))
        inner += len(piece)
    reader = BackupReader(repository, record)
    assert [bytes(data or b"") for _, data in reader.read_extents(extents)] == pieces
    wrong = extents[1]._replace(inner=2)
    with pytest.raises(ExtentDamaged, match="not the file's"):
        list(reader.read_extents([wrong]))
    with pytest.raises(ExtentDamaged, match="manifest lacks"):
        list(reader.read_extents([wrong._replace(pack=9)]))


def test_every_flip_in_a_pack_is_named_by_pack_and_offset(repository: Repository, store: TinyStore) -> None:
    record = write_backup(repository, {"a": random.Random(5).randbytes(500), "b": b"x" * 300})
    key = next(key for key in store.objects if "/pack/" in key)
    whole = store.objects[key]
    reader = BackupReader(repository, record)
    extents = [extent for entry in reader.entries() for extent in entry.iter_extents()]
    used = max(extent.frame_offset + extent.frame_length for extent in extents)
    for position in range(used):
        store.objects[key] = whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :]
        with pytest.raises(ExtentDamaged) as caught:
            list(reader.read_extents(extents))
        assert caught.value.fields["object"] == key
        damaged = [
            item for item in extents if item.frame_offset <= position < item.frame_offset + item.frame_length
        ]
        expected = damaged[0].frame_offset if damaged else 0
        assert (caught.value.fields["offset"] == expected and position >= HEADER_BYTES) or expected == 0
    for size in (0, 70, used - 1):
        store.objects[key] = whole[:size]
        with pytest.raises(ExtentDamaged):
            list(reader.read_extents(extents))
    del store.objects[key]
    with pytest.raises(ExtentDamaged, match="missing"):
        list(reader.read_extents(extents))


def test_an_uncommitted_backup_does_not_exist_and_leaves_nothing(
    repository: Repository, store: TinyStore
) -> None:
    before = set(store.objects)
    with pytest.raises(ZeroDivisionError), begin(repository) as writer:
        packs = writer.new_pack_writer()
        store_file(packs, random.Random(6).randbytes(500_000))
        raise ZeroDivisionError
    catalog = Catalog(repository, "main")
    assert catalog.listing(SYSTEM).aborted == (ID,)
    assert set(store.objects) - before == {commit_key("main", SYSTEM, ID)}


def test_a_writer_that_was_collected_can_not_commit(repository: Repository, store: TinyStore) -> None:
    writer = begin(repository)
    packs = writer.new_pack_writer()
    store_file(packs, b"x" * 1000)
    mark = AbortedBackup(datetime.now(UTC), "its lease expired")
    repository.write_object(commit_key("main", SYSTEM, ID), ObjectKind.COMMIT, encode_commit(mark))
    packs.close()
    with pytest.raises(BackupCollected, match="its lease expired"):
        writer.commit(record_of())
    assert writer.abort()
    assert not [key for key in store.objects if "/backups/" in key or key.startswith("leases/")]


def test_a_pack_that_was_never_closed_prevents_the_commit(repository: Repository) -> None:
    writer = begin(repository)
    store_file(writer.new_pack_writer(), b"x" * 1000)
    with pytest.raises(ValueError, match="never closed"):
        writer.commit(record_of())
    writer.abort()


class FlakyWriter(TinyWriter):
    """Fails where the store says so."""

    def write(self, data: Buffer) -> None:
        self.flaky.maybe_fail("write")
        super().write(data)

    def commit(self) -> None:
        self.flaky.maybe_fail("commit")
        super().commit()

    @property
    def flaky(self) -> FlakyStore:
        assert isinstance(self._store, FlakyStore)
        return self._store


class FlakyStore(TinyStore):
    """A store whose pack writers, or answers to commits of a backup, can be made to fail."""

    failing = ""

    def maybe_fail(self, operation: str) -> None:
        if self.failing == operation:
            raise StoreUnavailable(f"{operation} failed")

    def open_writer(self, key: str) -> ObjectWriter:
        return FlakyWriter(self, key) if "/pack/" in key else TinyWriter(self, key)

    def put(self, key: str, data: Buffer) -> None:
        super().put(key, data)
        if "/commits/" in key:
            self.maybe_fail("answer")


@pytest.fixture
def flaky() -> FlakyStore:
    return FlakyStore()


@pytest.fixture
def on_flaky(flaky: FlakyStore) -> Repository:
    return Repository.create(flaky, [], clock=SystemClock(), encrypted=False)


@pytest.mark.parametrize("operation", ["write", "commit"])
def test_a_pack_that_fails_in_the_background_is_raised(
    on_flaky: Repository, flaky: FlakyStore, operation: str
) -> None:
    flaky.failing = operation
    with pytest.raises(StoreUnavailable), begin(on_flaky) as writer:
        packs = writer.new_pack_writer()
        for seed in range(20):
            store_file(packs, random.Random(seed).randbytes(200_000))
        packs.close()
    assert not [key for key in flaky.objects if "/backups/" in key]


def test_after_a_failed_append_nothing_can_be_committed(on_flaky: Repository, flaky: FlakyStore) -> None:
    writer = begin(on_flaky)
    packs = writer.new_pack_writer()
    flaky.failing = "write"
    with pytest.raises(StoreUnavailable):
        for seed in range(9):
            store_file(packs, random.Random(seed).randbytes(200_000))
    flaky.failing = ""
    packs.close()
    with pytest.raises(ValueError, match="never closed"):
        writer.commit(record_of())
    writer.abort()


def test_a_commit_whose_answer_was_lost_survives_the_abort(on_flaky: Repository, flaky: FlakyStore) -> None:
    files = {"a": b"x" * 1000}
    writer = begin(on_flaky)
    packs = writer.new_pack_writer()
    writer.manifest.add(FileEntry(path="a", size=1000, extents=store_file(packs, files["a"])))
    packs.close()
    flaky.failing = "answer"
    with pytest.raises(StoreUnavailable):
        writer.commit(record_of())
    flaky.failing = ""
    assert not writer.abort()
    assert read_files(on_flaky, Catalog(on_flaky, "main").get()) == files


def test_a_store_that_is_out_hides_no_error_and_leaves_no_heartbeat(
    on_flaky: Repository, flaky: FlakyStore
) -> None:
    with pytest.raises(ZeroDivisionError) as caught, begin(on_flaky):
        flaky.failing = "answer"
        raise ZeroDivisionError
    assert any("giving up" in note for note in caught.value.__notes__)
    assert not [thread for thread in threading.enumerate() if ID in thread.name]
    assert not [key for key in flaky.objects if key.startswith("leases/")]


def test_another_backup_of_the_same_id_is_a_conflict(repository: Repository) -> None:
    write_backup(repository, {"a": b"x"})
    with pytest.raises(ObjectExists):
        write_backup(repository, {"a": b"x"})
    assert isinstance(read_commit(repository, "main", SYSTEM, ID), BackupRecord)


def test_a_commit_record_speaks_for_its_own_backup_only(repository: Repository) -> None:
    key = commit_key("main", SYSTEM, ID)
    other = record_of("20261125T104107Z-000000")
    repository.write_object(key, ObjectKind.COMMIT, encode_commit(other))
    with pytest.raises(FrameDamaged, match="another backup"):
        read_commit(repository, "main", SYSTEM, ID)


def test_names_that_are_no_keys_are_refused(repository: Repository) -> None:
    with pytest.raises(NameInvalid):
        BackupWriter.begin(repository, cluster="../x", system_identifier=1, backup_id=ID)
    with pytest.raises(NameInvalid):
        BackupWriter.begin(repository, cluster="main", system_identifier=1, backup_id="latest")
