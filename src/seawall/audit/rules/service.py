"""What holds for the service as a whole: objectives, the way of the clients, people, and what is only declared."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.facts import ServiceFacts
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.model.fact import Unknown, known
from seawall.model.units import format_duration
from seawall.plan.diagnostics import Severity as PlanSeverity
from seawall.plan.model import Approval, Plan

_TTL_SHARE = 0.2
"""More of the RTO than this should not be spent on waiting for resolvers."""


def _objectives_missing(facts: ServiceFacts) -> Verdict:
    plan = known(facts.plan)
    objectives = plan.objectives
    return passed(
        "RTO and RPO are declared",
        evidence=[f"rto {format_duration(objectives.rto_s)}, rpo {format_duration(objectives.rpo_s)}"],
    )


def _detection_missing(facts: ServiceFacts) -> Verdict:
    detection_s = known(facts.plan).objectives.detection_s
    if detection_s > 0:
        return passed(f"{format_duration(detection_s)} of the RTO are for noticing it")
    return failed(
        "the RTO has no time for noticing the disaster: it counts from the first failed write",
        evidence=["objectives.detection is not set"],
    )


def _unattainable(facts: ServiceFacts) -> Iterator[Verdict]:
    plan = known(facts.plan)
    yield _rto_is_spent(plan)
    for cluster in facts.clusters:
        yield _rpo_out_of_reach(plan, cluster.name, has_standby=_has_standby(facts, cluster.name))


def _rto_is_spent(plan: Plan) -> Verdict:
    objectives = plan.objectives
    waits = {
        "detection": objectives.detection_s,
        "the record's TTL": plan.traffic.dns.ttl_s if plan.traffic.dns else 0.0,
        "approval": max((item.timeout_s for item in _approvals(plan).values()), default=0.0),
    }
    spent_s = sum(waits.values())
    shown = [f"{what}: {format_duration(seconds)}" for what, seconds in waits.items() if seconds]
    shown.append(f"objectives.rto: {format_duration(objectives.rto_s)}")
    if spent_s < objectives.rto_s:
        left = format_duration(objectives.rto_s - spent_s)
        return passed(f"{left} of the RTO are left for the recovery itself", evidence=shown)
    return failed("the RTO is over before a recovery begins", evidence=shown)


def _rpo_out_of_reach(plan: Plan, name: str, *, has_standby: bool | None) -> Verdict:
    rpo_s = plan.objectives.rpo_s
    timeout_s = plan.clusters[name].wal.archive_timeout_s
    shown = [
        f"objectives.rpo: {format_duration(rpo_s)}",
        f"clusters.{name}.wal.archive_timeout: {'not set' if timeout_s is None else format_duration(timeout_s)}",
    ]
    if has_standby:
        return passed(
            "a standby streams, so the RPO doesn't hang on whole segments", subject=name, evidence=shown
        )
    if timeout_s is not None and timeout_s <= rpo_s:
        return passed("segments are archived more often than the RPO", subject=name, evidence=shown)
    if has_standby is None:
        return cannot_tell(
            "whether a standby streams is unknown", "let the server answer: seawall check", subject=name
        )
    return failed(
        "the RPO can't be kept by the method that is declared: nothing leaves the server more often",
        subject=name,
        evidence=shown,
        remedy=f"clusters: {{{name}: {{wal: {{archive_timeout: {max(1, int(rpo_s))}s}}}}}}, "
        "and the same on the server; below a minute a standby",
    )


def _has_standby(facts: ServiceFacts, name: str) -> bool | None:
    for cluster in facts.clusters:
        if cluster.name == name and not isinstance(cluster.primary, Unknown):
            receivers = cluster.primary.receivers
            return None if isinstance(receivers, Unknown) else any(item.is_standby for item in receivers)
    return None


def _declared_not_active(facts: ServiceFacts) -> Verdict:
    known(facts.plan)
    idle = [item for item in facts.diagnostics if item.severity is PlanSeverity.DECLARED]
    if not idle:
        return passed("everything that the plan declares has machinery behind it")
    return failed(
        f"{len(idle)} part(s) of the plan are declared, and nothing acts on them",
        evidence=[f"line {item.line}: {item.message}" for item in idle],
    )


def _ttl(facts: ServiceFacts) -> Verdict:
    plan = known(facts.plan)
    dns = plan.traffic.dns
    if dns is None:
        return not_applicable("clients are not moved by DNS")
    share = dns.ttl_s / plan.objectives.rto_s
    shown = [f"{dns.name}: ttl {format_duration(dns.ttl_s)}, rto {format_duration(plan.objectives.rto_s)}"]
    if share <= _TTL_SHARE:
        return passed(f"the TTL is {share:.0%} of the RTO", evidence=shown)
    return failed(
        f"clients may keep the old address for {share:.0%} of the RTO",
        evidence=shown,
        remedy=f"traffic: {{dns: {{ttl: {max(1, int(plan.objectives.rto_s * _TTL_SHARE / 2))}s}}}}, "
        "and the record itself, now and not in the disaster",
    )


def _no_switch(facts: ServiceFacts) -> Verdict:
    plan = known(facts.plan)
    if plan.traffic.dns is not None:
        return passed(f"clients follow {plan.traffic.dns.name}")
    return failed(
        "the plan doesn't say how clients find the recovered server: a service is back when they write again",
        evidence=["traffic: none"],
    )


def _nobody(facts: ServiceFacts) -> Verdict:
    people = known(facts.plan).people
    if people:
        return passed(f"{len(people)} people are named", evidence=list(people))
    return failed("the plan names nobody: who decides, and who does it?", evidence=["people: none"])


def _no_contact(facts: ServiceFacts) -> Verdict:
    people = known(facts.plan).people
    silent = [name for name, person in people.items() if not person.contact]
    if not people:
        return not_applicable("the plan names nobody")
    if not silent:
        return passed("everybody can be reached")
    return failed(
        f"{', '.join(silent)} can't be reached by what the plan says",
        evidence=[f"people.{name}.contact: none" for name in silent],
    )


def _one_approver(facts: ServiceFacts) -> Iterator[Verdict]:
    plan = known(facts.plan)
    approvals = _approvals(plan)
    if not approvals:
        yield not_applicable("no action needs anybody's consent")
    for action, approval in approvals.items():
        able = len(set(approval.people))
        shown = [f"approvals.{action}: {approval.required} of {', '.join(approval.people)}"]
        if able > approval.required:
            yield passed(f"{action}: one may be away", subject=action, evidence=shown)
            continue
        yield failed(
            f"{action} needs {approval.required} of {able}: if one can't be reached, nobody may act",
            subject=action,
            evidence=shown,
        )


def _approvals(plan: Plan) -> dict[str, Approval]:
    actions = ("failover", "switchover", "failback", "recover")
    found = {action: getattr(plan.approvals, action) for action in actions}
    return {action: approval for action, approval in found.items() if approval is not None}


def _runbook(facts: ServiceFacts) -> Verdict:
    known(facts.plan)
    return cannot_tell(
        "whether people have a runbook that they can read while everything is down can't be seen",
        "print what to do, with names and commands, and keep it outside of what it recovers",
    )


_CACHES = Story(
    "The JVM may cache an address for ever; the AWS SDK for Java says so in its documentation, and every DNS "
    "failover of the last decade met clients that did.",
    "https://docs.aws.amazon.com/sdk-for-java/latest/developer-guide/jvm-ttl-dns.html",
)
_FACEBOOK = Story(
    "Facebook, October 2021: the outage took along the tools and the out-of-band network of those who had to end "
    "it, and it "
    "took time to get people into the buildings.",
    "https://engineering.fb.com/2021/10/05/networking-traffic/outage-details/",
)
_CLOUDFLARE = Story(
    "Cloudflare, November 2023: services believed to be spread over sites hung on one of them, and moving the "
    "rest took "
    "days that nobody had planned for.",
    "https://blog.cloudflare.com/post-mortem-on-cloudflare-control-plane-and-analytics-outage/",
)

RULES: tuple[Rule[ServiceFacts], ...] = (
    Rule(
        "objective-missing",
        Severity.MEDIUM,
        "No recovery objectives are declared",
        "Without RTO and RPO nobody can say whether what is there is enough, and everybody assumes it.",
        _CLOUDFLARE,
        "objectives: {rto: 15m, rpo: 5m, detection: 3m}",
        _objectives_missing,
    ),
    Rule(
        "objective-without-detection",
        Severity.LOW,
        "The RTO has no time for noticing",
        "A disaster at night is noticed when somebody's phone rings. These minutes are part of the outage.",
        Story(
            "AWS, December 2021: the monitoring was behind the failure that it should have shown.",
            "https://aws.amazon.com/message/12721/",
        ),
        "objectives: {detection: 3m}",
        _detection_missing,
    ),
    Rule(
        "objective-unattainable",
        Severity.HIGH,
        "The objectives can't be reached by what is declared",
        "The arithmetic fails already; the disaster will not be kinder.",
        _CLOUDFLARE,
        "shorten detection, TTL and approval, or promise a longer RTO",
        _unattainable,
    ),
    Rule(
        "plan-declared-not-active",
        Severity.HIGH,
        "Parts of the plan are declared, and nothing acts on them",
        "A plan that is read as protection, and is none, is worse than no plan.",
        _CLOUDFLARE,
        "seawall check lists them; take them out, or protect yourself by other means until they are active",
        _declared_not_active,
    ),
    Rule(
        "traffic-ttl-over-share",
        Severity.MEDIUM,
        "Clients keep the old address for too long",
        "After the last step clients still wait for their resolvers, and some never ask again.",
        _CACHES,
        "traffic: {dns: {ttl: 30s}}",
        _ttl,
    ),
    Rule(
        "traffic-no-switch",
        Severity.MEDIUM,
        "No way is declared by which clients move",
        "The recovered server is another address. Until clients write to it, the service is down.",
        Story(
            "Patroni issue 3298: applications went on writing to the old site after a failover, as nothing had "
            "moved them.",
            "https://github.com/patroni/patroni/issues/3298",
        ),
        "traffic: {dns: {name: db.shop.example, ttl: 30s, servers: [192.0.2.53]}}",
        _no_switch,
    ),
    Rule(
        "people-none",
        Severity.MEDIUM,
        "The plan names nobody",
        "Somebody has to decide to lose data. Finding out who, at night, costs more than the restore.",
        _FACEBOOK,
        'people: {ada: {contact: "tel:+49…"}}',
        _nobody,
    ),
    Rule(
        "people-no-contact",
        Severity.LOW,
        "People can't be reached by what the plan says",
        "The company's directory is down together with the company's site.",
        _FACEBOOK,
        'people: {NAME: {contact: "tel:+49…"}}',
        _no_contact,
    ),
    Rule(
        "people-one-approver",
        Severity.HIGH,
        "One person away blocks the recovery",
        "Somebody is ill, in an aeroplane, or is the disaster's first victim.",
        _FACEBOOK,
        "approvals: {failover: {from: [ada, grace], required: 1}}",
        _one_approver,
    ),
    Rule(
        "people-runbook",
        Severity.MEDIUM,
        "No runbook outside of what it recovers",
        "What to do must be readable when the wiki, the VPN and the single sign-on are part of the disaster.",
        _FACEBOOK,
        "print it",
        _runbook,
    ),
)
