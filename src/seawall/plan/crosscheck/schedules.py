"""Schedules against each other: what would start at the same minute, or build on what is never made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise

from seawall.plan.crosscheck.view import View
from seawall.plan.diagnostics import Findings

_FIRST = datetime(2026, 6, 1, tzinfo=UTC)
"""A Monday, and the first of a month: the two days on which timetables meet most."""
_LOOK_AHEAD = timedelta(days=35)
_MOST_STARTS = 500
_BUSIEST = timedelta(minutes=5)


def check_schedules(view: View, findings: Findings) -> None:
    """Report schedules that clash, that build on nothing, or that never leave the server alone."""
    for cluster in view.names("clusters"):
        steps = ("clusters", cluster, "schedule")
        crons = {kind: view.text(*steps, kind) for kind in ("full", "diff", "incr")}
        starts = {kind: starts_of(cron) for kind, cron in crons.items() if cron is not None}
        for later in ("diff", "incr"):
            if view.has(*steps, later) and not view.has(*steps, "full"):
                findings.warning(
                    view.place(*steps, later),
                    "schedule-without-full",
                    f"{later} backups build on a full one, and none is scheduled",
                    'add full: "0 2 * * sun"',
                )
        for kind, times in starts.items():
            if len(times) > 1 and min(b - a for a, b in pairwise(times)) < _BUSIEST:
                findings.warning(
                    view.place(*steps, kind),
                    "schedule-too-often",
                    f"{kind} backups start within 5 minutes of each other",
                    "WAL gives the moments between backups; once an hour is often",
                )
        for one, other in combinations(starts, 2):
            same = set(starts[one]) & set(starts[other])
            if same:
                findings.warning(
                    view.place(*steps, other),
                    "schedule-clash",
                    f"{one} and {other} backups start at the same minute, for instance {min(same):%A %H:%M}",
                    "leave out the lesser one at that time, or move it",
                )


def starts_of(cron: str) -> list[datetime]:
    """Return when ``cron`` fires in five weeks, the first 500 times of them."""
    from cronsim import CronSim

    times: list[datetime] = []
    for moment in CronSim(cron, _FIRST - timedelta(minutes=1)):
        if moment > _FIRST + _LOOK_AHEAD or len(times) == _MOST_STARTS:
            break
        times.append(moment)
    return times
