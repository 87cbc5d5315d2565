"""The WAL archive: one object per file, duplicates, epochs, gaps, and a crash at every storage operation."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory
from seawall.model.wal_name import SegmentName
from seawall.repository.errors import FrameDamaged
from seawall.repository.format.frames import MAX_RAW_BYTES, FrameContent, ObjectKind, open_object
from seawall.repository.layout import wal_key
from seawall.repository.repository import Repository
from seawall.repository.wal.archive import PushOutcome, WalArchive, WalFolder
from seawall.repository.wal.errors import WalDiffers, WalNotFound
from seawall.repository.wal.lineage import SegmentRange
from seawall.repository.wal.terms import ForkPoint
from seawall.storage.errors import ObjectExists, StoreUnavailable
from seawall.storage.protocol import Buffer, ObjectInfo
from tests.unit.repository.sample_repository import (
    CLUSTER,
    SEGMENT_BYTES,
    SYSTEM,
    archive_of,
    claim,
    compressible,
    push_segments,
    segment,
    segment_name,
)
from tests.unit.repository.tiny_store import TinyStore

NAME = segment_name(5)
HISTORY_2 = f"1\t{Lsn(4 * SEGMENT_BYTES + 100)}\tno recovery target specified\n".encode()


def key_of(name: str, epoch: int = 1) -> str:
    return wal_key(CLUSTER, SYSTEM, epoch, int(name[:8], 16), name)


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 1, 5 << 20])
def test_what_was_pushed_is_fetched(repository: Repository, size: int) -> None:
    raw = compressible(size, size)
    archive = archive_of(repository)
    assert archive.push(1, NAME, memoryview(bytearray(raw))) is PushOutcome.STORED
    assert archive.fetch(NAME) == raw
    meta, _ = archive.read(1, NAME)
    assert (meta.name, meta.raw_bytes, meta.system_identifier, meta.timeline) == (NAME, size, SYSTEM, 1)


def test_an_object_is_a_meta_frame_and_frames_of_a_mebibyte(repository: Repository, store: TinyStore) -> None:
    archive_of(repository).push(1, NAME, compressible(1, (2 << 20) + 5), attributes={"records": [1]})
    frames = list(open_object(repository.context, ObjectKind.WAL, key_of(NAME), store.objects[key_of(NAME)]))
    assert [frame.content for frame in frames] == [FrameContent.META] + [FrameContent.DATA] * 3
    assert [len(frame.payload) for frame in frames[1:]] == [MAX_RAW_BYTES, MAX_RAW_BYTES, 5]
    assert archive_of(repository).read_meta(key_of(NAME)).attributes == {"records": [1]}


def test_identical_duplicates_succeed(repository: Repository, store: TinyStore) -> None:
    archive = archive_of(repository)
    archive.push(1, NAME, segment(5))
    before = dict(store.objects)
    assert archive.push(1, NAME, segment(5)) is PushOutcome.IDENTICAL
    assert store.objects == before


@pytest.mark.parametrize("place", [-1, -20, 5000])
def test_a_damaged_duplicate_is_not_taken_for_the_segment(
    repository: Repository, store: TinyStore, place: int
) -> None:
    """Success would let PostgreSQL remove the last good copy."""
    archive = archive_of(repository)
    archive.push(1, NAME, segment(5))
    stored = bytearray(store.objects[key_of(NAME)])
    stored[place] ^= 1
    store.objects[key_of(NAME)] = bytes(stored)
    with pytest.raises(FrameDamaged):
        archive.push(1, NAME, segment(5))
    store.objects[key_of(NAME)] = bytes(stored[:-40])
    with pytest.raises(FrameDamaged):
        archive.push(1, NAME, segment(5))


def test_a_long_meta_frame_is_compared_all_the_same(repository: Repository) -> None:
    archive = archive_of(repository)
    archive.push(1, NAME, segment(5), attributes={"records": compressible(9, 9000).decode()})
    assert archive.push(1, NAME, segment(5)) is PushOutcome.IDENTICAL


def test_different_bytes_under_one_name_are_refused(repository: Repository, store: TinyStore) -> None:
    archive = archive_of(repository)
    archive.push(1, NAME, segment(5))
    before = dict(store.objects)
    with pytest.raises(WalDiffers) as caught:
        archive.push(1, NAME, segment(6))
    hashes = {caught.value.fields["archived_hash"], caught.value.fields["given_hash"]}
    assert len(hashes) == 2 and all(str(digest) in caught.value.message for digest in hashes)
    assert f"already holds another {NAME} of epoch 1: archived " in caught.value.message
    assert store.objects == before
    assert archive.fetch(NAME) == segment(5)


def test_the_same_name_in_another_epoch_is_another_file(repository: Repository) -> None:
    archive = archive_of(repository)
    archive.push(1, NAME, segment(5))
    assert archive.push(2, NAME, segment(6)) is PushOutcome.STORED
    assert archive.read(1, NAME)[1] == segment(5)


def test_racing_pushers_of_the_same_bytes_both_succeed(repository: Repository) -> None:
    outcomes: list[PushOutcome] = []
    start = threading.Barrier(6)

    def race() -> None:
        start.wait()
        outcomes.append(archive_of(repository).push(1, NAME, segment(5)))

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.value for outcome in outcomes) == ["identical"] * 5 + ["stored"]


def test_a_put_whose_answer_was_lost_counts_as_stored(repository: Repository) -> None:
    class LostAnswer(TinyStore):
        def put(self, key: str, data: Buffer) -> None:
            super().put(key, data)
            raise ObjectExists("what one's own retried put answers")

    repository.store = LostAnswer()
    assert archive_of(repository).push(1, NAME, segment(5)) is PushOutcome.STORED


def test_only_names_that_postgresql_archives(repository: Repository, store: TinyStore) -> None:
    before = dict(store.objects)
    for name in ("RECOVERYXLOG", "000000010000000000000005.gz", "../../seawall.json"):
        with pytest.raises(ValueError):
            archive_of(repository).push(1, name, b"x")
    assert store.objects == before


def test_partials_labels_and_histories_are_kept_and_answer_for_nothing_else(repository: Repository) -> None:
    archive = archive_of(repository)
    partial, label = f"{segment_name(9)}.partial", f"{segment_name(2)}.00000028.backup"
    archive.push(1, partial, segment(9))
    archive.push(1, label, b"START WAL LOCATION")
    archive.push(2, "00000002.history", HISTORY_2)
    push_segments(repository, range(7, 9))
    assert archive.fetch(partial) == segment(9)
    assert archive.fetch("00000002.history") == HISTORY_2
    assert archive.find(segment_name(9)) is None
    with pytest.raises(WalNotFound):
        archive.fetch(segment_name(9))
    assert archive.segments(1) == [SegmentRange(1, 7, 8, SEGMENT_BYTES)]
    assert list(archive.names(WalFolder(1, 1))) == [label, segment_name(7), segment_name(8), partial]
    assert archive.histories()[2].switches[0].at == 4 * SEGMENT_BYTES + 100


def test_diverged_files_are_kept_apart(repository: Repository) -> None:
    archive = archive_of(repository)
    assert archive.push_diverged(1, NAME, segment(5)) is PushOutcome.STORED
    assert archive.push_diverged(1, NAME, segment(5)) is PushOutcome.IDENTICAL
    with pytest.raises(WalDiffers):
        archive.push_diverged(1, NAME, segment(6))
    assert archive.find(NAME) is None and archive.folders() == []
    assert archive.diverged_folders() == [WalFolder(1, 1)]


def test_the_newest_valid_epoch_answers(repository: Repository) -> None:
    """A data directory moved in segment 4: what its old host still sent from there on must not be replayed."""
    archive = archive_of(repository, segment_bytes=None)
    claim(repository, 1)
    claim(repository, 2, ForkPoint(1, Lsn(4 * SEGMENT_BYTES + 7), is_same_timeline=True))
    push_segments(repository, range(2, 6), epoch=1)
    archive.push(2, segment_name(4), segment(40))
    assert archive.find(segment_name(3)) == 1
    assert archive.find(segment_name(4)) == 2
    assert archive.find(segment_name(5)) is None
    assert archive.fetch(segment_name(4)) == segment(40)
    assert archive.fetch(segment_name(5), epoch=1) == segment(5)
    assert archive.segments(1) == [SegmentRange(1, 2, 4, SEGMENT_BYTES)]
    assert archive.segments(1, epoch=1) == [SegmentRange(1, 2, 5, SEGMENT_BYTES)]


def test_gaps_along_a_path_of_timelines(repository: Repository) -> None:
    archive = archive_of(repository)
    claim(repository, 1)
    claim(repository, 2, ForkPoint(1, Lsn(4 * SEGMENT_BYTES + 100)))
    push_segments(repository, range(2))
    push_segments(repository, range(3, 6))
    push_segments(repository, range(4, 8), epoch=2, timeline=2)
    along = TimelineHistory.parse(2, HISTORY_2.decode())
    gaps = archive.gaps(Lsn(0), Lsn(10 * SEGMENT_BYTES), along)
    assert gaps == [SegmentRange(1, 2, 2, SEGMENT_BYTES), SegmentRange(2, 8, 9, SEGMENT_BYTES)]
    assert archive.gaps(Lsn(3 * SEGMENT_BYTES), Lsn(8 * SEGMENT_BYTES), along) == []


def test_missing_asks_one_by_one_or_lists(repository: Repository) -> None:
    archive = archive_of(repository)
    push_segments(repository, range(3))
    push_segments(repository, range(4, 6))
    first = SegmentName(1, 0, SEGMENT_BYTES)
    near, far = SegmentName(1, 6, SEGMENT_BYTES), SegmentName(1, 60, SEGMENT_BYTES)
    assert [item.number for item in archive.missing(1, first, near)] == [3, 6]
    assert [item.number for item in archive.missing(1, first, far)] == [3, *range(6, 61)]


def test_a_days_terabyte_is_held_as_one_range(repository: Repository) -> None:
    class ManySegments(TinyStore):
        def scan(self, prefix: str) -> Iterator[ObjectInfo]:
            template = next(iter(TinyStore.scan(self, "")))
            for number in range(65_536):
                name = str(SegmentName(1, number, 16 << 20))
                yield ObjectInfo(prefix + name, template.size_bytes, template.modified)

        def children(self, prefix: str) -> list[str]:
            return ["00000001-00000001"]

    repository.store = ManySegments()
    repository.store.put("some", b"object")
    archive = WalArchive(repository, CLUSTER, SYSTEM, segment_bytes=16 << 20)
    assert archive.segments(1) == [SegmentRange(1, 0, 65_535, 16 << 20)]


def test_the_segment_size_is_read_off_the_archive(repository: Repository) -> None:
    archive = archive_of(repository, segment_bytes=None)
    with pytest.raises(WalNotFound):
        _ = archive.segment_bytes
    push_segments(repository, range(5, 6))
    assert archive.segment_bytes == SEGMENT_BYTES


def test_any_flipped_byte_is_found_by_fetch(repository: Repository, store: TinyStore) -> None:
    archive = archive_of(repository)
    archive.push(1, NAME, compressible(1, 600))
    whole = store.objects[key_of(NAME)]
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        store.objects[key_of(NAME)] = bytes(data)
        with pytest.raises(FrameDamaged):
            archive.fetch(NAME)
    for changed in (whole[:-1], whole + b"\0", b"", whole[:64]):
        store.objects[key_of(NAME)] = changed
        with pytest.raises(FrameDamaged):
            archive.fetch(NAME)


def test_swapped_objects_are_found(repository: Repository, store: TinyStore) -> None:
    push_segments(repository, range(5, 7))
    one, two = key_of(segment_name(5)), key_of(segment_name(6))
    store.objects[one], store.objects[two] = store.objects[two], store.objects[one]
    for name in (segment_name(5), segment_name(6)):
        with pytest.raises(FrameDamaged):
            archive_of(repository).fetch(name)


def test_a_damaged_original_is_not_taken_for_a_duplicate(repository: Repository, store: TinyStore) -> None:
    archive = archive_of(repository)
    archive.push(1, NAME, segment(5))
    data = bytearray(store.objects[key_of(NAME)])
    data[100] ^= 1
    store.objects[key_of(NAME)] = bytes(data)
    with pytest.raises(FrameDamaged):
        archive.push(1, NAME, segment(5))


class Crash(BaseException):
    """The process dies here."""


class CrashingStore(TinyStore):
    """Dies at one storage operation, before or after it took effect."""

    def __init__(self, objects: dict[str, bytes], at: int, *, after: bool) -> None:
        super().__init__()
        self.objects = objects
        self.left = at
        self.after = after

    def put(self, key: str, data: Buffer) -> None:
        self._step(before=True)
        super().put(key, data)
        self._step(before=False)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self._step(before=True)
        return super().get_range(key, offset, length)

    def _step(self, *, before: bool) -> None:
        if before:
            self.left -= 1
        if self.left == 0 and before is not self.after:
            raise Crash


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_crash_at_every_operation_of_a_push(
    repository: Repository, store: TinyStore, is_there: bool, after: bool
) -> None:
    if is_there:
        push_segments(repository, range(5, 6))
    start, at = dict(store.objects), 1
    while True:
        crashing = CrashingStore(dict(start), at, after=after)
        repository.store = crashing
        try:
            archive_of(repository).push(1, NAME, segment(5))
        except Crash:
            pass
        reached = crashing.left <= 0
        survivor = TinyStore()
        survivor.objects = crashing.objects
        repository.store = survivor
        assert archive_of(repository).push(1, NAME, segment(5)) in PushOutcome
        assert archive_of(repository).fetch(NAME) == segment(5)
        if not reached:
            break
        at += 1
    assert at == (3 if is_there else 2)  # put, and where the object was there already, the look at it


def test_an_unreachable_store_is_no_success(repository: Repository) -> None:
    class Out(TinyStore):
        def put(self, key: str, data: Buffer) -> None:
            raise StoreUnavailable("out")

    repository.store = Out()
    with pytest.raises(StoreUnavailable):
        archive_of(repository).push(1, NAME, segment(5))
