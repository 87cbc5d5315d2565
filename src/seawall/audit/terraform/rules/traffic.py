"""How clients get to the other region: a record that can point there, a check that says when, a TTL that lets go."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.rule import Rule, Severity, Verdict, failed, not_applicable, passed
from seawall.audit.terraform.databases import CLUSTER, INSTANCE, MEMBER
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import block, changed, quoted, reference
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import Resource
from seawall.audit.terraform.rules.stories import CACHES, HEALTH_CHECK, US_EAST_1
from seawall.model.fact import Unknown
from seawall.model.units import format_duration

_RECORD = "aws_route53_record"
_TTL_SHARE = 0.2
_TTL_WITHOUT_OBJECTIVES_S = 60
_POLICIES = tuple(
    f"{kind}_routing_policy"
    for kind in ("failover", "weighted", "latency", "geolocation", "geoproximity", "multivalue_answer")
)


def _no_record(facts: TerraformFacts) -> Iterator[Verdict]:
    if not facts.sources:
        yield not_applicable("there is no PostgreSQL database in this file")
        return
    records = list(_records(facts))
    roles = [role for record in records for role in _roles(record)]
    if {"PRIMARY", "SECONDARY"} <= set(roles):
        yield passed(
            "a failover record has a second target",
            evidence=[item.address for item in records if _roles(item)],
        )
        return
    routed = [item for item in records if any(item.values.get(policy) for policy in _POLICIES)]
    if len({item.values.get("set_identifier") for item in routed if item.values.get("set_identifier")}) > 1:
        yield passed("a record has targets to choose from", evidence=[item.address for item in routed])
        return
    simple = [item for item in records if _points_at_database(facts, item)]
    yield failed(
        f"{simple[0].address} has one target, and no second to fail over to"
        if simple
        else "no record of this file leads clients to a second target: they know the database by its own endpoint",
        subject=simple[0].address if simple else "",
        evidence=[f"{len(records)} record(s), {len(routed)} with a routing policy"],
        remedy=_failover_records(facts),
    )


def _failover_records(facts: TerraformFacts) -> str:
    source = facts.sources[0]
    replicas = facts.replicas_of(source)
    second = (
        reference(replicas[0].resource, "address", seen_from=source)
        if replicas
        else "aws_db_instance.dr.address"
    )
    attribute = "address" if source.type == INSTANCE else "endpoint"
    blocks = []
    for role, name, target in (
        ("PRIMARY", "primary", f"{source.hcl}.{attribute}"),
        ("SECONDARY", "secondary", second),
    ):
        arguments = [
            ("zone_id", "aws_route53_zone.internal.zone_id"),
            ("name", '"db"'),
            ("type", '"CNAME"'),
            ("ttl", "30"),
            ("records", f"[{target}]"),
            ("set_identifier", quoted(name)),
        ]
        if role == "PRIMARY":
            arguments.append(("health_check_id", "aws_route53_health_check.primary.id"))
        text = block("resource", (_RECORD, f"db_{name}"), arguments)[:-1]
        blocks.append(f'{text}  failover_routing_policy {{\n    type = "{role}"\n  }}\n}}')
    return "\n".join(blocks)


def _roles(record: Resource) -> list[str]:
    value = record.values.get("failover_routing_policy")
    found = [item.get("type") for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return [role for role in found if isinstance(role, str)]


def _points_at_database(facts: TerraformFacts, record: Resource) -> bool:
    found = facts.references.resolve(record, "records")
    if any(item.type in (INSTANCE, CLUSTER, MEMBER) for item in found.resources):
        return True
    values = record.values.get("records")
    return isinstance(values, list) and any(
        isinstance(item, str) and ".rds.amazonaws.com" in item for item in values
    )


def _unchecked(facts: TerraformFacts, record: Resource) -> Verdict | None:
    if "PRIMARY" not in _roles(record):
        return None
    aliases = record.blocks("alias")
    if any(item.get("evaluate_target_health") is True for item in aliases):
        return passed("its alias asks for its target's health")
    if record.is_configured("health_check_id") is not False and record.values.get("health_check_id"):
        return passed("it has a health check")
    return failed(
        "it is the primary of a failover and has no health check: Route 53 takes it for healthy, always",
        evidence=["health_check_id: not set"],
        remedy=changed(record, [("health_check_id", "aws_route53_health_check.primary.id")]),
    )


def _ttl(facts: TerraformFacts, record: Resource) -> Verdict | None:
    ttl_s = record.number("ttl")
    if ttl_s <= 0:
        return None  # an alias: its target's
    objectives = facts.objectives
    shown = [f"ttl = {ttl_s:g}"]
    if isinstance(objectives, Unknown):
        limit_s, what = float(_TTL_WITHOUT_OBJECTIVES_S), "a minute is much of any RTO"
    else:
        limit_s = objectives.rto_s * _TTL_SHARE
        what = f"the RTO is {format_duration(objectives.rto_s)}, a fifth of it {format_duration(limit_s)}"
        shown.append(f"objectives.rto: {format_duration(objectives.rto_s)}")
    if ttl_s <= limit_s:
        return passed(f"clients ask again after {ttl_s:g} s", evidence=shown)
    return failed(
        f"clients may keep the old address for {format_duration(ttl_s)}: {what}",
        evidence=shown,
        remedy=changed(record, [("ttl", f"{max(1.0, min(30.0, limit_s / 2)):.0f}")]),
    )


def _records(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.stack.of_type(_RECORD)


def _of_databases(facts: TerraformFacts) -> Iterator[Resource]:
    """Records that lead to a database, or may fail over to another one."""
    return (item for item in _records(facts) if _points_at_database(facts, item) or _roles(item))


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-no-failover-record",
        Severity.MEDIUM,
        "No DNS record leads to the second region",
        "A promoted replica keeps its own endpoint. Changing a record on the day needs Route 53's control plane, "
        "which is in us-east-1; health checks and the records that depend on them work without it.",
        US_EAST_1,
        'resource "aws_route53_record" "db_secondary" {\n  failover_routing_policy {\n    type = "SECONDARY"\n  }\n}',
        _no_record,
    ),
    Rule(
        "tf-failover-without-health-check",
        Severity.HIGH,
        "A failover record has no health check",
        "Without a check the primary record is healthy by definition, and the secondary is never answered.",
        HEALTH_CHECK,
        'resource "aws_route53_record" "db_primary" {\n  health_check_id = aws_route53_health_check.primary.id\n}',
        for_each(_records, _unchecked, none="no record of this file is the primary of a failover"),
    ),
    Rule(
        "tf-dns-ttl",
        Severity.MEDIUM,
        "Clients keep a database's address for too long",
        "After the last step clients still wait for their resolvers. A TTL is a part of the RTO that nobody can "
        "shorten on the day.",
        CACHES,
        'resource "aws_route53_record" "db" {\n  ttl = 30\n}',
        for_each(_of_databases, _ttl, none="no record of this file leads to a database"),
    ),
)
