"""Drills that did not pass: why, who mends it by when, and whether the same source passed since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from seawall.evidence.model import Correction, DrillOutcome
from seawall.reporting.history import Drill, History
from seawall.reporting.period import Period


@dataclass(frozen=True, slots=True)
class Fix:
    """What somebody promised (an entry of its own, ``number``)."""

    number: int
    owner: str
    due: date
    note: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A drill that failed or stayed incomplete. ``repaired_by`` is the same source's next drill that passed."""

    drill: Drill
    fixes: tuple[Fix, ...]
    repaired_by: Drill | None
    is_from_before: bool

    @property
    def is_open(self) -> bool:
        return self.repaired_by is None

    @property
    def is_unowned(self) -> bool:
        """Whether it is open and nobody said that they mend it."""
        return self.is_open and not self.fixes


def find_failures(history: History, period: Period) -> tuple[Failure, ...]:
    """Return the failures of a period, and those from before that were still open when it began; oldest first."""
    found: list[Failure] = []
    for drill in history.drills:
        if drill.evidence.outcome is DrillOutcome.PASSED or drill.at >= period.ends_at:
            continue
        repaired = next(
            (
                later
                for later in history.drills
                if later.number > drill.number and later.passed and later.source == drill.source
            ),
            None,
        )
        is_before = drill.at < period.begins_at
        if is_before and repaired is not None and repaired.at < period.begins_at:
            continue
        found.append(Failure(drill, _fixes(history, drill.number), repaired, is_before))
    return tuple(found)


def _fixes(history: History, number: int) -> tuple[Fix, ...]:
    return tuple(
        Fix(said.number, said.statement.owner, said.statement.due, said.statement.note)
        for said in history.corrections.get(number, ())
        if isinstance(said.statement, Correction)
    )
