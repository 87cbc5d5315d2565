"""Who owns what is restored: the recorded owner by *name* where root can give it away, else whoever runs."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from seawall.repository.backups.file_entry import FileEntry
from seawall.restore.beside import SPOOL_NAME


@dataclass(frozen=True, slots=True)
class Ownership:
    """How to set owner and mode. ``gives_away`` needs root; numbers are used where a name is unknown here,
    unless they belong to somebody else here."""

    gives_away: bool
    forced_owner: tuple[int, int] | None = None

    @classmethod
    def for_this_process(cls, forced_owner: tuple[int, int] | None = None) -> Ownership:
        return cls(gives_away=os.geteuid() == 0, forced_owner=forced_owner)

    def ids(self, entry: FileEntry) -> tuple[int, int] | None:
        """Return the user and group ids to set, or None to leave them."""
        if not self.gives_away:
            return None
        if self.forced_owner is not None:
            return self.forced_owner
        return _user(entry.owner, entry.uid), _group(entry.group, entry.gid)

    def apply(self, path: Path, entry: FileEntry) -> None:
        """Set a folder's owner; its mode is set when it is full."""
        ids = self.ids(entry)
        if ids is not None:
            os.chown(path, *ids, follow_symlinks=False)

    def apply_open(self, descriptor: int, entry: FileEntry) -> None:
        """Set a file's owner and mode; one that its owner may not write keeps that right until it is whole."""
        ids = self.ids(entry)
        if ids is not None:
            os.fchown(descriptor, *ids)
        os.fchmod(descriptor, (entry.mode & 0o777) | 0o200)


@lru_cache(maxsize=64)
def _user(name: str, number: int) -> int:
    try:
        return pwd.getpwnam(name).pw_uid if name else number
    except KeyError:
        return number


@lru_cache(maxsize=64)
def _group(name: str, number: int) -> int:
    try:
        return grp.getgrnam(name).gr_gid if name else number
    except KeyError:
        return number


def owner_to_serve(data_directory: Path) -> tuple[int, int] | None:
    """Return whose server will run in a copied directory, where root restores for somebody else; else None."""
    if os.geteuid() != 0:
        return None
    status = os.stat(data_directory)
    return (status.st_uid, status.st_gid) if status.st_uid != 0 else None


def hand_over(data_directory: Path, work: Path, owner: tuple[int, int]) -> None:
    """Give the server's owner what root wrote: settings, label and ``pg_control``, and what ``restore_command``
    reads and moves away.

    Only what root owns is given away, so that nothing is taken from anybody; links are not followed. Folders of
    the data directory are entered if they were root's: the copied ones are their owner's with all that is in them.
    """
    folders = [data_directory, data_directory / "global", work, work / SPOOL_NAME]
    while folders:
        folder = folders.pop()
        if not folder.is_dir() or folder.is_symlink():
            continue
        for place in (folder, *folder.iterdir()):
            if place.lstat().st_uid != 0:
                continue
            os.chown(place, *owner, follow_symlinks=False)
            if place.is_dir() and not place.is_symlink() and place != folder:
                folders.append(place)
