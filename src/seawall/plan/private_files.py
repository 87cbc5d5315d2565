"""Small files that only this user can have written: what the WAL client knows from an earlier process.

A file counts only if its folder is this user's and writable by nobody else, and the file is this user's with
mode 0600 and no link. Anything else is as good as no file. Imports only ``os``: the WAL client asks first.
"""

from __future__ import annotations

import os

_MOST_BYTES = 8 << 20


def cache_folders(kind: str) -> list[str]:
    """Return where files of a ``kind`` may be: the user's cache, else the system's state folder if it is
    this user's."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not home.startswith("/"):
        home = os.path.expanduser("~/.cache")
    folders = [f"{home}/seawall/{kind}"] if home.startswith("/") else []
    return [*folders, f"/var/lib/seawall/{kind}"]


def file_name(path: str) -> str:
    """Return ``path`` as the name of one file."""
    return path.replace("%", "%25").replace("/", "%2F")


def read_private(folder: str, name: str) -> tuple[bytes, os.stat_result] | None:
    """Return the content and state of a file that only this user can have written, else None."""
    try:
        if not _is_own_folder(folder):
            return None
        descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        state = os.fstat(descriptor)
        if state.st_uid != os.geteuid() or state.st_mode != 0o100600 or state.st_size > _MOST_BYTES:
            return None
        return os.read(descriptor, state.st_size + 1), state
    except OSError:
        return None
    finally:
        os.close(descriptor)


def write_private(folder: str, name: str, data: bytes) -> bool:
    """Create or replace a file whole, its folder too. Return whether that succeeded: no cache is no error."""
    temporary = f"{folder}/.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not _is_own_folder(folder):
            return False
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(data)
        os.replace(temporary, f"{folder}/{name}")
    except OSError:
        remove(temporary)
        return False
    return True


def remove(path: str) -> None:
    """Remove a file, if that is possible."""
    try:
        os.unlink(path)
    except OSError:
        pass  # already gone, or a file system that just failed: the name is never read


def _is_own_folder(folder: str) -> bool:
    state = os.stat(folder)
    return state.st_uid == os.geteuid() and not state.st_mode & 0o022
