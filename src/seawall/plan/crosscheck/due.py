"""When a timetable last fired: what is due is told from it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def last_start(cron: str, timezone: str, now: datetime) -> datetime | None:
    """Return when ``cron``, in the plan's zone, fired last before ``now``; None if it never did."""
    from cronsim import CronSim

    zone = ZoneInfo(timezone)
    found = next(CronSim(cron, now.astimezone(zone), reverse=True), None)
    return None if found is None else found.astimezone(now.tzinfo)


def next_start(cron: str, timezone: str, now: datetime) -> datetime | None:
    """Return when ``cron``, in the plan's zone, fires next after ``now``."""
    from cronsim import CronSim

    found = next(CronSim(cron, now.astimezone(ZoneInfo(timezone))), None)
    return None if found is None else found.astimezone(now.tzinfo)
