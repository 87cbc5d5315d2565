"""What is *not* proven: everything that the plan or the ledger knows of, and no believable drill of the period passed.

Pure. Silence would read as "all is well", so each gap is a line of its own, with when it was last proven, if ever.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from seawall.evidence.model import Assertion, AssertionOutcome, plan_hash
from seawall.plan.model import CheckWhen, Plan
from seawall.reporting.history import Drill, MomentKind
from seawall.reporting.period import Period
from seawall.reporting.sources import planned_sources

_ROWS = "rows "


class GapKind(enum.StrEnum):
    """What kind of thing is not proven."""

    CLUSTER = "cluster"
    REPOSITORY = "repository"
    SOURCE = "source"
    DATABASE = "database"
    CHECK = "check"
    MOMENT = "moment"
    OBJECTIVE = "objective"
    PLAN = "plan"


class Gap(NamedTuple):
    """One thing that nothing in the period proves."""

    kind: GapKind
    subject: str
    text: str


def find_gaps_in_proof(plan: Plan | None, drills: Sequence[Drill], period: Period) -> tuple[Gap, ...]:
    """Return what is not proven, the gravest kinds first. ``drills`` are all that the ledger knows."""
    held = [drill for drill in drills if drill.at in period]
    found: list[Gap] = []
    known = dict.fromkeys(drill.source.cluster for drill in drills if drill.at < period.ends_at)
    clusters = dict.fromkeys([*(plan.clusters if plan is not None else ()), *known])
    for cluster in clusters:
        found += _of_cluster(cluster, [drill for drill in drills if drill.source.cluster == cluster], period)
    if plan is not None:
        found += _of_repositories(plan, drills, period)
        found += _of_checks(plan, held)
        found += _of_plan(plan, held)
    found += _of_databases(plan, drills, period)
    found += _of_other_sources(plan, drills, period)
    order = list(GapKind)
    return tuple(sorted(found, key=lambda gap: order.index(gap.kind)))


def _of_cluster(cluster: str, drills: Sequence[Drill], period: Period) -> Iterator[Gap]:
    name = cluster or "(no cluster named)"
    passed = [drill for drill in drills if drill.passed and drill.at in period]
    if not passed:
        yield Gap(GapKind.CLUSTER, name, f"no drill of it passed in the period; {_last(drills, period)}")
    else:
        kinds = {drill.moment for drill in passed}
        if MomentKind.LATEST not in kinds:
            yield Gap(GapKind.MOMENT, name, "a restore to the latest moment: none passed in the period")
        if not kinds - {MomentKind.LATEST}:
            yield Gap(
                GapKind.MOMENT,
                name,
                "a restore to an earlier moment: every drill that passed went to the latest one",
            )
    held = [drill for drill in drills if drill.at in period and drill.counts]
    for label, measured in (
        ("RTO", any(drill.evidence.rto.reached_ms is not None for drill in held)),
        ("RPO", any(drill.evidence.rpo.reached_ms is not None for drill in held)),
    ):
        if not measured:
            yield Gap(GapKind.OBJECTIVE, name, f"the {label} was not measured in the period")


def _of_repositories(plan: Plan, drills: Sequence[Drill], period: Period) -> Iterator[Gap]:
    for source, name in planned_sources(plan).items():
        own = [drill for drill in drills if drill.source == source]
        if not any(drill.passed and drill.at in period for drill in own):
            yield Gap(
                GapKind.REPOSITORY,
                f"{source.cluster} from {name}",
                f"no restore from it passed in the period; {_last(own, period)}",
            )


def _of_other_sources(plan: Plan | None, drills: Sequence[Drill], period: Period) -> Iterator[Gap]:
    """Yield the sources that were drilled once and not in this period, beyond the plan's repositories."""
    planned = planned_sources(plan)
    known = dict.fromkeys(drill.source for drill in drills if drill.at < period.ends_at)
    for source in known:
        own = [drill for drill in drills if drill.source == source]
        if source not in planned and not any(drill.passed and drill.at in period for drill in own):
            subject = f"{source.cluster} from {source.words}" if source.cluster else source.words
            yield Gap(GapKind.SOURCE, subject, f"no drill of it passed in the period; {_last(own, period)}")


def _of_checks(plan: Plan, held: Sequence[Drill]) -> Iterator[Gap]:
    """Yield the plan's checks that held in no drill of the period."""
    proven = {item.name for drill in held if drill.counts for item in held_in(drill)}
    for check in plan.checks:
        if check.when is CheckWhen.RECOVERY:
            yield Gap(GapKind.CHECK, check.name, "it is asked in real recoveries alone, and never in a drill")
        elif not proven & {check.name, f"check: {check.name}"}:
            yield Gap(GapKind.CHECK, check.name, "it held in no drill of the period")


def _of_databases(plan: Plan | None, drills: Sequence[Drill], period: Period) -> Iterator[Gap]:
    """Yield the databases that a check names, or that came back once, and that nothing in the period speaks of."""
    named = (
        {check.database: check.name for check in plan.checks if check.database} if plan is not None else {}
    )
    checked = {
        check.database
        for check in (plan.checks if plan is not None else ())
        for drill in drills
        if drill.at in period and drill.counts
        for item in held_in(drill)
        if item.name == f"check: {check.name}"
    }
    seen: dict[str, Drill] = {}
    for drill in sorted(drills, key=lambda drill: drill.at):
        if drill.counts and drill.at < period.ends_at:
            seen.update(dict.fromkeys(databases_of(drill), drill))
    for database in dict.fromkeys([*named, *seen]):
        last = seen.get(database)
        if database in checked or (last is not None and last.at in period):
            continue
        text = "no assertion about it held in a drill of the period"
        if last is not None:
            text += f"; its tables last came back on {period.day_of(last.at)} (entry {last.number})"
        yield Gap(GapKind.DATABASE, database, text)


def held_in(drill: Drill) -> Iterator[Assertion]:
    """Yield the assertions of a drill that held."""
    return (
        item
        for item in drill.evidence.assertions
        if item.outcome in (AssertionOutcome.PASSED, AssertionOutcome.SLOW)
    )


def databases_of(drill: Drill) -> set[str]:
    """Return the databases whose tables came back as they should, by the figures that :mod:`seawall.drill` records
    (``rows DATABASE.SCHEMA.TABLE``)."""
    return {
        name.removeprefix(_ROWS).partition(".")[0]
        for item in held_in(drill)
        for name in item.figures
        if name.startswith(_ROWS) and "." in name
    }


def _of_plan(plan: Plan, held: Sequence[Drill]) -> Iterator[Gap]:
    now = plan_hash(plan.text)
    passed = [drill for drill in held if drill.passed]
    if passed and not any(drill.evidence.plan_sha256 == now for drill in passed):
        yield Gap(
            GapKind.PLAN,
            plan.service,
            f"no drill that passed was held under the plan as it is now (SHA-256 {now[:16]}…)",
        )


def _last(drills: Sequence[Drill], period: Period) -> str:
    """Say when it was last proven; what came after the period can't help it."""
    earlier = [drill for drill in drills if drill.at < period.begins_at]
    passed = [drill for drill in earlier if drill.passed]
    tried = [drill for drill in drills if drill.at in period]
    if tried:
        attempt = f"{len(tried)} did not" if len(tried) > 1 else "one was held and did not"
    elif not earlier:
        return "it was never tested"
    else:
        attempt = "none was held"
    if passed:
        newest = max(passed, key=lambda drill: drill.at)
        return f"{attempt}; one last passed on {period.day_of(newest.at)} (entry {newest.number})"
    return f"{attempt}, and none before it passed"
