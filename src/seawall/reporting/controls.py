"""Which figures of a report serve as evidence for which control, and what of it the ledger says nothing about.

Evidence *for* a control, and no more: whether a control is met is for people to judge, who see what no ledger holds.
The controls' demands are paraphrased, never quoted.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from seawall.evidence.model import AssertionOutcome, DrillOutcome
from seawall.model.units import format_duration
from seawall.reporting.history import Drill, MomentKind
from seawall.reporting.report import Report, objective_of


class Framework(enum.StrEnum):
    """A body of rules that asks for rehearsals."""

    DORA = "dora"
    SOC2 = "soc2"
    NIST = "nist"


class Control(NamedTuple):
    """One control: where it stands, what it asks for, the figures that are evidence for it, and what is missing."""

    framework: Framework
    reference: str
    asks: str
    figures: tuple[str, ...]
    missing: tuple[str, ...]


class _Kind(NamedTuple):
    framework: Framework
    reference: str
    asks: str
    figures: Callable[[Report], list[str]]
    missing: Callable[[Report], list[str]]


def controls_of(report: Report, framework: Framework | None = None) -> tuple[Control, ...]:
    """Return the control table, of one framework or of all. Entries that can't be believed are evidence for nothing."""
    believed = replace(report, drills=tuple(drill for drill in report.drills if drill.counts))
    doubts = _doubts(report)
    return tuple(
        Control(
            kind.framework,
            kind.reference,
            kind.asks,
            tuple(kind.figures(believed)) if believed.drills else (),
            (*doubts, *kind.missing(believed)),
        )
        for kind in _CONTROLS
        if framework in (None, kind.framework)
    )


def _doubts(report: Report) -> tuple[str, ...]:
    left = sum(not drill.counts for drill in report.drills)
    if not report.ledger.is_intact:
        return ("the ledger is not as it was written: nothing in it is evidence",)
    return (f"{_many(left, 'drill')} without a proven signature: not counted",) if left else ()


def _tests(report: Report) -> list[str]:
    outcomes = ", ".join(f"{report.count(item)} {item}" for item in DrillOutcome if report.count(item))
    days = sorted({report.period.day_of(drill.at) for drill in report.drills})
    lines = [f"{_many(len(report.drills), 'restore drill')} on {_many(len(days), 'day')}: {outcomes}"]
    if len(days) > 1:
        longest = max((later - earlier).days for earlier, later in pairwise(days))
        lines.append(f"longest time between drills: {_many(longest, 'day')}")
    sources = {drill.source for drill in report.passed}
    lines.append(f"sources restored with success: {len(sources)}")
    return lines


def _methods(report: Report) -> list[str]:
    moments = Counter(drill.moment for drill in report.passed)
    words = ", ".join(f"{moments[kind]} {kind}" for kind in MomentKind if moments[kind]) or "none"
    tools = ", ".join(sorted({drill.source.tool for drill in report.drills}))
    return [f"moments restored to with success: {words}", f"restored with: {tools}"]


def _integrity(report: Report) -> list[str]:
    asked = sum(len(drill.evidence.assertions) for drill in report.drills)
    held = sum(drill.held for drill in report.drills)
    return [f"assertions about restored data: {held} of {asked} held"]


def _against_objectives(report: Report) -> list[str]:
    lines: list[str] = []
    for objective in ("RTO", "RPO"):
        measured = [d for d in report.drills if objective_of(d, objective).reached_ms is not None]
        judged = [d for d in measured if objective_of(d, objective).is_met is not None]
        if not measured:
            continue
        met = sum(objective_of(d, objective).is_met is True for d in judged)
        worst = report.worst_ms(objective) or 0
        lines.append(
            f"{objective} measured {_many(len(measured), 'time')}, met in {met} of {len(judged)}; "
            f"worst {format_duration(worst / 1000)}"
        )
    return lines


