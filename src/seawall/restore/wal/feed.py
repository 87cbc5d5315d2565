"""Keep the spool filled while a server recovers from it: the window moves with replay.

Runs beside a recovery that is watched (``--start``). What it can't fetch it leaves: ``wal get`` then fetches for
itself, and it is that process whose error counts, since PostgreSQL sees its exit status.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

from seawall.model.errors import SeawallError
from seawall.model.wal_name import SegmentName
from seawall.restore.wal.get import Fetch
from seawall.restore.wal.spool import Spool

_THREADS = 2
_LOOK_EVERY_S = 0.05
_AFTER_TROUBLE_S = 2.0
_BEHIND = 2
"""Segments that stay although later ones were served: recovery begins at its checkpoint, then goes back to redo."""


class SpoolFeed:
    """Fetches ``segments``, in order of replay, as those before them are taken; a context manager."""

    def __init__(
        self,
        segments: Sequence[tuple[int, SegmentName]],
        spool: Spool,
        fetch: Fetch,
        *,
        ahead: int,
        end_within_s: float = 5.0,
    ) -> None:
        """``end_within_s``: how long leaving waits for a fetch that nobody needs any more."""
        self._segments = [(epoch, str(segment)) for epoch, segment in segments]
        self._places = {name: place for place, (_, name) in enumerate(self._segments)}
        self._spool = spool
        self._fetch = fetch
        self._ahead = ahead
        self._end_within_s = end_within_s
        self._position = 0
        """The place of the segment that PostgreSQL will ask for next; it only grows."""
        self._under_way: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._bug: BaseException | None = None
        # Daemons: a store that hangs must not hold up whoever waits for the server.
        self._threads = [
            threading.Thread(target=self._run, name=f"spool-feed-{number}", daemon=True)
            for number in range(_THREADS)
        ]

    def __enter__(self) -> SpoolFeed:
        if len(self._segments) > self._ahead:  # else all of it lies there already
            for thread in self._threads:
                thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(self._end_within_s)
        if self._bug is not None and error is None:
            raise self._bug

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._stopped.wait(self._feed_one())
        except Exception as error:  # noqa: BLE001 - a thread's top: raised where the feed ends
            self._bug = error

    def _feed_one(self) -> float:
        """Fetch the next segment that is missing, if any; return how long to pause."""
        item = self._next()
        if item is None:
            return _LOOK_EVERY_S
        epoch, name = item
        try:
            content = self._fetch(epoch, name)
            if not self._stopped.is_set():
                self._spool.put(name, content)
        except (SeawallError, OSError):
            return _AFTER_TROUBLE_S  # not lost: PostgreSQL will ask for it, and then the error counts
        finally:
            with self._lock:
                self._under_way.discard(name)
        return 0.0

    def _next(self) -> tuple[int, str] | None:
        """Move the window to where replay is; return what to fetch for it, claimed for this thread."""
        with self._lock:
            last = self._spool.last_served()
            self._position = max(self._position, self._places.get(last or "", -1) + 1)
            for name in self._spool.names():
                if self._places.get(name, self._position) < self._position - _BEHIND:
                    self._spool.drop(name)  # it came too late: whoever wanted it fetched it meanwhile
            for epoch, name in self._segments[self._position : self._position + self._ahead]:
                if name not in self._under_way and not self._spool.has(name):
                    self._under_way.add(name)
                    return epoch, name
        return None
