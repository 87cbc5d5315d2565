"""Periods: every form, the days of a time zone, and columns that cover each day once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.reporting.period import parse_period, quarter_of

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-Q4", date(2026, 10, 1), date(2026, 12, 31)),
        ("2026q1", date(2026, 1, 1), date(2026, 3, 31)),
        ("2028-02", date(2028, 2, 1), date(2028, 2, 29)),
        (" 2026 ", date(2026, 1, 1), date(2026, 12, 31)),
        ("2026-10-03..2026-12-15", date(2026, 10, 3), date(2026, 12, 15)),
        ("2026-10-03 .. 2026-10-03", date(2026, 10, 3), date(2026, 10, 3)),
    ],
)
def test_forms(text: str, first: date, last: date) -> None:
    period = parse_period(text, BERLIN)
    assert (period.first, period.last) == (first, last)


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-Q5", "2026-13", "26", "2026-10-03", "2026-12-01..2026-11-01", "a..b", "0000", "9999",
        "2026-10-03..9999-12-31", "2026-02-30..2026-03-01", "٢٠٢٦",
    ],
)  # fmt: skip
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(ValueError, match=r"period"):
        parse_period(text, BERLIN)


def test_days_are_those_of_the_zone() -> None:
    period = parse_period("2026-Q4", BERLIN)
    begins, ends = datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert (period.begins_at, period.ends_at) == (begins, ends)
    assert begins in period and ends not in period
    assert begins - timedelta(seconds=1) not in period and ends - timedelta(seconds=1) in period
    assert begins not in parse_period("2026-Q4", UTC)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("2026-10-30..2026-11-02", ["30 Oct", "31 Oct", "01 Nov", "02 Nov"]),
        ("2026-11", ["W44", "W45", "W46", "W47", "W48", "W49"]),
        ("2026", [f"{datetime(2026, month, 1):%b} 2026" for month in range(1, 13)]),
        (
            "2025-06-01..2026-12-31",
            ["2025-Q2", "2025-Q3", "2025-Q4", "2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4"],
        ),
        ("2020-06-01..2026-12-31", [str(year) for year in range(2020, 2027)]),
        ("1900-01-01..2026-12-31", ["1900-01-01..2026-12-31"]),
    ],
)
def test_columns_fit_across_a_page(text: str, labels: list[str]) -> None:
    assert [bucket.label for bucket in parse_period(text, BERLIN).buckets()] == labels


@given(first=st.dates(date(1990, 1, 1), date(2100, 1, 1)), days=st.integers(0, 9000))
def test_columns_cover_each_day_once(first: date, days: int) -> None:
    period = parse_period(f"{first}..{first + timedelta(days=days)}", UTC)
    buckets = period.buckets()
    assert (buckets[0].first, buckets[-1].last) == (period.first, period.last)
    assert all(later.first - earlier.last == timedelta(days=1) for earlier, later in pairwise(buckets))
    assert len(buckets) <= 13 and all(bucket.first <= bucket.last for bucket in buckets)


@given(day=st.dates(date(1990, 1, 1), date(2100, 1, 1)))
def test_every_day_is_in_its_quarter(day: date) -> None:
    period = quarter_of(day, UTC)
    assert period.first <= day <= period.last and (period.last - period.first).days in (89, 90, 91)
