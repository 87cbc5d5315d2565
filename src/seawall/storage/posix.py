"""A folder as an object store: temporary file, fsync, link, fsync of the folder.

A writer fills a locked temporary file in the same file system, syncs it and calls ``link(2)``, which fails if
the name exists: that is the create-only step, and of two racers one wins. Then the folder is synced, and the
temporary name goes. A kill at any point leaves the object whole or absent, and at most a temporary file
that the next process removes (:func:`seawall.storage.posix_tree.sweep`).

The root is never made by a write, so an unmounted disk is an error and not a backup on the wrong disk; only
:meth:`PosixStore.probe` makes it. Files get mode 0600 and folders 0700.

Limits. A key can't also be the folder of another key. A process that waits in the kernel for a dead disk or a
hard-mounted NFS server can't be given a deadline from inside: mount NFS ``soft`` or ``softerr``. Two machines
that share one folder over NFS are untested: ``link`` is atomic there by the protocol, but a lost answer can
make a won race look lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType

from seawall.storage.errors import ObjectExists, ObjectMissing, StoreRefused, StoreUnavailable
from seawall.storage.posix_tree import (
    TEMPORARY,
    is_regular,
    make_root,
    missing_root,
    new_temporary,
    opened_folder,
    prune,
    start_writeback,
    store_error,
    sweep,
    sync_file,
    translated,
)
from seawall.storage.protocol import (
    Abilities,
    Buffer,
    LockState,
    ObjectInfo,
    ObjectLock,
    check_key,
    check_prefix,
    is_key,
)

_WRITEBACK_BYTES = 8 << 20
_LINK_TRIES = 100
"""How often a folder may vanish under a link (somebody deletes its last object at that moment)."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Without O_NONBLOCK the open of a pipe that somebody put here would wait for ever."""


class PosixStore:
    """See the module docstring and :class:`seawall.storage.protocol.ObjectStore`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.path.abspath(root)
        self._is_swept = False

    @property
    def url(self) -> str:
        return f"file://{self._root}"

    def put(self, key: str, data: Buffer) -> None:
        with self.open_writer(key) as writer:
            writer.write(data)
            writer.commit()

    def open_writer(self, key: str) -> PosixWriter:
        """Start a temporary file; the first one of a process also removes those of dead processes."""
        check_key(key)
        with translated(self._root):
            if not self._is_swept:
                self._is_swept = True
                sweep(self._root)
            descriptor, temporary = new_temporary(self._root)
        return PosixWriter(self._root, key, descriptor, temporary)

    def get(self, key: str) -> bytes:
        with self._opened(key) as (descriptor, size):
            return _read(descriptor, 0, size)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise ValueError(f"not a range: {offset}, {length}")
        with self._opened(key) as (descriptor, size):
            return _read(descriptor, offset, max(0, min(length, size - offset)))

    def stat(self, key: str) -> ObjectInfo | None:
        folder, _, name = check_key(key).rpartition("/")
        with translated(self._root):
            try:
                with opened_folder(self._root, folder) as parent:
                    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                self._require_root()
                return None
        return _info(key, status) if is_regular(status) else None

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield in order; the names of one folder at a time, and of those above it, are held in memory."""
        check_prefix(prefix)
        with translated(self._root):
            try:
                with opened_folder(self._root, prefix[:-1]) as folder:
                    names = _listing(folder)
                    for name in names:
                        if name.endswith("/"):
                            yield from self.scan(prefix + name)
                        elif (info := _info_at(prefix, name, folder)) is not None:
                            yield info
            except (FileNotFoundError, NotADirectoryError):
                self._require_root()

    def children(self, prefix: str) -> list[str]:
        check_prefix(prefix)
        with translated(self._root):
            try:
                with opened_folder(self._root, prefix[:-1]) as folder:
                    names = _listing(folder)
            except (FileNotFoundError, NotADirectoryError):
                self._require_root()
                return []
        # A folder is made before its first object, and a kill in between leaves it: that is no child.
        return sorted(
            name.rstrip("/")
            for name in names
            if not name.endswith("/") or next(self.scan(prefix + name), None) is not None
        )

    def delete(self, key: str) -> None:
        """Remove ``key`` and the folders that this leaves empty; durable on return."""
        folder, _, name = check_key(key).rpartition("/")
        with translated(self._root):
            try:
                with opened_folder(self._root, folder) as parent:
                    os.unlink(name, dir_fd=parent)
                    os.fsync(parent)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                self._require_root()
                return
            prune(self._root, folder)

    def probe(self) -> Abilities:
        """Try the store out; makes its folder if there is none."""
        from seawall.storage.probe import probe_store

        with translated(self._root):
            make_root(self._root)
        return probe_store(self)

    def object_lock(self) -> ObjectLock:
        return ObjectLock(
            LockState.NO, "a folder has none", "keep one repository in a bucket with object lock"
        )

    def close(self) -> None:
        """Nothing is held between calls."""

    def _require_root(self) -> None:
        """A missing store must not look like a missing object."""
        if not os.path.isdir(self._root):
            raise missing_root(self._root)

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, int]]:
        folder, _, name = check_key(key).rpartition("/")
        with translated(self._root):
            try:
                with opened_folder(self._root, folder) as parent:
                    descriptor = os.open(name, _READ, dir_fd=parent)
            except (FileNotFoundError, NotADirectoryError):
                self._require_root()
                raise self._missing(key) from None
            try:
                status = os.fstat(descriptor)
                if not is_regular(status):
                    raise self._missing(key)
                yield descriptor, status.st_size
            finally:
                os.close(descriptor)

    def _missing(self, key: str) -> ObjectMissing:
        return ObjectMissing(f"{key} is not in {self.url}")


