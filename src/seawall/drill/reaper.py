"""A process that outlives the drill by a moment and clears away what it left, however the drill ended.

It is given the scratch folder and a pipe on standard input. When the pipe closes (``kill -9`` closes it, too), it kills
every process that works inside the folder and removes it. Only the standard library is imported: it is started with
``python -I -S`` and must not depend on anything that a drill could break.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

PATIENCE_S = 20.0
_POLL_S = 0.05
_QUIT_S = 2.0


def clear_away(folder: str) -> bool:
    """Kill what works inside ``folder`` and remove it. Return whether it is gone."""
    ends_at = time.monotonic() + PATIENCE_S
    _end_server(folder)
    while os.path.lexists(folder):
        pids = processes_in(folder)
        for pid in pids:
            _kill(pid)
        if not pids:
            # A process that ended late may still write: the loop looks again.
            shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > ends_at:
            break
        time.sleep(_POLL_S)
    return not os.path.lexists(folder)


def processes_in(folder: str) -> list[int]:
    """Return the processes whose working directory lies in ``folder``; where /proc doesn't tell, the postmaster's."""
    real = os.path.realpath(folder)
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            place = os.readlink(f"/proc/{entry}/cwd")
        except OSError:
            continue  # gone, or not ours to look at
        if place == real or place.startswith(real + os.sep):
            found.append(int(entry))
    if not sys.platform.startswith("linux"):
        found += _postmaster(folder)
    return found


def _end_server(folder: str) -> None:
    """Let the server end by itself, at once: one that is killed leaves a shared memory segment to the machine
    (sysv_shmem.c), of which there are only so many. Whether it did is looked at by who kills what is left."""
    for pid in _postmaster(folder):
        if pid not in processes_in(folder):
            continue  # a number of an earlier life
        try:
            os.kill(pid, signal.SIGQUIT)
        except (ProcessLookupError, PermissionError):
            continue
        ends_at = time.monotonic() + _QUIT_S
        while pid in processes_in(folder) and time.monotonic() < ends_at:
            time.sleep(_POLL_S)


def _postmaster(folder: str) -> list[int]:
    try:
        with open(os.path.join(folder, "data", "postmaster.pid"), encoding="ascii") as file:
            return [int(file.readline())]
    except (OSError, ValueError):
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it ended by itself; or it is none of ours after all


def main() -> None:
    """Wait until the drill is over, then clear away its folders and its note."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    folder, note = sys.argv[1:3]
    sys.stdin.buffer.read()
    if clear_away(folder) and os.path.lexists(note):
        os.unlink(note)


if __name__ == "__main__":
    main()
