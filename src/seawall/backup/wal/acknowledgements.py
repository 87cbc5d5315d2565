"""What an earlier ``wal push`` has pushed ahead of its turn, so that this call has nothing left to do.

PostgreSQL hands over one segment at a time and starts a process for each. Where it has fallen behind, the
process that pushes one segment pushes those that are ready behind it as well (:mod:`seawall.backup.wal.ahead`)
and leaves a note for each; the calls for these find the notes and return at once.

A note is believed only if it says exactly what would be written now: the same Seawall, the same plan file in the
same state, the same file of WAL (device, inode, size, times), and if it is young. It is used once. PostgreSQL
never changes a segment that is ready, and whatever else could happen to one changes its times.

Only ``os`` and ``time`` are imported: a test measures it.
"""

from __future__ import annotations

import os
import time

from seawall import __version__
from seawall.plan.locate import locate_plan
from seawall.plan.private_files import cache_folders, file_name, read_private, remove, write_private

_KIND = "pushed"
_VALID_S = 300
"""A note that is older than this is pushed again. Whoever replaces a repository meanwhile is met by few."""
_SETTLED_NS = 1_000_000_000


def take_acknowledgement(plan: str | None, cluster: str | None, path: str) -> bool:
    """Say whether the file at ``path`` was pushed as ``--plan`` and ``--cluster`` demand; True only once."""
    found = locate_plan(plan)
    plan_mark = None if found is None else _mark(found)
    mark = _mark(path)
    if found is None or plan_mark is None or mark is None:
        return False
    expected = _note(plan_mark, mark)
    name = os.path.basename(path)
    for parent in cache_folders(_KIND):
        folder = f"{parent}/{_folder_name(found, cluster)}"
        note = read_private(folder, name)
        if note is None:
            continue
        remove(f"{folder}/{name}")
        content, state = note
        if content == expected and 0 <= time.time() - state.st_mtime < _VALID_S:
            return True
    return False


class Acknowledgements:
    """The notes of one process for the calls that follow. Made before that process reads the plan."""

    def __init__(
        self,
        plan: str | None,
        cluster: str | None,
        *,
        settled_ns: int = _SETTLED_NS,
        folders: list[str] | None = None,
    ) -> None:
        """``plan`` and ``cluster`` are the options as they were given: the next call has the same. A plan that
        changed less than ``settled_ns`` ago may change again within one tick of its file system's clock. ``folders``
        are where notes may be, else the usual ones."""
        self._plan = locate_plan(plan)
        self._cluster = cluster
        self._folders = cache_folders(_KIND) if folders is None else folders
        self._plan_mark = None if self._plan is None else _settled_mark(self._plan, settled_ns)

    def describe(self, path: str) -> bytes | None:
        """Return the note about a file as it is now; to be taken before it is read. None if there can't be one."""
        mark = _mark(path)
        return None if self._plan_mark is None or mark is None else _note(self._plan_mark, mark)

    def leave(self, path: str, described: bytes | None) -> bool:
        """Leave a note that the file is durable wherever the plan requires it, unless it changed since
        ``described``. Return whether there is one now."""
        if described is None or self._plan is None or described != self.describe(path):
            return False
        name = _folder_name(self._plan, self._cluster)
        return any(
            write_private(f"{parent}/{name}", os.path.basename(path), described) for parent in self._folders
        )

    def sweep(self) -> None:
        """Remove notes that nobody came for."""
        if self._plan is None:
            return
        for parent in self._folders:
            folder = f"{parent}/{_folder_name(self._plan, self._cluster)}"
            try:
                entries = [(entry.path, entry.stat(follow_symlinks=False)) for entry in os.scandir(folder)]
            except OSError:
                continue
            for path, state in entries:
                if not 0 <= time.time() - state.st_mtime < _VALID_S:
                    remove(path)


def _folder_name(plan: str, cluster: str | None) -> str:
    return f"{file_name(plan)}@{file_name(cluster or '')}"


def _note(plan_mark: str, mark: str) -> bytes:
    return f"seawall {__version__}\nformat 1\nuser {os.geteuid()}\nplan {plan_mark}\nfile {mark}\n".encode()


def _mark(path: str) -> str | None:
    """Return what tells one state of a file from another, None where it can't be seen."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return f"{state.st_dev} {state.st_ino} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"


def _settled_mark(path: str, settled_ns: int) -> str | None:
    mark = _mark(path)
    if mark is None or time.time_ns() - int(mark.rsplit(" ", 1)[1]) < settled_ns:
        return None
    return mark
