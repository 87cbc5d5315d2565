"""What a restore laid ready for ``restore_command``: given out without opening an archive.

This is tried first, by a process that has imported nothing yet. What it can't answer, and whatever goes wrong, is
left to :mod:`seawall.restore.wal.get`, which answers or says why not.
"""

from __future__ import annotations

import os

from seawall.restore.beside import HISTORIES_NAME, SPOOL_NAME
from seawall.restore.wal.spool import Spool


def serve_ready(work: str, name: str, destination: str) -> bool | None:
    """Put ``name`` at ``destination`` if it is ready below ``work``. Return True for that, False for a timeline
    history that the archive was proven not to have, None where the archive has to be asked."""
    try:
        if name.endswith(".history"):
            return serve_history(work, name, destination)
        if len(name) != 24 or "." in name or "/" in name:
            return None
        spool = Spool(os.path.join(work, SPOOL_NAME))
        before = spool.last_served()
        spool.note_served(name)
        is_there = spool.give(name, destination)
        if before is not None and before < name:
            spool.drop_before(before)  # the one that was served last stays, too: replay may go back once
        return True if is_there else None
    except OSError:
        return None


def write_histories(work: str, histories: dict[str, bytes]) -> None:
    """Lay all histories of the archive ready, by file name; PostgreSQL asks for others, too, to choose a number that
    nobody has taken, and then their absence is the answer.

    Crash: they count once the folder has its name.
    """
    folder = os.path.join(work, HISTORIES_NAME)
    made = f"{folder}.{os.getpid()}.tmp"
    os.makedirs(made, mode=0o700)
    for name, content in histories.items():
        with open(os.path.join(made, name), "wb") as file:
            file.write(content)
            os.fsync(file.fileno())
    os.rename(made, folder)


def serve_history(work: str, name: str, destination: str) -> bool | None:
    """Put a timeline history at ``destination``. Return False if there is none, None if nothing was laid ready."""
    folder = os.path.join(work, HISTORIES_NAME)
    try:
        with open(os.path.join(folder, name), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return False if os.path.isdir(folder) else None
    with open(destination, "wb") as file:
        file.write(content)
    return True
