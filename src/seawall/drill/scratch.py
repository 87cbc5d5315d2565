"""The folder that a drill works in: private, large enough, and cleared away however the drill ends.

A reaper process sees to that, which also notices when the drill is killed. What it could not do, since the machine
lost its power, the next drill or ``seawall drill due`` does: each drill leaves a note in the state directory that
names its folder, and holds a lock on that note for as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seawall.drill import reaper
from seawall.drill.errors import ScratchUnfit
from seawall.model.units import format_bytes

PREFIX = "seawall-drill-"
HEADROOM = 1.1
_NOTES = "drills"
_LONGEST_SOCKET = 107
"""sockaddr_un of Linux holds 108 bytes, one of them the end."""
_SOCKET_NAME = "/s/.s.PGSQL.5432"
_REAP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Scratch:
    """One drill's folder. ``id`` names the drill everywhere."""

    id: str
    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def tablespaces(self) -> Path:
        return self.folder / "tablespaces"

    def give_to(self, uid: int, gid: int) -> None:
        """Make the folder itself a user's: whoever works in it next. Root alone can."""
        if os.geteuid() == 0:
            os.chown(self.folder, uid, gid)

    def give_all_to(self, uid: int, gid: int) -> None:
        """Make all that is in it a user's; links are not followed."""
        if os.geteuid() != 0:
            return
        for place, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                os.chown(os.path.join(place, name), uid, gid, follow_symlinks=False)
        self.give_to(uid, gid)


def default_base() -> Path:
    """Return where drills work unless told otherwise: the usual folder for large temporary files."""
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK | os.X_OK):
        return Path("/var/tmp")
    return Path(tempfile.gettempdir())


def check_space(base: Path, need_bytes: int) -> None:
    """Check that a drill of ``need_bytes`` fits. Raises ScratchUnfit; nothing was written."""
    try:
        free = shutil.disk_usage(base).free
    except OSError as error:
        raise ScratchUnfit(
            f"the scratch folder {base} can't be used: {error.strerror}",
            hint="--scratch takes a folder that exists",
        ) from error
    wanted = int(need_bytes * HEADROOM)
    if free < wanted:
        raise ScratchUnfit(
            f"{base} has {format_bytes(free)} free, and the drill needs {format_bytes(wanted)}",
            hint="name a larger file system: --scratch /large/folder",
            free_bytes=free,
            needed_bytes=wanted,
        )


@contextmanager
def scratch_folder(base: Path, state: Path) -> Iterator[Scratch]:
    """Make a drill's folder for the length of a block; it is gone afterwards, whatever happened.

    Raises:
        ScratchUnfit: it can't be made there.
    Crash: the reaper clears it away at once; after a loss of power, :func:`sweep` does.
    """
    name = secrets.token_hex(4)
    folder = base.absolute() / f"{PREFIX}{name}"
    if len(os.fsencode(f"{folder}{_SOCKET_NAME}")) > _LONGEST_SOCKET:
        raise ScratchUnfit(
            f"{base} is too long: a Unix socket's path has {_LONGEST_SOCKET} bytes at most",
            hint="--scratch takes a folder with a shorter path; a bind mount or link to it would do",
        )
    note, lock = _leave_note(state, name, folder)
    guard: subprocess.Popen[bytes] | None = None
    try:
        guard = _start_reaper(folder, note)
        _make(folder)
        yield Scratch(name, folder)
    finally:
        if guard is not None and guard.stdin is not None:
            guard.stdin.close()
            guard.wait(_REAP_TIMEOUT_S)
        os.close(lock)


def sweep(state: Path) -> list[Path]:
    """Clear away what drills left whose processes are gone; return the folders that were."""
    swept = []
    notes = state / _NOTES
    for note in sorted(notes.iterdir()) if notes.is_dir() else ():
        lock = os.open(note, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = Path(os.fsdecode(os.read(lock, 4096)))
            if _is_of_a_drill(folder):
                swept.append(folder)
                reaper.clear_away(str(folder))
            if not folder.exists():
                note.unlink(missing_ok=True)
        except BlockingIOError:
            pass  # that drill lives
        finally:
            os.close(lock)
    return swept


def _is_of_a_drill(folder: Path) -> bool:
    """Say whether a note's folder is one that a drill made: nothing else may ever be removed."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    is_ours = os.geteuid() in (0, status.st_uid)
    return folder.name.startswith(PREFIX) and stat.S_ISDIR(status.st_mode) and is_ours


def _leave_note(state: Path, name: str, folder: Path) -> tuple[Path, int]:
    notes = state / _NOTES
    try:
        notes.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = notes / name
        lock = os.open(note, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ScratchUnfit(
            f"{notes}, where running drills are noted, can't be written: {error.strerror}",
            hint="run it as the user of the state directory (`state:` in the plan), or name another: --state DIR",
        ) from error
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, os.fsencode(folder))
    os.fsync(lock)
    return note, lock


def _start_reaper(folder: Path, note: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", reaper.__file__, str(folder), str(note)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
        for name in ("s", "tablespaces"):
            (folder / name).mkdir(mode=0o700)
    except OSError as error:
        raise ScratchUnfit(
            f"{folder} can't be made: {error.strerror}",
            hint="--scratch takes a folder that this user may write",
        ) from error
