from __future__ import annotations

import random
import string
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.model.clock import SystemClock
from seawall.repository.backups.file_entry import (
    MAX_RECORD_EXTENTS,
    EntryDecoder,
    FileEntry,
    FileIdentity,
    FileKind,
    check_path,
    encode_entry,
    path_order,
)
from seawall.repository.backups.manifest import ManifestReader, ManifestWriter
from seawall.repository.backups.packs import PackEntry
from seawall.repository.backups.record import ManifestRef
from seawall.repository.errors import FrameDamaged
from seawall.repository.format.extents import Extent, pack_extents
from seawall.repository.repository import Repository
from tests.unit.repository.tiny_store import TinyStore

KEY = "clusters/main/7/backups/20261125T104107Z-3fa9c1/manifest"
PACKS = [
    PackEntry(f"{number:032x}", "20261125T104107Z-3fa9c1", bytes([number]) * 32, number)
    for number in range(3)
]

names = st.text(string.ascii_lowercase + "ä .-_\udcff", min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
u32, u63 = st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1)
entries = st.builds(
    FileEntry,
    path=paths,
    kind=st.sampled_from(FileKind),
    mode=st.integers(0, 0o7777),
    uid=u32,
    gid=u32,
    owner=st.text(max_size=8),
    group=st.text(max_size=8),
    mtime_ns=st.integers(-(2**63), 2**63 - 1),
    size=u63,
    target=st.one_of(st.just(""), paths),
    extents=st.lists(st.builds(Extent.zeros, u63, u32), max_size=3).map(pack_extents),
    corrupt_blocks=st.lists(u32, max_size=4).map(tuple),
    identity=st.one_of(st.none(), st.builds(FileIdentity, u63, u63, u63, u63)),
)
sorted_entries = st.lists(entries, max_size=8, unique_by=lambda entry: path_order(entry.path)).map(
    lambda items: sorted(items, key=lambda entry: path_order(entry.path))
)


def new_repository(store: TinyStore | None = None) -> Repository:
    return Repository.create(store or TinyStore(), [], clock=SystemClock(), encrypted=False)


def write(repository: Repository, items: list[FileEntry]) -> ManifestReader:
    writer = ManifestWriter(repository, KEY)
    for entry in items:
        writer.add(entry)
    return ManifestReader(repository, KEY, writer.finish(PACKS))


@given(sorted_entries)
@settings(deadline=None)
def test_entries_packs_and_lookups_round_trip(items: list[FileEntry]) -> None:
    reader = write(new_repository(), items)
    assert list(reader.entries()) == items
    assert reader.packs() == PACKS
    for entry in items:
        assert reader.find(entry.path) == entry
    assert reader.find("no such/file") is None


@given(sorted_entries, st.data())
@settings(deadline=None, max_examples=60)
def test_any_flipped_bit_or_cut_is_damage(items: list[FileEntry], draw: st.DataObject) -> None:
    store = TinyStore()
    reader = write(new_repository(store), items)
    whole = store.objects[KEY]
    bit = draw.draw(st.integers(0, 8 * len(whole) - 1))
    cut = draw.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    for damaged in (bytes(flipped), whole[:cut]):
        store.objects[KEY] = damaged
        with pytest.raises(FrameDamaged):
            list(reader.entries())


def test_every_frame_of_a_long_manifest_is_found_again(repository: Repository, store: TinyStore) -> None:
    items = [
        FileEntry(path=f"base/{folder}/{number:05d}", size=number, owner="postgres" * 20)
        for folder in (1, 5, 7)
        for number in range(2000)
    ]
    reader = write(repository, items)
    assert list(reader.entries()) == items
    store.gets.clear()
    for entry in items[::171]:
        assert reader.find(entry.path) == entry
    assert max(length for _, _, length in store.gets) < len(store.objects[KEY]) // 3
    for missing in ("", "base", "base/1/00000x", "base/6/1", "zzz"):
        assert reader.find(missing) is None


def test_a_file_of_any_size_keeps_frames_bounded(repository: Repository) -> None:
    extents = pack_extents(Extent.zeros(number << 18, 1 << 18) for number in range(5 * MAX_RECORD_EXTENTS))
    huge = FileEntry(path="base/1/2", size=1, extents=extents, corrupt_blocks=tuple(range(40_000)))
    items = [FileEntry(path="base/1/1"), huge, FileEntry(path="base/1/3")]
    reader = write(repository, items)
    assert list(reader.entries()) == items
    assert [reader.find(entry.path) for entry in items] == items
    assert max(len(record) for record in encode_entry(huge)) < 256 << 10


def test_a_folder_comes_before_what_is_in_it_and_order_is_by_component() -> None:
    ordered = ["", "base", "base/1", "base/1/2", "base/10", "base.d", "base0", "Ü", "\udcff"]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert sorted(shuffled, key=path_order) == ordered


