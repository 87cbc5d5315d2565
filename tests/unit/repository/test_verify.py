"""Verify finds any single changed bit, any loss and any swap, and names what it costs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from seawall.model.clock import SystemClock
from seawall.model.lsn import Lsn
from seawall.repository.backups.reader import BackupReader
from seawall.repository.errors import BackupMissing
from seawall.repository.format.crypto import CryptoContext
from seawall.repository.layout import term_key, wal_key
from seawall.repository.leases import Lease, LeaseRole
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.verify.backups import Coverage
from seawall.repository.verify.report import Problem, VerifyProgress, VerifyReport
from seawall.repository.verify.whole import verify
from seawall.repository.wal.errors import RepositoryDamaged
from seawall.repository.wal.terms import ForkPoint
from seawall.storage.errors import StoreUnavailable
from tests.unit.repository.sample_repository import (
    CLUSTER,
    FIRST_ID,
    SECOND_ID,
    SEGMENT_BYTES,
    SYSTEM,
    archive_of,
    begin_backup,
    claim,
    push_segments,
    record_for,
    segment,
    segment_name,
    write_backup,
)
from tests.unit.repository.tiny_store import TinyStore

THIRD_ID = "20261127T020000Z-00cafe"
ABORTED_ID = "20261127T030000Z-0dead0"
SYSTEM_PREFIX = f"clusters/{CLUSTER}/{SYSTEM}/"


@pytest.fixture
def filled(repository: Repository) -> Repository:
    """Two backups with their WAL, and one object at least of every kind."""
    claim(repository, 1)
    claim(repository, 2, ForkPoint(1, Lsn(9 * SEGMENT_BYTES)))
    push_segments(repository, range(2, 9))
    push_segments(repository, range(9, 11), epoch=2, timeline=2)
    archive = archive_of(repository)
    archive.push(2, "00000002.history", f"1\t{Lsn(9 * SEGMENT_BYTES)}\tno reason\n".encode())
    archive.push(1, f"{segment_name(9)}.partial", segment(9))
    archive.push_diverged(1, segment_name(9), segment(99))
    write_backup(repository, FIRST_ID, seed=1, start=2, stop=3)
    write_backup(repository, SECOND_ID, seed=2, start=5, stop=6)
    begin_backup(repository, ABORTED_ID, seed=3).abort()
    Lease.acquire(repository, CLUSTER, SECOND_ID, role=LeaseRole.READER)
    return repository


def wal(number: int) -> str:
    return wal_key(CLUSTER, SYSTEM, 1, 1, segment_name(number))


def keys_with(store: TinyStore, *parts: str) -> list[str]:
    return sorted(key for key in store.objects if all(part in key for part in parts))


def flip(store: TinyStore, key: str, position: int) -> None:
    data = bytearray(store.objects[key])
    data[position] ^= 1 << position % 8
    store.objects[key] = bytes(data)


def found(report: VerifyReport) -> set[str]:
    return {finding.key for finding in report.findings}


def test_a_whole_repository_is_intact(filled: Repository, store: TinyStore) -> None:
    report = verify(filled)
    assert report.findings == [] and report.stray == [] and report.is_intact
    assert report.backups == [FIRST_ID, SECOND_ID] and report.unfinished == []
    assert report.objects == len(store.objects)
    report.raise_if_damaged()


def test_every_byte_is_read_once(filled: Repository, store: TinyStore) -> None:
    """Packs and WAL, which are all that is large."""
    large = sum(len(data) for key, data in store.objects.items() if "/pack/" in key or "/0000000" in key)
    manifests = sum(len(data) for key, data in store.objects.items() if key.endswith("manifest"))
    assert 0 <= verify(filled).bytes_read - large - manifests <= 2000


def rounds(store: TinyStore) -> Iterator[dict[str, int]]:
    """Yield, for one round after another, a byte to flip in each object that the others don't hide: one
    backup loses its commit, another its manifest, a third a pack; every byte of each of them in time."""
    packs = max(keys_with(store, THIRD_ID, "/pack/"), key=lambda key: len(store.objects[key]))
    small = [
        key
        for key in store.objects
        if len(store.objects[key]) < 1500
        and not (FIRST_ID in key and "/commits/" not in key)
        and not (SECOND_ID in key and not key.endswith("manifest") and "leases/" not in key)
        and THIRD_ID not in key
    ]
    large = [packs, *keys_with(store, "/wal/"), *keys_with(store, "/diverged/")]
    longest = max(len(store.objects[key]) for key in small)
    source = random.Random(7)
    for number in range(longest):
        spots = {key: number % len(store.objects[key]) for key in small}
        # Of large objects: headers and frame headers by turns, and places anywhere.
        spots |= {key: source.randrange(len(store.objects[key])) for key in large}
        if number % 2:
            spots |= {key: number // 2 % min(400, len(store.objects[key])) for key in large}
        yield spots


def test_any_flipped_bit_of_any_object_is_found(filled: Repository, store: TinyStore) -> None:
    write_backup(filled, THIRD_ID, seed=4, start=5, stop=6)
    whole = dict(store.objects)
    step = 5 if filled.encrypted else 11  # every byte: test_every_byte_of_every_small_object
    for number, spots in enumerate(rounds(store)):
        if number % step:
            continue
        for key, position in spots.items():
            flip(store, key, position)
        missed = set(spots) - found(verify(filled, threads=1))
        assert not missed, {key: spots[key] for key in missed}
        store.objects.update(whole)


def small_repository(kind: str) -> tuple[Repository, TinyStore, str]:
    """Return a repository with little beside one object of ``kind``, and its key."""
    store = TinyStore()
    repository = Repository.create(store, [KeyFile("shop", b"k" * 40)], clock=SystemClock())
    if kind == "term":
        claim(repository, 1)
    if kind == "lease":
        Lease.acquire(repository, CLUSTER, FIRST_ID, role=LeaseRole.READER)
        store.objects[f"{SYSTEM_PREFIX}x"] = b""  # a cluster whose leases are looked at
    if kind == "wal":
        archive_of(repository).push(1, "00000001.history", b"1\n")
        claim(repository, 1)
    if kind in ("manifest", "commits"):
        with begin_backup(repository, FIRST_ID) as writer:
            writer.commit(record_for(FIRST_ID, start=2, stop=3))
        for key in keys_with(store, "/pack/"):
            del store.objects[key]
    return repository, store, keys_with(store, kind)[0]


@pytest.mark.parametrize("kind", ["keys", "seawall.json", "term", "lease", "wal", "manifest", "commits"])
def test_every_byte_of_every_small_object(kind: str) -> None:
    repository, store, key = small_repository(kind)
    whole = store.objects[key]
    assert key not in found(verify(repository, threads=1))
    for position in range(len(whole)):
        flip(store, key, position)
        report = verify(repository, threads=1)
        assert key in found(report), position
        store.objects[key] = whole


def test_every_byte_of_a_pack(repository: Repository, store: TinyStore) -> None:
    write_backup(repository, FIRST_ID)
    key = min(keys_with(store, "/pack/"), key=lambda key: len(store.objects[key]))
    whole = store.objects[key]
    for position in [*range(100), *range(100, len(whole) - 60, 97), *range(len(whole) - 60, len(whole))]:
        flip(store, key, position)
        assert key in found(verify(repository, threads=1)), position
        store.objects[key] = whole


def damages(data: bytes) -> dict[str, bytes]:
    return {
        "cut by one": data[:-1],
        "cut to the header": data[:64],
        "emptied": b"",
        "a byte more": data + b"\0",
        "itself again": data + data,
    }


def test_cut_and_lengthened_objects_of_every_kind(filled: Repository, store: TinyStore) -> None:
    kinds = ("keys/", "seawall.json", "/term/", "/pack/", "/manifest", "/commits/", "/wal/", ".history",
             ".partial", "/diverged/", "leases/")  # fmt: skip
    for kind in kinds:
        for key in [key for key in keys_with(store, kind) if ABORTED_ID not in key][:1]:
            data = store.objects[key]
            for name, changed in damages(data).items():
                store.objects[key] = changed
                assert key in found(verify(filled, threads=1)), (key, name)
            store.objects[key] = data
    assert verify(filled).is_intact


def test_removed_objects(filled: Repository, store: TinyStore) -> None:
    """All but what an honest repository may lack: slots, leases, aborted marks, partials, what diverged, and
    commits, which show as unfinished backups."""
    whole = dict(store.objects)
    may_lack = ("keys/", "leases/", ABORTED_ID, ".partial", "/diverged/")
    ends = (wal_key(CLUSTER, SYSTEM, 2, 2, segment_name(10, 2)), term_key(CLUSTER, 2))
    for key in whole:
        del store.objects[key]
        report = verify(filled, threads=1)
        if "/commits/" in key and ABORTED_ID not in key:
            assert report.unfinished == [key.rsplit("/", 1)[1]]
        elif key == term_key(CLUSTER, 2):
            assert any("no term claims that epoch" in finding.message for finding in report.findings)
        elif key not in ends and not any(part in key for part in may_lack):
            assert report.findings, key
            assert all(finding.problem is Problem.MISSING for finding in report.findings), key
        store.objects[key] = whole[key]


def test_swapped_objects_of_one_kind(filled: Repository, store: TinyStore) -> None:
    pairs = [
        (wal(2), wal(3)),
        tuple(keys_with(store, "/manifest")),
        tuple(keys_with(store, "/commits/"))[:2],
        tuple(keys_with(store, FIRST_ID, "/pack/"))[:2],
        (keys_with(store, FIRST_ID, "/pack/")[0], keys_with(store, SECOND_ID, "/pack/")[0]),
        (term_key(CLUSTER, 1), term_key(CLUSTER, 2)),
    ]
    for one, two in pairs:
        store.objects[one], store.objects[two] = store.objects[two], store.objects[one]
        assert {one, two} <= found(verify(filled, threads=1)), (one, two)
        store.objects[one], store.objects[two] = store.objects[two], store.objects[one]


def test_the_same_object_of_another_repository_is_found(filled: Repository, store: TinyStore) -> None:
    """Same key, same secrets: only the identity differs."""
    master = b"m" * 32 if filled.encrypted else None
    stores = [TinyStore(), TinyStore()]
    repositories = [
        Repository(
            store,
            CryptoContext(bytes([number]) * 16, master),
            clock=SystemClock(),
            created_at=datetime.now(UTC),
        )
        for number, store in enumerate(stores)
    ]
    for repository in repositories:
        push_segments(repository, range(2, 3))
    assert wal(2) not in found(verify(repositories[0]))
    stores[0].objects[wal(2)] = stores[1].objects[wal(2)]
    assert wal(2) in found(verify(repositories[0]))


def test_findings_name_key_slot_file_blocks_and_wal(filled: Repository, store: TinyStore) -> None:
    for key in keys_with(store, "keys/"):
        flip(store, key, 100)
    flip(store, keys_with(store, FIRST_ID, "/pack/")[0], 300)
    flip(store, keys_with(store, FIRST_ID, "/pack/")[1], 300)
    flip(store, keys_with(store, FIRST_ID, "/pack/")[2], 300)
    flip(store, wal(6), 5000)
    flip(store, wal(8), 5000)
    report = verify(filled)
    affects = {finding.key: finding.affects for finding in report.findings}
    if filled.encrypted:
        assert any("key slot" in text for texts in affects.values() for text in texts)
    files = [text for key, texts in affects.items() if "/pack/" in key for text in texts]
    assert len(files) >= 3
    assert all(text.startswith(f"backup {FIRST_ID}: ") and ", blocks " in text for text in files)
    assert affects[wal(6)] == (f"WAL {segment_name(6)}", f"backup {SECOND_ID} can't be restored")
    assert affects[wal(8)] == (f"WAL {segment_name(8)}",)
    assert set(report.not_restorable) == {FIRST_ID, SECOND_ID}
    with pytest.raises(RepositoryDamaged) as caught:
        report.raise_if_damaged()
    assert caught.value.fields["not_restorable"] == [FIRST_ID, SECOND_ID]


def test_a_flip_in_a_known_place_names_exactly_that_extent(repository: Repository, store: TinyStore) -> None:
    record = write_backup(repository, FIRST_ID)
    reader = BackupReader(repository, record)
    entry = reader.find("base/5/1259")
    assert entry is not None
    extent = list(entry.iter_extents())[3]
    key = reader.pack_key(extent.pack)
    flip(store, key, extent.frame_offset + 20)
    (finding,) = [item for item in verify(repository).findings if item.problem is Problem.DAMAGED]
    assert finding.key == key and f"offset {extent.frame_offset}" in finding.message
    assert finding.affects == (
        f"backup {FIRST_ID}: base/5/1259, blocks 1 to 1 (bytes {extent.file_offset} to {extent.file_end})",
    )


def test_files_that_share_a_damaged_frame_are_all_named(repository: Repository, store: TinyStore) -> None:
    write_backup(repository, FIRST_ID)
    for key in keys_with(store, "/pack/"):
        flip(store, key, 64 + 20)
    named = {text.split(": ")[1].split(",")[0] for item in verify(repository).findings for text in item.affects
             if ": " in text}  # fmt: skip
    assert "PG_VERSION" in named


def test_missing_wal_between_start_and_stop_makes_a_backup_useless(
    filled: Repository, store: TinyStore
) -> None:
    del store.objects[wal(3)]
    report = verify(filled)
    assert list(report.not_restorable) == [FIRST_ID]
    assert segment_name(3) in report.not_restorable[FIRST_ID][0]
    assert any(segment_name(3) in finding.key for finding in report.findings)


def test_a_hole_between_backups_costs_recovery_past_it(filled: Repository, store: TinyStore) -> None:
    del store.objects[wal(4)]
    report = verify(filled)
    assert report.not_restorable == {}
    (finding,) = report.findings
    assert finding.problem is Problem.MISSING and "past" in finding.affects[0]


def test_a_lost_pack_names_its_files(filled: Repository, store: TinyStore) -> None:
    key = keys_with(store, FIRST_ID, "/pack/")[0]
    del store.objects[key]
    report = verify(filled)
    (finding,) = report.findings
    assert (finding.key, finding.problem) == (key, Problem.MISSING)
    assert all(text.startswith(f"backup {FIRST_ID}: ") for text in finding.affects) and finding.affects
    assert list(report.not_restorable) == [FIRST_ID]


def test_strays_are_told_and_are_no_damage(filled: Repository, store: TinyStore) -> None:
    strays = {
        "notes.txt",
        f"clusters/{CLUSTER}/readme",
        f"clusters/{CLUSTER}/term/one",
        f"{SYSTEM_PREFIX}old",
        f"{SYSTEM_PREFIX}commits/x",
        f"{SYSTEM_PREFIX}backups/{FIRST_ID}/pack/00",
        f"{SYSTEM_PREFIX}wal/00000001-00000001/core",
    }
    for key in strays:
        store.put(key, b"")
    report = verify(filled)
    assert {item.key for item in report.stray} == strays and report.is_intact


def test_one_backup_with_the_wal_that_it_needs(filled: Repository, store: TinyStore) -> None:
    flip(store, wal(8), 5000)
    flip(store, keys_with(store, SECOND_ID, "/pack/")[0], 3000)
    report = verify(filled, backup=FIRST_ID)
    assert report.is_intact and report.backups == [FIRST_ID]
    assert not verify(filled, backup=SECOND_ID, cluster=CLUSTER).is_intact
    flip(store, wal(2), 5000)
    assert list(verify(filled, backup="latest").not_restorable) == [SECOND_ID]
    assert list(verify(filled, backup=FIRST_ID).not_restorable) == [FIRST_ID]
    with pytest.raises(BackupMissing):
        verify(filled, backup="20200101T000000Z-000000")


def test_one_cluster_only(filled: Repository, store: TinyStore) -> None:
    store.put("clusters/other/term/000001", b"damaged")
    assert not verify(filled).is_intact
    assert verify(filled, cluster=CLUSTER).is_intact


def test_a_fraction_is_a_fixed_sample_and_all_fractions_see_what_is_missing(
    filled: Repository, store: TinyStore
) -> None:
    key = wal(8)
    flip(store, key, 5000)
    reports = [verify(filled, fraction=0.3, seed=seed) for seed in range(30)]
    hits = [seed for seed, report in enumerate(reports) if key in found(report)]
    assert 2 <= len(hits) <= 20
    assert key in found(verify(filled, fraction=0.3, seed=hits[0]))
    assert all(report.skipped_objects and report.objects for report in reports)
    del store.objects[wal(3)]
    del store.objects[keys_with(store, FIRST_ID, "/pack/")[0]]
    for seed in range(3):
        assert FIRST_ID in verify(filled, fraction=0.01, seed=seed).not_restorable
    with pytest.raises(ValueError):
        verify(filled, fraction=0)


def test_threads_and_progress(filled: Repository, store: TinyStore) -> None:
    seen: list[VerifyProgress] = []
    flip(store, wal(4), 100)
    report = verify(filled, threads=4, progress=seen.append)
    assert [item.objects for item in seen] == sorted(item.objects for item in seen)
    assert all(item.bytes_read <= item.expected_bytes for item in seen)
    assert (seen[-1].objects, seen[-1].bytes_read, seen[-1].findings) == (
        report.objects,
        report.bytes_read,
        1,
    )
    assert found(report) == found(verify(filled, threads=1))


@pytest.mark.parametrize("part", ["/manifest", "/pack/", "/wal/", "/term/", "seawall.json"])
def test_a_store_that_is_out_is_no_verdict(filled: Repository, store: TinyStore, part: str) -> None:
    class Out(TinyStore):
        def get(self, key: str) -> bytes:
            if part in key:
                raise StoreUnavailable("out")
            return super().get(key)

    out = Out()
    out.objects = store.objects
    filled.store = out
    with pytest.raises(StoreUnavailable):
        verify(filled)


def test_coverage_is_the_union_of_what_was_added() -> None:
    source = random.Random(3)
    for _ in range(200):
        coverage, proven = Coverage(), set()
        for _ in range(source.randrange(12)):
            start = source.randrange(40)
            end = start + source.randrange(1, 10)
            coverage.add(start, end)
            proven |= set(range(start, end))
        rest = coverage.rest(60)
        assert [spot for start, end in rest for spot in range(start, end)] == [
            spot for spot in range(60) if spot not in proven
        ]
