"""Push what is ready behind the segment that PostgreSQL asked for, while this process is there.

The archiver hands over one file at a time. After a burst of writes or an outage of the store many wait, and a
process for each would cost more than its work. So one process pushes them on all processors, and leaves notes
(:mod:`seawall.backup.wal.acknowledgements`) for the calls that PostgreSQL will still make, one by one.

Nothing depends on it: what is not pushed ahead, or whose note is lost, is pushed in its turn, and a segment that
was pushed already is recognised as identical.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

from seawall.backup.wal.acknowledgements import Acknowledgements
from seawall.backup.wal.push import PushResult, WalPusher
from seawall.model.wal_name import WalFileKind, classify
from seawall.repository.wal.pieces import Workspace

_MOST_FILES = 64
_MOST_S = 5.0
"""None is begun after this: the archiver waits for us, and must see soon that its first file is safe."""
_LARGEST_BYTES = 64 << 20
"""Larger segments are worth a process each, and several in memory would be too much."""
_MOST_WORKERS = 4
_READY = ".ready"


class PushedAhead(NamedTuple):
    """By name, the files that are durable where the plan requires it, with what each repository answered; and
    what ended it early."""

    files: dict[str, PushResult]
    stopped_by: Exception | None


def waiting_behind(data_directory: Path, asked: Path) -> list[Path]:
    """Return the whole segments that are ready, in the archiver's order, ``asked`` left out."""
    folder = data_directory / asked.parent
    try:
        if os.stat(folder / asked.name).st_size > _LARGEST_BYTES:
            return []
        names = os.listdir(folder / "archive_status")
    except OSError:
        return []
    ready = sorted(name.removesuffix(_READY) for name in names if name.endswith(_READY))
    segments = [name for name in ready if name != asked.name and classify(name) is WalFileKind.SEGMENT]
    return [asked.parent / name for name in segments[:_MOST_FILES]]


def push_ahead(pusher: WalPusher, waiting: list[Path], notes: Acknowledgements) -> PushedAhead:
    """Push the segments that are ``waiting`` (relative to the data directory) and note each.

    An error ends it and is not raised: PostgreSQL asks for that file in its turn, and then it is. So does a note that
    can't be left.
    Crash: what was pushed is durable; a file without a note is pushed again and found identical.
    """
    notes.sweep()
    run = _Run(pusher, notes, waiting)
    workers = min(_MOST_WORKERS, (os.cpu_count() or 1) + 1, len(waiting))
    threads = [threading.Thread(target=run.work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return PushedAhead(run.done, run.stopped_by)


class _Run:
    """The files to be pushed, in order, shared by the workers."""

    def __init__(self, pusher: WalPusher, notes: Acknowledgements, waiting: list[Path]) -> None:
        self.done: dict[str, PushResult] = {}
        self.stopped_by: Exception | None = None
        self._pusher = pusher
        self._notes = notes
        self._waiting = waiting[::-1]
        self._lock = threading.Lock()
        self._until = time.monotonic() + _MOST_S

    def work(self) -> None:
        """Push until nothing is left, the time is over, or something went wrong."""
        workspace = Workspace()
        while (path := self._next()) is not None:
            place = os.path.join(self._pusher.data_directory, path)
            described = self._notes.describe(place)
            if described is None:
                self._stop(None)  # without a note the work would be done again
                return
            try:
                result = self._pusher.push(path, workspace)
            except Exception as error:  # noqa: BLE001 - a thread's top: whoever waits for it is told
                self._stop(error)
                return
            with self._lock:
                self.done[path.name] = result
            if not self._notes.leave(place, described):
                self._stop(None)
                return

    def _next(self) -> Path | None:
        with self._lock:
            if not self._waiting or time.monotonic() > self._until:
                return None
            return self._waiting.pop()

    def _stop(self, error: Exception | None) -> None:
        with self._lock:
            self._waiting.clear()
            self.stopped_by = self.stopped_by or error
