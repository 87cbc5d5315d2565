"""The time that a report is about: whole days of the plan's time zone, and the columns that it is cut into."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

_QUARTER = re.compile(r"(\d{4})-?[Qq]([1-4])", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_MOST_COLUMNS = 13
"""What fits across a page."""
_DAY = timedelta(days=1)

Labeller = Callable[[date], str]

FORMS = "2026-Q4, 2026-11, 2026 or 2026-10-01..2026-12-15"


class Bucket(NamedTuple):
    """One column: its days, both included, and how it is headed."""

    label: str
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Period:
    """The days from ``first`` to ``last``, both included, as ``zone`` counts days."""

    label: str
    first: date
    last: date
    zone: tzinfo

    @property
    def begins_at(self) -> datetime:
        return datetime.combine(self.first, time(), self.zone)

    @property
    def ends_at(self) -> datetime:
        """The first moment that no longer belongs to it."""
        return datetime.combine(self.last + _DAY, time(), self.zone)

    def __contains__(self, moment: datetime) -> bool:
        return self.first <= self.day_of(moment) <= self.last

    def day_of(self, moment: datetime) -> date:
        """Return the day of a moment, in the period's zone."""
        return moment.astimezone(self.zone).date()

    def buckets(self) -> tuple[Bucket, ...]:
        """Return the columns: the finest of days, weeks, months, quarters and years that fit across a page."""
        for cut in (_days, _weeks, _months, _quarters, _years):
            found = tuple(self._clipped(cut(self.first, self.last)))
            if len(found) <= _MOST_COLUMNS:
                return found
        return (Bucket(self.label, self.first, self.last),)

    def _clipped(self, buckets: Iterator[Bucket]) -> Iterator[Bucket]:
        for bucket in buckets:
            yield Bucket(bucket.label, max(bucket.first, self.first), min(bucket.last, self.last))


def parse_period(text: str, zone: tzinfo) -> Period:
    """Read a quarter, month, year or range of days. Raises ValueError, which names the forms."""
    cleaned = text.strip()
    if match := _QUARTER.fullmatch(cleaned):
        year, quarter = int(match[1]), int(match[2])
        return _of_months(f"{year}-Q{quarter}", year, quarter * 3 - 2, 3, zone)
    if match := _MONTH.fullmatch(cleaned):
        return _of_months(cleaned, int(match[1]), int(match[2]), 1, zone)
    if _YEAR.fullmatch(cleaned):
        return _of_months(cleaned, int(cleaned), 1, 12, zone)
    begin, separator, end = cleaned.partition("..")
    if not separator:
        raise ValueError(f"not a period: {text!r} (write {FORMS})")
    try:
        first, last = date.fromisoformat(begin.strip()), date.fromisoformat(end.strip())
    except ValueError:
        raise ValueError(f"not a period: {text!r} (write {FORMS})") from None
    if last < first:
        raise ValueError(f"the period {text!r} ends before it begins")
    if last.year >= date.max.year:
        raise ValueError(f"the period {text!r} never ends")
    return Period(f"{first}..{last}", first, last, zone)


def quarter_of(day: date, zone: tzinfo) -> Period:
    """Return the quarter that a day is in."""
    return parse_period(f"{day.year:04d}-Q{(day.month + 2) // 3}", zone)


def _of_months(label: str, year: int, month: int, count: int, zone: tzinfo) -> Period:
    if not 1 <= year < date.max.year:
        raise ValueError(f"no year for a period: {year}")
    first = date(year, month, 1)
    return Period(label, first, _month_after(first, count) - _DAY, zone)


def _month_after(first: date, count: int) -> date:
    months = first.year * 12 + first.month - 1 + count
    return date(months // 12, months % 12 + 1, 1)


def _days(first: date, last: date) -> Iterator[Bucket]:
    for number in range(min((last - first).days + 1, _MOST_COLUMNS + 1)):
        day = first + timedelta(days=number)
        yield Bucket(f"{day:%d %b}", day, day)


def _weeks(first: date, last: date) -> Iterator[Bucket]:
    monday = first - timedelta(days=first.weekday())
    while monday <= last:
        yield Bucket(f"W{monday.isocalendar().week:02d}", monday, monday + timedelta(days=6))
        monday += timedelta(days=7)


def _months(first: date, last: date) -> Iterator[Bucket]:
    return _runs_of_months(first.replace(day=1), last, 1, lambda day: f"{day:%b %Y}")


def _quarters(first: date, last: date) -> Iterator[Bucket]:
    begin = date(first.year, (first.month - 1) // 3 * 3 + 1, 1)
    return _runs_of_months(begin, last, 3, lambda day: f"{day.year}-Q{(day.month + 2) // 3}")


def _years(first: date, last: date) -> Iterator[Bucket]:
    return _runs_of_months(date(first.year, 1, 1), last, 12, lambda day: str(day.year))


def _runs_of_months(begin: date, last: date, count: int, label: Labeller) -> Iterator[Bucket]:
    while begin <= last:
        following = _month_after(begin, count)
        yield Bucket(label(begin), begin, following - _DAY)
        begin = following
