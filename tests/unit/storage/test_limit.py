"""The throttle holds its rate over any stretch longer than its burst."""

from __future__ import annotations

import pytest

from seawall.storage.limit import Throttle
from tests.support.manual_clock import ManualClock


def test_a_burst_passes_at_once_and_the_rest_at_the_rate() -> None:
    clock = ManualClock()
    throttle = Throttle(1000, clock=clock)
    throttle.take(1000)
    assert clock.sleeps == []
    throttle.take(500)
    assert clock.sleeps == [pytest.approx(0.5)]


def test_over_a_long_stretch_the_rate_holds_whatever_the_sizes() -> None:
    for size in (1, 7, 999, 5000):
        clock = ManualClock()
        throttle = Throttle(1000, clock=clock)
        for _ in range(20_000 // size):
            throttle.take(size)
        passed = 20_000 // size * size
        assert clock.monotonic() == pytest.approx((passed - 1000) / 1000, abs=0.01)


def test_one_take_larger_than_the_burst_passes_whole_but_late() -> None:
    clock = ManualClock()
    Throttle(1000, clock=clock).take(10_000)
    assert clock.monotonic() == pytest.approx(9.0)


def test_idle_time_earns_one_burst_and_no_more() -> None:
    clock = ManualClock()
    throttle = Throttle(1000, clock=clock)
    throttle.take(1000)
    clock.advance(3600)
    throttle.take(1000)
    assert clock.sleeps == []
    throttle.take(1000)
    assert clock.sleeps == [pytest.approx(1.0)]


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_must_be_positive(rate: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        Throttle(rate, clock=ManualClock())
