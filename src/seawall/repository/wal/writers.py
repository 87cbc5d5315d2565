"""Who a writer is: a key that lives outside the data directory, joined with the directory's real path.

Clones, snapshots and test restores share the system identifier of their source, and whatever else is in the
directory; the host key is never copied with it (pgbackrest#1616, barman#11).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

_KEY_NAME = "writer.key"


def writer_fingerprint(state_directory: Path, data_directory: Path) -> str:
    """Return this host's and directory's identity as a writer, creating the host key on first use.

    Crash: the key file is created whole (link) or not at all.
    """
    path = state_directory / _KEY_NAME
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = _create_key(path, data_directory)
    return _fingerprint(key, data_directory)


def known_fingerprint(state_directory: Path, data_directory: Path) -> str | None:
    """Return the identity as :func:`writer_fingerprint` does, None where this host has none or may not see it."""
    try:
        key = (state_directory / _KEY_NAME).read_bytes()
    except OSError:
        return None
    return _fingerprint(key, data_directory)


def _fingerprint(key: bytes, data_directory: Path) -> str:
    material = key.strip() + b"\0" + os.fsencode(os.path.realpath(data_directory))
    return hashlib.sha256(b"seawall writer v1\0" + material).hexdigest()[:32]


def _create_key(path: Path, data_directory: Path) -> bytes:
    owner = data_directory.stat()
    # archive_command runs as the server's owner and must be able to read what root makes here.
    gives_away = os.geteuid() == 0 and owner.st_uid != 0
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if gives_away:
            os.chown(path.parent, owner.st_uid, owner.st_gid)
    key = secrets.token_hex(32).encode() + b"\n"
    temporary = path.with_name(f".{_KEY_NAME}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key)
        if gives_away:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(temporary, path)
    except FileExistsError:
        key = path.read_bytes()  # another process was first
    finally:
        os.unlink(temporary)
    return key
