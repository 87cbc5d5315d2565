"""Read one backup: entries in path order, and the bytes of any extents, from any number of threads.

Neighbouring frames come in one ranged get, small files that share a frame cost one decryption, and nothing is
handed out whose hash is not the one in the manifest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from blake3 import blake3

from seawall.repository import layout
from seawall.repository.backups.file_entry import FileEntry
from seawall.repository.backups.manifest import ManifestReader
from seawall.repository.backups.packs import PackEntry
from seawall.repository.backups.record import BackupRecord
from seawall.repository.errors import ExtentDamaged, FrameDamaged
from seawall.repository.format.extents import EXTENT_HASH_BYTES, Extent, ExtentKind
from seawall.repository.format.frames import HEADER_BYTES, ObjectKind, ObjectOpener
from seawall.repository.repository import Repository
from seawall.storage.errors import ObjectMissing

SPAN_BYTES = 8 << 20
"""One ranged get at most: large enough to drown a request's latency, small enough for several threads."""
GAP_BYTES = 64 << 10
"""Bytes between two wanted frames that are read and dropped rather than asked for apart."""
_OPENERS = 16


@dataclass(slots=True)
class _Span:
    """Wanted frames of one pack, in ascending order, to be read at once."""

    pack: int
    start: int
    end: int
    extents: list[Extent]


class BackupReader:
    """The content of one complete backup. Safe to share by threads."""

    def __init__(self, repository: Repository, record: BackupRecord) -> None:
        """Reads nothing yet."""
        self.repository = repository
        self.record = record
        key = layout.manifest_key(record.cluster, record.system_identifier, record.id)
        self.manifest = ManifestReader(repository, key, record.manifest)
        self._packs: list[PackEntry] | None = None
        self._lock = threading.Lock()
        self._threads = threading.local()

    def entries(self) -> Iterator[FileEntry]:
        """Yield every file, folder and link. Raises FrameDamaged."""
        return self.manifest.entries()

    def find(self, path: str) -> FileEntry | None:
        """Return one entry without reading the others. Raises FrameDamaged."""
        return self.manifest.find(path)

    def packs(self) -> list[PackEntry]:
        """Return the pack table; read once."""
        with self._lock:
            if self._packs is None:
                self._packs = self.manifest.packs()
            return self._packs

    def pack_key(self, pack: int) -> str:
        """Return the object key of the pack with this index. Raises ExtentDamaged if there is none."""
        packs = self.packs()
        if pack >= len(packs):
            raise ExtentDamaged(f"an extent of backup {self.record.id} is in a pack that the manifest lacks")
        entry = packs[pack]
        return layout.pack_key(
            self.record.cluster, self.record.system_identifier, entry.backup_id, entry.name
        )

    def read_extents(self, extents: Iterable[Extent]) -> Iterator[tuple[Extent, memoryview | None]]:
        """Yield each extent, in the given order, with its proven bytes, or with None for a run of zeros.

        Fastest when extents of neighbouring frames follow each other, as they do within a file and between
        files in path order.

        Raises:
            ExtentDamaged: names pack and offset; what was yielded before is good.
        """
        for span in _spans(extents):
            if span.end == 0:
                for extent in span.extents:
                    yield extent, None
            else:
                yield from self._read_span(span)

    def _read_span(self, span: _Span) -> Iterator[tuple[Extent, memoryview | None]]:
        key = self.pack_key(span.pack)
        opener = self._opener(span.pack, key)
        # Where the first frame is wanted the header comes along for nothing, and is proven as well.
        start = 0 if span.start == HEADER_BYTES else span.start
        try:
            data = memoryview(self.repository.store.get_range(key, start, span.end - start))
        except ObjectMissing:
            raise ExtentDamaged(f"pack {key} is missing", object=key, offset=span.start) from None
        if start == 0 and data[:HEADER_BYTES] != opener.header:
            raise _damaged(key, 0, "its header is not the one that the manifest stands for")
        opened, plain = 0, memoryview(b"")
        for extent in span.extents:
            if extent.kind is ExtentKind.ZEROS:
                yield extent, None
                continue
            offset = extent.frame_offset
            if offset != opened:
                plain, opened = _open_frame(opener, data[offset - start :], extent), offset
            content = plain[extent.inner : extent.inner + extent.length]
            if blake3(content).digest(length=EXTENT_HASH_BYTES) != extent.hash:
                raise _damaged(key, offset, f"the bytes at {extent.inner} in the frame are not the file's")
            yield extent, content

    def _opener(self, pack: int, key: str) -> ObjectOpener:
        """Return this thread's opener of a pack; deriving its key again costs more than keeping a few."""
        openers: OrderedDict[int, ObjectOpener] | None = getattr(self._threads, "openers", None)
        if openers is None:
            openers = self._threads.openers = OrderedDict()
        opener = openers.get(pack)
        if opener is None:
            opener = ObjectOpener.from_salt(
                self.repository.context, ObjectKind.PACK, key, self.packs()[pack].salt
            )
            openers[pack] = opener
            if len(openers) > _OPENERS:
                openers.popitem(last=False)
        return opener


def _open_frame(opener: ObjectOpener, data: memoryview, extent: Extent) -> memoryview:
    try:
        frame = opener.open(data, extent.frame_offset)
    except FrameDamaged as error:
        raise _damaged(opener.key, extent.frame_offset, error.message) from error
    if frame.length != extent.frame_length:
        raise _damaged(opener.key, extent.frame_offset, "the frame has another length than the manifest says")
    return memoryview(frame.payload)


def _damaged(key: str, offset: int, why: str) -> ExtentDamaged:
    return ExtentDamaged(f"pack {key} is damaged at offset {offset}: {why}", object=key, offset=offset)


def _spans(extents: Iterable[Extent]) -> Iterator[_Span]:
    """Group extents, in order, into what one ranged get can serve. Zeros join whatever is around them."""
    span: _Span | None = None
    for extent in extents:
        if span is None:
            span = _Span(0, 0, 0, [])
        if extent.kind is ExtentKind.ZEROS:
            span.extents.append(extent)
            continue
        start, end = extent.frame_offset, extent.frame_offset + extent.frame_length
        if span.end == 0:
            span.pack, span.start, span.end = extent.pack, start, end
        elif (
            span.pack == extent.pack
            and span.start <= start <= span.end + GAP_BYTES
            and end - span.start <= SPAN_BYTES
        ):
            span.end = max(span.end, end)
        else:
            yield span
            span = _Span(extent.pack, start, end, [])
        span.extents.append(extent)
    if span is not None:
        yield span