def _hosts(report: Report) -> list[str]:
    hosts = Counter(drill.evidence.host for drill in report.drills)
    words = ", ".join(f"{host} ({count})" for host, count in sorted(hosts.items()))
    return [f"hosts that the drills ran on: {words}", *_isolation(report.drills)]


def _isolation(drills: tuple[Drill, ...]) -> list[str]:
    """Say in how many drills the restored server was asserted to be cut off (:mod:`seawall.drill`, "isolation")."""
    asked = [
        item.outcome for drill in drills for item in drill.evidence.assertions if item.name == "isolation"
    ]
    if not asked:
        return []
    held = sum(outcome is AssertionOutcome.PASSED for outcome in asked)
    return [f"restored servers without network, archiving and replication: {held} of {len(drills)}"]


def _corrections(report: Report) -> list[str]:
    if not report.failures:
        return ["failures: none in the period, none open from before"]
    owned = sum(bool(item.fixes) for item in report.failures)
    repaired = sum(not item.is_open for item in report.failures)
    return [
        f"{_many(len(report.failures), 'failure')}: {owned} with owner and date, "
        f"{repaired} followed by a drill of the same source that passed"
    ]


def _reviews(report: Report) -> list[str]:
    return [f"drills covered by a sign-off: {len(report.reviewed)} of {len(report.drills)}"]


def _scenarios(report: Report) -> list[str]:
    scenarios = Counter(drill.evidence.scenario for drill in report.drills)
    people = sorted({drill.evidence.who for drill in report.drills})
    return [
        *(f"scenario: {name} ({_many(count, 'time')})" for name, count in sorted(scenarios.items())),
        f"held by: {', '.join(people)}",
    ]


def _untested(report: Report) -> list[str]:
    lines = [] if report.drills else ["no drill of the period counts"]
    if report.gaps:
        lines.append(f"{_many(len(report.gaps), 'gap')} under “Not proven”")
    return lines


def _unowned(report: Report) -> list[str]:
    unowned = [str(item.drill.number) for item in report.failures if item.is_unowned]
    return [f"no owner and date for the failure of entry {', '.join(unowned)}"] if unowned else []


def _unreviewed(report: Report) -> list[str]:
    left = len(report.drills) - len(report.reviewed)
    return [f"no sign-off covers {_many(left, 'drill')}"] if left else []


def _unmeasured(report: Report) -> list[str]:
    if report.objectives is None:
        return ["no plan was given, so that no objectives are known but those in the entries"]
    return []


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


_CONTROLS = (
    _Kind(
        Framework.DORA,
        "DORA article 12(2)",
        "backup, restoration and recovery procedures and methods are tested periodically",
        lambda report: [*_tests(report), *_methods(report), *_integrity(report)],
        _untested,
    ),
    _Kind(
        Framework.DORA,
        "DORA article 12(3)",
        "own systems that backups are restored on are segregated, physically and logically, from the source, are "
        "protected, and allow a timely restoration",
        lambda report: [*_hosts(report), *_against_objectives(report)],
        lambda report: [
            *_untested(report)[:1],
            "whether those hosts are segregated from the source's systems is not in the ledger",
        ],
    ),
    _Kind(
        Framework.SOC2,
        "SOC 2 A1.3",
        "recovery procedures are tested against the objectives: with scenarios, with backups' integrity and "
        "completeness, and with what follows from the results",
        lambda report: [
            *_tests(report)[:1],
            *_scenarios(report),
            *_integrity(report),
            *_against_objectives(report),
            *_corrections(report),
        ],
        lambda report: [
            *_untested(report),
            *_unowned(report),
            *_unmeasured(report),
            "tests without key people, and revisions of the plan, are not in the ledger",
        ],
    ),
    _Kind(
        Framework.NIST,
        "NIST SP 800-53 CP-4",
        "the contingency plan is tested at a set frequency, results are reviewed, corrective actions begun",
        lambda report: [*_tests(report), *_scenarios(report)[:-1], *_reviews(report), *_corrections(report)],
        lambda report: [*_untested(report), *_unreviewed(report), *_unowned(report)],
    ),
)
