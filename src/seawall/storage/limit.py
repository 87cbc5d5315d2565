"""A throttle: so many bytes per second, shared by all threads that ask it."""

from __future__ import annotations

import threading

from seawall.model.clock import Clock


class Throttle:
    """A token bucket that holds what passes in ``burst_s`` seconds.

    Who takes more than there is goes into debt and waits it off; later callers wait behind it, in the order in
    which they came. So the rate holds over any stretch longer than the burst, whatever the sizes asked for.
    """

    def __init__(self, bytes_per_s: int, *, clock: Clock, burst_s: float = 1.0) -> None:
        if bytes_per_s < 1:
            raise ValueError(f"a throttle needs a rate above 0, not {bytes_per_s}")
        self._rate, self._clock, self._burst_s = bytes_per_s, clock, burst_s
        self._lock = threading.Lock()
        self._paid_until = clock.monotonic() - burst_s
        """When everything taken so far has been paid for at the rate: the bucket's content as a time."""

    def take(self, count: int) -> None:
        """Return when ``count`` bytes may pass."""
        with self._lock:
            now = self._clock.monotonic()
            self._paid_until = max(self._paid_until, now - self._burst_s) + count / self._rate
            wait_s = self._paid_until - now
        if wait_s > 0:
            self._clock.sleep(wait_s)
