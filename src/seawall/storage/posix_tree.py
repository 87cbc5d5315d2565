"""The folders of a POSIX store: entered without following links, made durably, swept of dead temporary files.

Everything that changes a store goes through a descriptor of the folder that it changes, reached component by
component with ``O_NOFOLLOW``. So a symbolic link that somebody put into the tree can't lead a write or a
delete out of it, and a folder that is removed at that moment gives an error, never a change elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator

from seawall.model.errors import SeawallError
from seawall.storage.errors import StoreFull, StoreMissing, StoreRefused, StoreUnavailable

TEMPORARY = ".tmp"
"""Where files are before they are objects. No component of a key may be called so."""

_STALE_AFTER_S = 60.0
"""A younger file may belong to a writer that has made it and has not locked it yet."""
_MADE_AWAY_TRIES = 100
"""How often a folder may vanish between being made and being entered (somebody deletes its last object)."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_A_STORE = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EXDEV, errno.EOPNOTSUPP)


@contextlib.contextmanager
def translated(root: str) -> Iterator[None]:
    """Raise the operating system's errors as those of a store."""
    try:
        yield
    except OSError as error:
        raise store_error(error, root) from error


def store_error(error: OSError, root: str) -> SeawallError:
    """Return what an error of the operating system means for the store at ``root``."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _NO_SPACE:
        return StoreFull(
            f"no space left for the store at {root} ({reason})",
            hint=f"df -h {root}; free some space or enlarge it, then run the same command again",
        )
    if error.errno in _DENIED:
        return StoreRefused(
            f"the store at {root} may not be used by user {os.geteuid()} ({reason})",
            hint=f"ls -ld {root}; run as its owner, or change owner and mode",
        )
    if error.errno in _NOT_A_STORE:
        return StoreRefused(
            f"something in the store at {root} is not what Seawall made there ({reason})",
            hint="a store is one folder tree on one file system with hard links, and has no symbolic links",
        )
    if error.errno == errno.ENOENT and not os.path.isdir(root):
        return missing_root(root)
    return StoreUnavailable(
        f"the store at {root} failed ({reason})", hint="look at the system's log (dmesg) for that disk"
    )


def missing_root(root: str) -> StoreMissing:
    """Return the error for a store whose folder isn't there: unmounted, misspelt, or not made yet."""
    return StoreMissing(
        f"there is no folder {root}",
        hint="is its disk mounted? `seawall repository init` makes the folder of a new repository",
    )


@contextlib.contextmanager
def opened_folder(root: str, folder: str, *, makes: bool = False) -> Iterator[int]:
    """Yield a descriptor of ``folder``, a path in ``root`` without a final ``/``, or empty.

    With ``makes``, what is missing of it (never the root) is made and is durable before this yields.
    Raises OSError.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in folder.split("/") if folder else ():
            inner = _make_and_enter(name, descriptor) if makes else os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _make_and_enter(name: str, parent: int) -> int:
    for _ in range(_MADE_AWAY_TRIES):
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            pass  # made below
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
            _inherit_owner(name, parent)
        except FileExistsError:
            # Somebody else's, perhaps not synced yet. It is older than the link that we are about to sync
            # inside it, and journals commit in order (ext4, XFS; Btrfs logs a new folder's parents).
            continue
        os.fsync(parent)
    raise FileNotFoundError(errno.ENOENT, "made again and again, and removed each time", name)


def _inherit_owner(made: str | int, parent: int) -> None:
    """Give what root made in ``parent`` (a name, or a descriptor) to that folder's owner.

    So everything belongs to whom the store's root does, and an archive_command that runs as an ordinary user
    can write into folders that root's backup made.
    """
    if os.geteuid() != 0:
        return
    owner = os.fstat(parent)
    if owner.st_uid != 0:
        if isinstance(made, str):
            os.chown(made, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
        else:
            os.fchown(made, owner.st_uid, owner.st_gid)


def make_root(root: str) -> None:
    """Make the store's folder, and what is missing above it, durably. Raises OSError."""
    missing = []
    path = root
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def prune(root: str, folder: str) -> None:
    """Remove ``folder`` and the folders above it as far as they are empty: they were no objects' keys."""
    while folder:
        folder, _, name = folder.rpartition("/")
        try:
            with opened_folder(root, folder) as parent:
                os.rmdir(name, dir_fd=parent)
        except OSError:
            return  # in use (again), or not ours to remove: an empty folder harms nobody


def new_temporary(root: str) -> tuple[int, str]:
    """Make a temporary file; return its descriptor, which holds a lock on it, and its path.

    The lock is how :func:`sweep` sees, on any machine, that the file's writer is alive: the kernel drops it
    when the process ends, however it ends. Raises OSError.
    """
    with opened_folder(root, TEMPORARY, makes=True) as folder:
        name = os.urandom(12).hex()
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        _inherit_owner(descriptor, folder)
    with contextlib.suppress(OSError):  # no locks here (some NFS): then none of these is ever swept
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor, f"{root}/{TEMPORARY}/{name}"


def sweep(root: str) -> int:
    """Remove the temporary files of writers that are dead; return how many. Raises OSError.

    An object that such a file was linked to just before the kill has a name of its own and stays.
    """
    removed = 0
    try:
        with opened_folder(root, TEMPORARY) as folder:
            for name in os.listdir(folder):
                removed += _remove_if_dead(name, folder)
    except FileNotFoundError:
        pass  # nothing was ever written, or the root is missing, which the next call says better
    return removed


def _remove_if_dead(name: str, folder: int) -> bool:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        age_s = time.time() - os.fstat(descriptor).st_mtime
        if age_s < _STALE_AFTER_S:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)
    except OSError:
        return False  # alive, or somebody else swept it
    finally:
        os.close(descriptor)
    return True


def is_regular(status: os.stat_result) -> bool:
    """Say whether this is a plain file: nothing else in a store's folder is an object."""
    return stat.S_ISREG(status.st_mode)


def start_writeback(descriptor: int, offset: int, length: int) -> None:
    """Let the kernel begin to write a range that was just filled, so that the fsync at the end is short.

    Linux starts the writing for ``POSIX_FADV_DONTNEED`` (mm/fadvise.c) and then drops only clean pages; the
    call is a hint everywhere else, and missing on macOS.
    """
    if sys.platform == "linux":
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)


def sync_file(descriptor: int) -> None:
    """Return once the file's bytes survive a loss of power. Raises OSError; never to be tried again then,
    since the kernel has dropped the pages that it could not write."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync stops at the drive's cache there
    else:
        os.fsync(descriptor)