@pytest.mark.parametrize("second", ["a", "A", "a/", ""])
def test_an_entry_out_of_order_is_refused(repository: Repository, second: str) -> None:
    writer = ManifestWriter(repository, KEY)
    writer.add(FileEntry(path="a"))
    with pytest.raises(ValueError):
        writer.add(FileEntry(path=second))
    writer.abort()


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "./a", "a/", "..", "a\0b"]
)
def test_a_path_that_could_leave_the_target_is_refused_both_ways(path: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        encode_entry(FileEntry(path=path))
    good = b"".join(encode_entry(FileEntry(path="x" * len(path))))
    crafted = b"\x91" + good.replace(b"x" * len(path), path.encode())
    with pytest.raises(FrameDamaged):
        list(EntryDecoder().decode(crafted))


def test_names_with_dots_are_just_names() -> None:
    for path in (b"..a", b"a..", b"...", b"a/..b", b".seawall", b""):
        check_path(path)


@given(st.binary(max_size=60))
def test_entries_of_garbage_are_damage(garbage: bytes) -> None:
    try:
        list(EntryDecoder().decode(garbage))
    except FrameDamaged:
        return
    assert garbage[:1] in (b"\x90", b"\xdc", b"\xdd")  # an empty array is a valid answer


def test_an_entry_that_never_ends_is_damage() -> None:
    extents = pack_extents(Extent.zeros(0, 1) for _ in range(MAX_RECORD_EXTENTS + 1))
    first, second = encode_entry(FileEntry(path="a", extents=extents))
    decoder = EntryDecoder()
    assert not list(decoder.decode(b"\x91" + first))
    with pytest.raises(FrameDamaged, match="ends within an entry"):
        decoder.finish()
    other = encode_entry(FileEntry(path="b"))[0]
    with pytest.raises(FrameDamaged, match="different files"):
        list(decoder.decode(b"\x91" + other))
    whole = EntryDecoder()
    assert [entry.extents for entry in whole.decode(b"\x92" + first + second)] == [extents]


def test_only_the_committed_manifest_is_believed(repository: Repository, store: TinyStore) -> None:
    reader = write(repository, [FileEntry(path="a")])
    store.delete(KEY)
    other = write(repository, [FileEntry(path="b")])
    forged = ManifestReader(repository, KEY, msgspec.structs.replace(other.ref, hash=reader.ref.hash))
    with pytest.raises(FrameDamaged, match="another manifest"):
        list(forged.entries())
    store.delete(KEY)
    for read in (lambda: list(other.entries()), other.packs, lambda: other.find("b")):
        with pytest.raises(FrameDamaged, match="missing"):
            read()


def test_a_wrong_reference_is_damage(repository: Repository) -> None:
    reader = write(repository, [FileEntry(path="a"), FileEntry(path="b")])
    for ref in (
        ManifestRef(reader.ref.size, 64, reader.ref.hash),
        ManifestRef(reader.ref.size - 1, reader.ref.index_offset, reader.ref.hash),
        ManifestRef(reader.ref.size, reader.ref.index_offset + 1, reader.ref.hash),
        ManifestRef(0, 0, ""),
    ):
        wrong = ManifestReader(repository, KEY, ref)
        with pytest.raises(FrameDamaged):
            list(wrong.entries())
            wrong.packs()


_MILLION = """
import re
from pathlib import Path
from seawall.model.clock import SystemClock
from seawall.repository.format.extents import Extent, ExtentKind, pack_extents
from seawall.repository.backups.manifest import FileEntry, ManifestReader, ManifestWriter
from seawall.repository.repository import Repository
from tests.unit.repository.tiny_store import TinyStore

def peak_kib():
    # VmHWM and not ru_maxrss, which a process inherits from the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def entry(number):
    digest = number.to_bytes(16, "big")
    extent = Extent(0, 8192, ExtentKind.DATA, 0, number >> 14, 64 + number * 900, 900, 0, digest)
    return FileEntry(path=f"base/{number // 5000:05d}/{number:08d}", mode=0o600, uid=999, gid=999,
                     owner="postgres", group="postgres", mtime_ns=1_790_000_000_000_000_000 + number,
                     size=8192, extents=pack_extents((extent,)))

count, key = 1_000_000, "manifest"
repository = Repository.create(TinyStore(), [], clock=SystemClock(), encrypted=False)
writer = ManifestWriter(repository, key)
for number in range(count):
    writer.add(entry(number))
reader = ManifestReader(repository, key, writer.finish([]))
print(peak_kib(), reader.ref.size)
seen = sum(extent.length for item in reader.entries() for extent in item.iter_extents())
assert seen == count * 8192, seen
assert reader.find(entry(777_777).path) == entry(777_777)
print(peak_kib(), reader.ref.size)
"""


def test_a_million_small_files_fit_in_300_mb() -> None:
    """The memory store holds the manifest itself, which is taken off: a real store would not."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _MILLION], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        peak_kib, manifest_bytes = map(int, line.split())
        assert peak_kib * 1024 - manifest_bytes < 300 << 20
