"""Drills as the ledger tells of them: which were held, and whether the next one is due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from seawall.drill.errors import DrillMissing
from seawall.evidence.entry import Entry
from seawall.evidence.ledger import Ledger
from seawall.evidence.model import DrillEvidence, DrillOutcome


@dataclass(frozen=True, slots=True)
class RecordedDrill:
    """A drill and the number of its entry."""

    number: int
    evidence: DrillEvidence


@dataclass(frozen=True, slots=True)
class Due:
    """Whether a cluster's drill is due, in words; ``next_at`` is when the timetable fires again."""

    cluster: str
    is_due: bool
    reason: str
    last: RecordedDrill | None
    next_at: datetime | None


def drills_in(ledger: Ledger) -> Iterator[RecordedDrill]:
    """Yield the drills of a ledger, newest first; none if it was not begun. Signatures are not proven here."""
    for entry in ledger.entries(newest_first=True):
        drill = _drill_of(entry)
        if drill is not None:
            yield drill


def find_drill(ledger: Ledger, wanted: str | None) -> RecordedDrill:
    """Return a drill by its id or its entry's number, else the newest. Raises DrillMissing."""
    for drill in drills_in(ledger):
        if wanted is None or wanted in (str(drill.number), drill.evidence.drill):
            return drill
    what = f"no drill {wanted!r}" if wanted is not None else "no drill"
    raise DrillMissing(
        f"{ledger.url} holds {what}", hint="seawall drill list; to hold one: seawall drill restore"
    )


def judge_due(
    ledger: Ledger,
    cluster: str,
    *,
    last_start: datetime | None,
    next_start: datetime | None,
    remind_s: float | None,
    now: datetime,
) -> Due:
    """Say whether a drill of ``cluster`` is due: none was held since the timetable fired last, or for too long.

    A drill that failed was held. One that could not be held to its end was not, and is due again.
    """
    last = next(
        (
            drill
            for drill in drills_in(ledger)
            if drill.evidence.source.cluster == cluster
            and not drill.evidence.is_real
            and drill.evidence.outcome is not DrillOutcome.INCOMPLETE
        ),
        None,
    )
    due, reason = _decide(last, last_start, remind_s, now)
    return Due(cluster, due, reason, last, next_start)


def _decide(
    last: RecordedDrill | None, last_start: datetime | None, remind_s: float | None, now: datetime
) -> tuple[bool, str]:
    if last_start is None and remind_s is None:
        return False, "the plan has no timetable for it (drills: restore: schedule)"
    if last is None:
        return True, "none was ever held to its end"
    held_at = last.evidence.started_at
    if last_start is not None and held_at < last_start:
        return (
            True,
            f"scheduled for {last_start:%Y-%m-%d %H:%M} UTC, the last one was at {held_at:%Y-%m-%d %H:%M} UTC",
        )
    if remind_s is not None and now - held_at > timedelta(seconds=remind_s):
        return True, f"the last one was at {held_at:%Y-%m-%d %H:%M} UTC, longer ago than the plan's reminder"
    return False, f"the last one was at {held_at:%Y-%m-%d %H:%M} UTC ({last.evidence.outcome})"


def _drill_of(entry: Entry) -> RecordedDrill | None:
    statement = entry.statement
    return RecordedDrill(entry.number, statement) if isinstance(statement, DrillEvidence) else None
