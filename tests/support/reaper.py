"""A process that outlives a test run by a moment and removes what it left: servers, then folders.

The run writes folders to its standard input, one a line (``-folder`` takes one back). When the pipe
closes, however the run ended (kill -9 too), every process whose working directory lies in one of the
folders is killed and the folders are removed. Needs nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

PATIENCE_S = 5.0


def processes_in(folder: Path) -> list[int]:
    """Return the processes that work inside ``folder``: PostgreSQL's all do, in their data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue  # gone, or not ours
    return found


def clear_away(folder: Path) -> None:
    """Kill what works in ``folder``, wait until it is gone, and remove the folder."""
    ends_at = time.monotonic() + PATIENCE_S
    while (pids := processes_in(folder)) and time.monotonic() < ends_at:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Collect folders until the pipe closes, then clear them away."""
    folders: set[Path] = set()
    for line in sys.stdin:
        name = line.rstrip("\n")
        if name.startswith("-"):
            folders.discard(Path(name[1:]))
        elif name.startswith("/"):
            folders.add(Path(name))
    for folder in folders:
        clear_away(folder)


if __name__ == "__main__":
    main()
