"""A clock that moves only when a test, or whoever sleeps on it, moves it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Starts on a fixed day. ``sleeps`` records every sleep; sleeping passes the time at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passed_s = 0.0
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC) + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        return self._passed_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.sleeps.append(seconds)
            self._passed_s += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass without anybody sleeping."""
        with self._lock:
            self._passed_s += seconds
