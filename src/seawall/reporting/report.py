"""The report of a period as one value, from a verified ledger and perhaps a plan. Pure: no clock, no store.

Whatever it says can be looked up: each figure comes from entries, and entries are named by their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from seawall.evidence.model import DrillOutcome, Objective, plan_hash
from seawall.evidence.verify import LedgerReport
from seawall.plan.model import Objectives, Plan
from seawall.reporting.coverage import Gap, find_gaps_in_proof
from seawall.reporting.failures import Failure, find_failures
from seawall.reporting.history import Drill, MomentKind, Said, read_history
from seawall.reporting.period import Bucket, Period
from seawall.reporting.sources import SourceKey, planned_sources

CUT_OFF_WARNING = (
    "Entries cut off at the end can't be seen from the inside: only a head that was kept elsewhere shows it. "
    "Keep this line, and give it to the next verification: seawall evidence verify --head"
)
"""Printed with the head on every report."""

NOTHING_LEFT_OUT = "nothing that is known was left out"


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """What the verification of the ledger proved, in words and figures."""

    url: str
    entries: int
    head: str | None
    words: str
    is_intact: bool
    is_proven: bool
    """All signatures are by public keys that the reader gave."""
    findings: tuple[str, ...]
    remarks: tuple[str, ...]
    signers: tuple[tuple[str, str, bool], ...]
    """Label, fingerprint, and whether the reader gave that key."""
    newest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Cell:
    """What a source's drills of one moment were in one stretch of time, by the numbers of their entries."""

    passed: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    incomplete: tuple[int, ...] = ()
    unproven: tuple[int, ...] = ()
    """They say that they passed, and their entries can't be believed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of sources and moments. ``name`` is the plan's word for the source, if it has one."""

    source: SourceKey
    name: str | None
    moment: MomentKind | None
    """None for a source of the plan that was not drilled in the period."""
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        return source_label(self.source, self.name)


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement of a trend."""

    at: datetime
    reached_ms: int
    entry: int
    passed: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """How one cluster's RTO or RPO went, source by source, against its target."""

    cluster: str
    objective: str
    target_ms: int | None
    series: tuple[tuple[str, tuple[Point, ...]], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a rendering shows, in the order of the period."""

    service: str | None
    period: Period
    objectives: Objectives | None
    plan_sha256: str | None
    ledger: LedgerVerdict
    drills: tuple[Drill, ...]
    """Of the period, oldest first."""
    buckets: tuple[Bucket, ...]
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    trends: tuple[Trend, ...]
    gaps: tuple[Gap, ...]
    sign_offs: tuple[Said, ...]
    notes: tuple[Said, ...]
    names: Mapping[SourceKey, str]
    """The plan's words for sources."""
    reviewed: tuple[int, ...] = ()
    """The period's drills that a sign-off covers."""

    def label(self, drill: Drill) -> str:
        """Return what a drill restored from, by the plan's name of it if there is one."""
        return source_label(drill.source, self.names.get(drill.source))

    def count(self, outcome: DrillOutcome) -> int:
        """Return how many of the period's drills ended so, as their entries say."""
        return sum(drill.evidence.outcome is outcome for drill in self.drills)

    @property
    def passed(self) -> tuple[Drill, ...]:
        """The period's drills that prove something."""
        return tuple(drill for drill in self.drills if drill.passed)

    def judge(self, objective: str) -> str:
        """Say whether the plan's RTO or RPO was kept: ``met`` takes a measurement that may be believed."""
        worst_ms = self.worst_ms(objective)
        if worst_ms is None:
            return "not measured"
        if self.objectives is None:
            return ""
        target_s = self.objectives.rto_s if objective == "RTO" else self.objectives.rpo_s
        if worst_ms > target_s * 1000:
            return "MISSED"
        is_believable = any(
            drill.counts and objective_of(drill, objective).reached_ms is not None for drill in self.drills
        )
        return "met" if is_believable else "not proven"

    def worst_ms(self, objective: str) -> int | None:
        """Return the largest RTO or RPO that a drill of the period reached."""
        found = [point.reached_ms for trend in self.trends if trend.objective == objective
                 for _, points in trend.series for point in points]  # fmt: skip
        return max(found, default=None)


def build_report(plan: Plan | None, ledger: LedgerReport, period: Period) -> Report:
    """Return the report of ``period``; the same arguments give an equal one, whenever it is made."""
    history = read_history(ledger)
    held = tuple(
        sorted(
            (drill for drill in history.drills if drill.at in period),
            key=lambda drill: (drill.at, drill.number),
        )
    )
    buckets = period.buckets()
    report = Report(
        service=plan.service if plan is not None else None,
        period=period,
        objectives=plan.objectives if plan is not None else None,
        plan_sha256=plan_hash(plan.text) if plan is not None else None,
        ledger=_verdict(ledger),
        drills=held,
        buckets=buckets,
        rows=_rows(plan, held, period, buckets),
        failures=find_failures(history, period),
        trends=tuple(_trends(plan, held)),
        gaps=find_gaps_in_proof(plan, history.drills, period),
        sign_offs=tuple(said for said in history.sign_offs if _concerns(said, held)),
        notes=tuple(said for said in history.notes if said.at in period or _concerns(said, held)),
        names=planned_sources(plan),
    )
    reviewed = tuple(drill.number for drill in held if history.signed_off(drill.number) is not None)
    return replace(report, reviewed=reviewed)


def _concerns(said: Said, held: Sequence[Drill]) -> bool:
    """Whether a sign-off or note is about a drill of the period; a sign-off covers all entries before it."""
    about = said.statement.about or 0
    return any(drill.number == about or (said.is_sign_off and drill.number <= about) for drill in held)


def _verdict(report: LedgerReport) -> LedgerVerdict:
    if not report.entries and not report.findings:
        words = "EMPTY: no evidence was ever recorded there"
    elif report.findings:
        words = "NOT INTACT: it is not as it was written, and nothing in this report is proven by it"
    elif not report.given:
        words = (
            "consistent in itself; WHOSE signatures these are is not proven, since no public key was given"
        )
    elif report.unproven:
        words = f"intact; {len(report.unproven)} entries are NOT signed by a public key that was given"
    else:
        words = "intact: every entry is as it was signed, by a public key that was given"
    return LedgerVerdict(
        url=report.url,
        entries=len(report.entries),
        head=report.head,
        words=words,
        is_intact=not report.findings,
        is_proven=bool(report.given) and bool(report.entries) and report.is_intact,
        findings=tuple(finding.message for finding in report.findings),
        remarks=tuple(report.remarks),
        signers=tuple(
            (signer.label, signer.fingerprint, signer.fingerprint in report.given)
            for signer in report.signers
        ),
        newest_at=report.entries[-1].at if report.entries else None,
    )


def _rows(
    plan: Plan | None, held: Sequence[Drill], period: Period, buckets: Sequence[Bucket]
) -> tuple[Row, ...]:
    """Return the plan's sources first, in its order, then all others that were drilled."""
    names = planned_sources(plan)
    sources = dict.fromkeys([*names, *(drill.source for drill in held)])
    rows: list[Row] = []
    for source in sources:
        own = [drill for drill in held if drill.source == source]
        kinds: list[MomentKind | None] = [kind for kind in MomentKind if any(d.moment is kind for d in own)]
        for kind in kinds or [None]:
            cells = tuple(_cell([d for d in own if d.moment is kind], bucket, period) for bucket in buckets)
            rows.append(Row(source, names.get(source), kind, cells))
    return tuple(rows)


def source_label(source: SourceKey, name: str | None) -> str:
    """Return the words for a source: its cluster, and where that comes from."""
    cluster = f"{source.cluster} from " if source.cluster else ""
    return cluster + (name or source.words)


def _cell(drills: Sequence[Drill], bucket: Bucket, period: Period) -> Cell:
    inside = [drill for drill in drills if bucket.first <= period.day_of(drill.at) <= bucket.last]

    def numbers(outcome: DrillOutcome, counts: bool) -> tuple[int, ...]:
        return tuple(
            d.number
            for d in inside
            if d.evidence.outcome is outcome and (outcome is not DrillOutcome.PASSED or d.counts is counts)
        )

    return Cell(
        passed=numbers(DrillOutcome.PASSED, True),
        failed=numbers(DrillOutcome.FAILED, True),
        incomplete=numbers(DrillOutcome.INCOMPLETE, True),
        unproven=numbers(DrillOutcome.PASSED, False),
    )


def _trends(plan: Plan | None, held: Sequence[Drill]) -> list[Trend]:
    names = planned_sources(plan)
    found: list[Trend] = []
    for cluster in dict.fromkeys(drill.source.cluster for drill in held):
        own = [drill for drill in held if drill.source.cluster == cluster]
        for objective in ("RTO", "RPO"):
            series = tuple(
                (names.get(source, source.words), points)
                for source in dict.fromkeys(drill.source for drill in own)
                if (points := _points([drill for drill in own if drill.source == source], objective))
            )
            if series:
                planned = plan if plan is not None and cluster in plan.clusters else None
                found.append(Trend(cluster, objective, _target_ms(planned, own, objective), series))
    return found


def _points(drills: Sequence[Drill], objective: str) -> tuple[Point, ...]:
    return tuple(
        Point(drill.at, reached, drill.number, drill.passed)
        for drill in drills
        if (reached := objective_of(drill, objective).reached_ms) is not None
    )


def objective_of(drill: Drill, objective: str) -> Objective:
    """Return what a drill says of the RTO or the RPO."""
    return drill.evidence.rto if objective == "RTO" else drill.evidence.rpo


def _target_ms(plan: Plan | None, drills: Sequence[Drill], objective: str) -> int | None:
    """Return the plan's target, else the one that the newest drill was held against."""
    if plan is not None:
        target_s = plan.objectives.rto_s if objective == "RTO" else plan.objectives.rpo_s
        return round(target_s * 1000)
    targets = [objective_of(drill, objective).target_ms for drill in drills]
    return next((target for target in reversed(targets) if target is not None), None)
