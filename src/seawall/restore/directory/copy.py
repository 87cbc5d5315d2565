"""The bytes of a backup into a directory: parallel, verified, durable, and never half-usable.

Extents are what threads take, not files. Every extent is authenticated and hashed before it is written;
damage ends the restore, it never reaches the directory. ``pg_control`` is not written here: the caller
adds it last, so that no server can start on a directory that is not whole. An interrupted copy can be run
again.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from seawall.repository.backups.file_entry import FileEntry, FileKind
from seawall.repository.backups.reader import BackupReader
from seawall.repository.format.extents import Extent, ExtentKind, iter_extents
from seawall.restore.directory.durable import begin_writeback
from seawall.restore.directory.ownership import Ownership
from seawall.restore.errors import DirectoryNotEmpty

CHUNK_BYTES = 8 << 20
_BATCH_FILES = 256
_BATCH_FILE_BYTES = 256 << 10
_O_CREATE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

CONFIG_PREFIX = ".seawall-config/"
"""Entries below this folder came from outside the data directory and go beside it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of the backup go on this machine. ``tablespaces`` maps OIDs to folders."""

    data_directory: Path
    config_directory: Path
    tablespaces: dict[int, Path]

    def place(self, path: str) -> Path:
        """Return the real path of a manifest path."""
        if path.startswith(CONFIG_PREFIX) or path == CONFIG_PREFIX[:-1]:
            return self.config_directory / path[len(CONFIG_PREFIX) :]
        return self.data_directory / path if path else self.data_directory


@dataclass(slots=True)
class _FilePart:
    """Some extents of one file, written by one task."""

    entry: FileEntry
    extents: list[Extent]
    is_first: bool


_Task = list[_FilePart]


def copy_files(
    reader: BackupReader,
    layout: Layout,
    *,
    jobs: int,
    ownership: Ownership,
    on_bytes: Callable[[int], None] | None = None,
) -> int:
    """Write every file, folder and link of the backup; return the bytes written.

    Raises:
        ExtentDamaged, FrameDamaged, ObjectMissing: the backup is damaged; what was written is incomplete.
        OSError: the target failed (no space, permissions).
    Crash: run again into the same directory; each file is written anew.
    """
    folders: list[FileEntry] = []
    read_only: list[FileEntry] = []
    written = 0
    slots = threading.Semaphore(jobs * 4)
    with concurrent.futures.ThreadPoolExecutor(jobs, thread_name_prefix="restore") as pool:
        pending: set[concurrent.futures.Future[int]] = set()
        try:
            for task in _tasks(_prepared(reader.entries(), layout, ownership, folders, read_only)):
                slots.acquire()
                future = pool.submit(_write, reader, layout, ownership, task)
                future.add_done_callback(lambda _: slots.release())
                pending.add(future)
                written += _collect(pending, on_bytes, wait=False)
            written += _collect(pending, on_bytes, wait=True)
        except BaseException:
            for future in pending:
                future.cancel()
            raise
    for entry in read_only:
        os.chmod(layout.place(entry.path), entry.mode & 0o777)
    for folder in reversed(folders):
        os.chmod(layout.place(folder.path), folder.mode)
    sync_tree(layout)
    return written


def _collect(
    pending: set[concurrent.futures.Future[int]], on_bytes: Callable[[int], None] | None, *, wait: bool
) -> int:
    """Take finished tasks out of ``pending``; raise the first error among them."""
    if wait:
        concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_EXCEPTION)
    total = 0
    for future in [item for item in pending if item.done()]:
        pending.discard(future)
        count = future.result()
        total += count
        if on_bytes:
            on_bytes(count)
    return total


def _prepared(
    entries: Iterable[FileEntry],
    layout: Layout,
    ownership: Ownership,
    folders: list[FileEntry],
    read_only: list[FileEntry],
) -> Iterator[FileEntry]:
    """Create folders and links as they come (parents first); pass the files on."""
    for entry in entries:
        place = layout.place(entry.path)
        if entry.kind is FileKind.DIRECTORY:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            ownership.apply(place, entry)
            folders.append(entry)
        elif entry.kind is FileKind.SYMLINK:
            _link_tablespace(place, layout, entry, ownership)
        else:
            if not entry.mode & 0o200:
                read_only.append(entry)
            yield entry


def _link_tablespace(place: Path, layout: Layout, entry: FileEntry, ownership: Ownership) -> None:
    target = layout.tablespaces[int(place.name)]
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    ownership.apply(target, entry)
    if place.is_symlink():
        if Path(os.readlink(place)) == target:
            return
        raise DirectoryNotEmpty(
            f"{place} already links to {os.readlink(place)}, not to {target}",
            hint="restore into an empty directory, or repeat the tablespace mapping of the first try",
        )
    place.symlink_to(target)


def _tasks(entries: Iterable[FileEntry]) -> Iterator[_Task]:
    """Group small files, and cut big ones, into tasks of about :data:`CHUNK_BYTES`."""
    batch: _Task = []
    batch_bytes = 0
    for entry in entries:
        if entry.size <= _BATCH_FILE_BYTES:
            batch.append(_FilePart(entry, list(iter_extents(entry.extents)), is_first=True))
            batch_bytes += entry.size
            if batch_bytes >= CHUNK_BYTES or len(batch) >= _BATCH_FILES:
                yield batch
                batch, batch_bytes = [], 0
            continue
        yield from _cut(entry)
    if batch:
        yield batch


def _cut(entry: FileEntry) -> Iterator[_Task]:
    part: list[Extent] = []
    part_bytes, is_first = 0, True
    for extent in iter_extents(entry.extents):
        part.append(extent)
        part_bytes += extent.length
        if part_bytes >= CHUNK_BYTES:
            yield [_FilePart(entry, part, is_first)]
            part, part_bytes, is_first = [], 0, False
    if part or is_first:
        yield [_FilePart(entry, part, is_first)]


def _write(reader: BackupReader, layout: Layout, ownership: Ownership, task: _Task) -> int:
    """Write one task's parts, reading their extents together: neighbours share frames and requests."""
    written = 0
    wanted = [extent for part in task for extent in part.extents if extent.kind is ExtentKind.DATA]
    contents = iter(reader.read_extents(wanted))
    for part in task:
        place = layout.place(part.entry.path)
        descriptor = os.open(place, _O_CREATE, 0o600)
        try:
            if part.is_first:
                # Zero runs are left as holes; the length is set by the task that begins the file.
                os.ftruncate(descriptor, part.entry.size)
                ownership.apply_open(descriptor, part.entry)
            for extent in part.extents:
                if extent.kind is ExtentKind.ZEROS:
                    written += extent.length
                    continue
                _, content = next(contents)
                if content is None:
                    raise TypeError("an extent with data was read as a run of zeros")
                _pwrite_fully(descriptor, content, extent.file_offset)
                written += extent.length
            if part.entry.size > _BATCH_FILE_BYTES and part.extents:
                begin, last = part.extents[0].file_offset, part.extents[-1]
                begin_writeback(descriptor, begin, last.file_offset + last.length - begin)
        finally:
            os.close(descriptor)
    return written


def _pwrite_fully(descriptor: int, content: bytes | memoryview, offset: int) -> None:
    view = memoryview(content)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view = view[count:]
        offset += count


def sync_tree(layout: Layout) -> None:
    """Make everything that was written durable: one flush of each file system that holds a part."""
    from seawall.restore.directory.durable import sync_file_system

    places = {layout.data_directory, *layout.tablespaces.values()}
    if layout.config_directory.exists():
        places.add(layout.config_directory)
    devices: dict[int, Path] = {}
    for place in places:
        if place.exists():
            devices.setdefault(place.stat().st_dev, place)
    for place in devices.values():
        sync_file_system(place)
