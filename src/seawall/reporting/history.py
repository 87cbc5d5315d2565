"""The ledger as a report reads it: drills with what people said of them, and whether their signatures are proven.

Pure: a verification goes in. A drill *counts* only where the whole ledger is as it was written and, if public keys
were given, its signature is by one of them: what may be forged proves nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from seawall.evidence.entry import Entry
from seawall.evidence.model import AssertionOutcome, Correction, DrillEvidence, DrillOutcome, Note, SignOff
from seawall.evidence.verify import LedgerReport
from seawall.reporting.sources import SourceKey, recorded_location


class MomentKind(enum.StrEnum):
    """Which moment a drill went back to. Only an earlier one proves more than the newest backup."""

    LATEST = "latest"
    RANDOM = "random"
    CHOSEN = "chosen"

    @classmethod
    def of(cls, asked: str) -> MomentKind:
        """Read the words of an entry, as :mod:`seawall.drill` writes them."""
        if asked == "latest":
            return cls.LATEST
        return cls.RANDOM if "random" in asked else cls.CHOSEN


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill or real recovery of the ledger."""

    number: int
    signer: str
    evidence: DrillEvidence
    is_proven: bool
    """Signed by a public key that the reader gave, in a ledger that is intact."""
    counts: bool

    @property
    def source(self) -> SourceKey:
        source = self.evidence.source
        return SourceKey(source.cluster or "", source.tool, recorded_location(source.location))

    @property
    def moment(self) -> MomentKind:
        return MomentKind.of(self.evidence.recovery_point.asked)

    @property
    def at(self) -> datetime:
        return self.evidence.ended_at

    @property
    def passed(self) -> bool:
        """Whether it proves something: it passed, and its entry may be believed."""
        return self.counts and self.evidence.outcome is DrillOutcome.PASSED

    @property
    def technical_ms(self) -> int | None:
        """What it took, without the declared detection; None where it was not measured."""
        rto = self.evidence.rto
        return None if rto.reached_ms is None else max(0, rto.reached_ms - (rto.detection_ms or 0))

    @property
    def held(self) -> int:
        """How many assertions held."""
        good = (AssertionOutcome.PASSED, AssertionOutcome.SLOW)
        return sum(item.outcome in good for item in self.evidence.assertions)

    def reasons(self) -> tuple[str, ...]:
        """Return why it did not pass; empty for one that did."""
        if self.evidence.outcome is DrillOutcome.PASSED:
            return ()
        words = {AssertionOutcome.FAILED: "failed", AssertionOutcome.COULD_NOT_RUN: "could not run"}
        found = [
            f"{item.name}: {words[item.outcome]}" + (f" ({item.detail})" if item.detail else "")
            for item in self.evidence.assertions
            if item.outcome in words
        ]
        objectives = (("RTO", self.evidence.rto), ("RPO", self.evidence.rpo))
        found += [f"{name} missed" for name, objective in objectives if objective.is_met is False]
        if not self.evidence.assertions:
            found.append("nothing was asserted")
        return tuple(found) or ("it did not end as planned",)


class Said(NamedTuple):
    """A person's entry: its number and time, and what it says."""

    number: int
    at: datetime
    statement: Correction | Note | SignOff

    @property
    def is_sign_off(self) -> bool:
        return isinstance(self.statement, SignOff)


@dataclass(frozen=True, slots=True)
class History:
    """All that the ledger tells, oldest first."""

    drills: tuple[Drill, ...]
    corrections: Mapping[int, tuple[Said, ...]] = field(default_factory=dict)
    """By the entry that they are about."""
    notes: tuple[Said, ...] = ()
    sign_offs: tuple[Said, ...] = ()
    unreadable: int = 0
    """Entries of kinds that this version does not know."""

    def signed_off(self, number: int) -> Said | None:
        """Return the first sign-off that covers an entry: it is about it, or about a later one."""
        return next((said for said in self.sign_offs if _about(said) >= number), None)


def read_history(report: LedgerReport) -> History:
    """Return what a verified ledger tells, also where it is not intact: then nothing counts."""
    drills: list[Drill] = []
    corrections: dict[int, tuple[Said, ...]] = {}
    notes: list[Said] = []
    sign_offs: list[Said] = []
    unreadable = 0
    for entry in report.entries:
        statement = entry.statement
        said = (entry.number, entry.at)
        if isinstance(statement, DrillEvidence):
            drills.append(_drill(entry, statement, report))
        elif isinstance(statement, Correction):
            before = corrections.get(statement.about, ())
            corrections[statement.about] = (*before, Said(*said, statement))
        elif isinstance(statement, SignOff):
            sign_offs.append(Said(*said, statement))
        elif isinstance(statement, Note):
            notes.append(Said(*said, statement))
        elif statement is None:
            unreadable += 1
    return History(tuple(drills), corrections, tuple(notes), tuple(sign_offs), unreadable)


def _drill(entry: Entry, evidence: DrillEvidence, report: LedgerReport) -> Drill:
    is_proven = not report.findings and entry.signer in report.given
    counts = is_proven if report.given else not report.findings
    return Drill(entry.number, entry.signer, evidence, is_proven=is_proven, counts=counts)


def _about(said: Said) -> int:
    return said.statement.about or 0
