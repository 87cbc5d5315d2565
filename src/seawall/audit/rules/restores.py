"""Has anybody tried: drills, what they measured, and what they would have to find out."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from seawall.audit.facts import ClusterFacts, LastDrill
from seawall.audit.rule import Rule, Severity, Story, Verdict, failed, not_applicable, passed
from seawall.model.fact import Unknown, known
from seawall.model.units import format_duration
from seawall.plan.crosscheck.schedules import starts_of

_QUARTER = timedelta(days=92)
_GRACE = timedelta(days=2)


def _never(facts: ClusterFacts) -> Verdict:
    drill = known(facts.restore_drill)
    if drill is None:
        return failed(
            "nobody has ever restored this cluster, as far as any record shows: its backups are a hope",
            evidence=["no drill in any ledger"],
        )
    return passed("it was restored before", evidence=_shown(facts, drill))


def _failed(facts: ClusterFacts) -> Verdict:
    drill = known(facts.restore_drill)
    if drill is None:
        return not_applicable("there was no drill")
    if drill.is_ok:
        return passed("the last drill went well", evidence=_shown(facts, drill))
    return failed(
        "the last drill failed, and none has gone well since",
        evidence=[*_shown(facts, drill), *([drill.failure] if drill.failure else [])],
    )


def _old(facts: ClusterFacts) -> Verdict:
    drill = known(facts.restore_drill)
    if drill is None:
        return not_applicable("there was no drill")
    limit = _wanted_interval(facts)
    age = facts.now - drill.ended_at
    if age <= limit:
        return passed(f"the last drill was {format_duration(age.total_seconds())} ago")
    return failed(
        f"the last drill was {format_duration(age.total_seconds())} ago; "
        f"wanted is one every {format_duration(limit.total_seconds())}",
        evidence=_shown(facts, drill),
    )


def _wanted_interval(facts: ClusterFacts) -> timedelta:
    """Return how often the plan wants a drill, a quarter where it doesn't say."""
    plan = facts.plan
    wanted = None if isinstance(plan, Unknown) else plan.drills.restore
    if wanted is None:
        return _QUARTER
    if wanted.remind_s is not None:
        return timedelta(seconds=wanted.remind_s)
    times = starts_of(wanted.schedule) if wanted.schedule else []
    pauses = [after - before for before, after in pairwise(times)]
    return max(pauses) + _GRACE if pauses else _QUARTER


def _without_checks(facts: ClusterFacts) -> Verdict:
    plan = known(facts.plan)
    asked = [check.name for check in plan.checks if check.sql and check.cluster in (None, facts.name)]
    if asked:
        return passed(f"{len(asked)} check(s) ask a restored copy about its data", evidence=asked)
    return failed(
        "no check asks a restored copy about its data: a server that starts may be empty",
        evidence=["checks: none with sql for this cluster"],
    )


def _contradicted(facts: ClusterFacts) -> Verdict:
    objectives = known(facts.plan).objectives
    drill = known(facts.restore_drill)
    if drill is None or not drill.is_ok or drill.rto_s is None:
        return not_applicable("no drill measured anything")
    total_s = drill.rto_s + objectives.detection_s
    shown = [
        f"measured {format_duration(drill.rto_s)} + detection {format_duration(objectives.detection_s)} "
        f"= {format_duration(total_s)}; objectives.rto = {format_duration(objectives.rto_s)}"
    ]
    if drill.rpo_s is not None:
        shown.append(
            f"lost {format_duration(drill.rpo_s)}; objectives.rpo = {format_duration(objectives.rpo_s)}"
        )
    if total_s > objectives.rto_s:
        return failed("the last drill took longer than the RTO allows", evidence=shown)
    if drill.rpo_s is not None and drill.rpo_s > objectives.rpo_s:
        return failed("the last drill lost more than the RPO allows", evidence=shown)
    return passed("the last drill kept the objectives", evidence=shown)


def _never_measured(facts: ClusterFacts) -> Verdict:
    known(facts.plan)
    drill = known(facts.restore_drill)
    if drill is not None and drill.is_ok and drill.rto_s is not None:
        return passed(f"a drill measured {format_duration(drill.rto_s)}")
    return failed(
        "RTO and RPO are promised, and nothing has ever measured them", evidence=["no successful drill"]
    )


def _shown(facts: ClusterFacts, drill: LastDrill) -> list[str]:
    age = format_duration((facts.now - drill.ended_at).total_seconds())
    result = "went well" if drill.is_ok else "failed"
    measured = "" if drill.rto_s is None else f", {format_duration(drill.rto_s)}"
    return [f"last drill: {drill.ended_at:%Y-%m-%d %H:%M} UTC ({age} ago), {result}{measured}"]


_GITLAB = Story(
    "GitLab, January 2017: backups were configured in five ways, and nobody had tried to restore any. When they were "
    "needed, none worked as meant.",
    "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
)
_MEASURE = "seawall drill restore   # isolated, changes nothing on the server, and measures every phase"

RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "restore-never-tested",
        Severity.HIGH,
        "No restore was ever tried",
        "A restore that nobody has tried is a hope. Missing files, keys, WAL, extensions and rights show at the "
        "first try.",
        _GITLAB,
        _MEASURE,
        _never,
    ),
    Rule(
        "restore-test-failed",
        Severity.CRITICAL,
        "The last drill failed",
        "What failed in the drill fails in the disaster.",
        Story(
            "databasement issue 550: restores were reported as successful although they had failed.",
            "https://github.com/David-Crty/databasement/issues/550",
        ),
        "seawall drill show; repair what it names, then: seawall drill restore",
        _failed,
    ),
    Rule(
        "restore-test-old",
        Severity.MEDIUM,
        "The last drill is too long ago",
        "Data grows, versions change, people leave. What worked then is no proof for today.",
        _GITLAB,
        _MEASURE,
        _old,
    ),
    Rule(
        "restore-without-checks",
        Severity.MEDIUM,
        "A restored copy is not asked about its data",
        "Servers start on half of their data, and answer. Only a question whose answer is known shows what is missing.",
        Story(
            "Velero issues 9433, 7496 and 4207: restores that were green, of volumes that were empty or lacked tables.",
            "https://github.com/vmware-tanzu/velero/issues/9433",
        ),
        "checks: [{name: orders are fresh, database: shop, sql: \"select max(at) > :recovered_to - interval '1h' "
        'from orders"}]',
        _without_checks,
    ),
    Rule(
        "objective-never-measured",
        Severity.HIGH,
        "RTO and RPO were never measured",
        "An objective without a measurement is a wish with a number.",
        Story(
            "GitLab's restore of 2017 took 18 hours because the copy went over a slow disk: nobody had measured "
            "it before.",
            "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
        ),
        _MEASURE,
        _never_measured,
    ),
    Rule(
        "objective-contradicted",
        Severity.HIGH,
        "A measurement contradicts the objectives",
        "What is promised was tried, and did not hold.",
        Story(
            "GitHub, October 2018: backups existed and could be restored, but restoring terabytes took hours "
            "longer than "
            "anybody had planned for.",
            "https://github.blog/2018-10-30-oct21-post-incident-analysis/",
        ),
        "recover faster (a standby, more frequent backups, a faster store), or promise a longer RTO",
        _contradicted,
    ),
)