class PosixWriter:
    """One temporary file on its way to become an object. Owned by one thread at a time."""

    def __init__(self, root: str, key: str, descriptor: int, temporary: str) -> None:
        self._root, self._key = root, key
        self._descriptor, self._temporary = descriptor, temporary
        self._length = self._flushed = 0

    def write(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        with translated(self._root):
            while view:
                count = os.write(self._open_descriptor(), view)
                view = view[count:]
                self._length += count
            if self._length - self._flushed >= _WRITEBACK_BYTES:
                start_writeback(self._descriptor, self._flushed, self._length - self._flushed)
                self._flushed = self._length

    def commit(self) -> None:
        """Sync, link, sync the folder. After any error the writer is finished and its file is gone."""
        try:
            with translated(self._root):
                sync_file(self._open_descriptor())
                self._link()
        finally:
            self.abort()

    def abort(self) -> None:
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):  # read-only by now, or swept: never worth an error
            os.unlink(self._temporary)
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> PosixWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _open_descriptor(self) -> int:
        if self._descriptor < 0:
            raise ValueError(f"the writer of {self._key} is closed")
        return self._descriptor

    def _link(self) -> None:
        folder, _, name = self._key.rpartition("/")
        for _ in range(_LINK_TRIES):
            try:
                with opened_folder(self._root, folder, makes=True) as parent:
                    self._link_in(parent, name)
                return
            except FileNotFoundError:
                # A folder on the way was removed with its last object while we went in: make it again.
                if not os.path.lexists(self._temporary):
                    break
        if not os.path.isdir(self._root):
            raise missing_root(self._root)
        raise StoreUnavailable(
            f"{self._key} could not be stored: its temporary file {self._temporary} is gone",
            hint=f"nothing but Seawall may clean up {self._root}/{TEMPORARY}",
        )

    def _link_in(self, parent: int, name: str) -> None:
        try:
            os.link(self._temporary, name, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            # Its maker may have been killed before the sync, and who meets it will rely on it.
            os.fsync(parent)
            raise ObjectExists(f"{self._key} exists in file://{self._root}") from None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._explained(error) from error
        os.fsync(parent)

    def _explained(self, error: OSError) -> Exception:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            return StoreRefused(
                f"the file system of {self._root} has no hard links", hint="use ext4, XFS, Btrfs, ZFS or NFS"
            )
        return store_error(error, self._root)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    data = os.pread(descriptor, length, offset)
    if len(data) == length:
        return data
    parts = [data]
    got = len(data)
    while got < length and (more := os.pread(descriptor, length - got, offset + got)):
        parts.append(more)
        got += len(more)
    return b"".join(parts)


def _listing(folder: int) -> list[str]:
    """Return the names of objects and (with a final ``/``) folders in key order; what can't be part of a key
    is not Seawall's and is passed over."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_key(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                names.append(entry.name + "/")
            elif entry.is_file(follow_symlinks=False):
                names.append(entry.name)
    names.sort()
    return names


def _info_at(prefix: str, name: str, folder: int) -> ObjectInfo | None:
    try:
        return _info(prefix + name, os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None  # deleted since it was listed


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
