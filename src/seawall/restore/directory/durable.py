"""Making a restored tree durable: one ``syncfs`` instead of an fsync for each of thousands of files."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_SYNC_FILE_RANGE_WRITE = 2
_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None)
"""Of the C library; Python has no such function."""


def sync_file_system(place: Path) -> None:
    """Return once all that was written to the file system of ``place`` is durable (syncfs(2)).

    Raises OSError where the kernel could not write something back (Linux 5.8 and later tell). Elsewhere
    than on Linux ``sync(2)`` is the nearest thing.
    """
    if not sys.platform.startswith("linux"):
        os.sync()
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(place))
    finally:
        os.close(descriptor)


def begin_writeback(descriptor: int, offset: int, length: int) -> None:
    """Let the disk begin to write a range that was just filled, so that the sync at the end is short.

    The pages stay in the cache (sync_file_range(2)), where the recovering server finds them. A hint: what it can't do,
    here or on another system, is left to the sync.
    """
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(descriptor, ctypes.c_int64(offset), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content`` so that a crash leaves the old or the new one, whole."""
    temporary = path.with_name(path.name + ".seawall-tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
