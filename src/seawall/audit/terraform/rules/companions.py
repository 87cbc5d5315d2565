"""What a copy needs beside it: secrets and keys in its region, and alarms that say when it stops being one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seawall.audit.rule import Rule, Severity, Verdict, failed, passed
from seawall.audit.terraform.databases import INSTANCE, Replica
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import Destination, block, changed, joined, reference
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import Resource
from seawall.audit.terraform.references import Resolution
from seawall.audit.terraform.regions import Region
from seawall.audit.terraform.rules.stories import MONITORING, MULTI_REGION_KEY, SECRETS, SLOT
from seawall.model.fact import Unknown
from seawall.model.units import format_duration

_ALARM = "aws_cloudwatch_metric_alarm"
_LAG = frozenset({"ReplicaLag"})
_SLOT = frozenset({"OldestReplicationSlotLag", "TransactionLogsDiskUsage"})
_NO_REPLICA = "no instance of this file replicates another"


def _secret(facts: TerraformFacts, resource: Resource) -> Verdict | None:
    home = facts.regions.name_of(resource)
    destination = Destination(facts, home)
    if resource.type == INSTANCE:
        if not resource.flag("manage_master_user_password") or not _has_replica_elsewhere(facts, resource):
            return None
        return failed(
            "RDS keeps its password in a secret of its region, which isn't replicated: after the promotion nobody "
            "has it",
            evidence=["manage_master_user_password = true"],
            remedy="after the promotion: aws rds modify-db-instance --manage-master-user-password; until then, a login "
            "of the applications' own in a replicated secret",
        )
    regions = [item.get("region") for item in resource.blocks("replica")]
    if any(isinstance(region, str) and region != home for region in regions):
        return passed(f"it is replicated to {', '.join(str(region) for region in regions)}")
    text = changed(resource, [])[:-1] + f'  replica {{\n    region = "{destination.region}"\n  }}\n}}'
    return failed(
        f"it is in {home} only: what needs it elsewhere can't start",
        evidence=[f"{resource.address}: {home}", "replica: none"],
        remedy=text,
    )


def _has_replica_elsewhere(facts: TerraformFacts, source: Resource) -> bool:
    home = facts.regions.name_of(source)
    return any(
        isinstance(item.region, Region) and item.region.name != home for item in facts.replicas_of(source)
    )


def _secrets(facts: TerraformFacts) -> Iterator[Resource]:
    """Secrets, where there is a database that may need them; and instances whose password RDS keeps."""
    if facts.sources:
        yield from facts.stack.of_type("aws_secretsmanager_secret")
        yield from (item for item in facts.sources if item.type == INSTANCE)


def _key(facts: TerraformFacts, key: Resource) -> Verdict | None:
    home = facts.regions.name_of(key)
    used_by = [item.address for item, found in _encrypted(facts) if key in found.resources]
    if not used_by or home not in _homes(facts):
        return None
    copies = [
        item.address
        for item in facts.stack.of_type("aws_kms_replica_key")
        if key in facts.references.resolve(item, "primary_key_arn").resources
    ]
    if copies:
        return passed("it has a replica", evidence=copies)
    others = [item for item in facts.stack.of_type("aws_kms_key") if _is_elsewhere(facts, item, home)]
    if others:
        return passed(f"{others[0].address} is there for the other region")
    destination = Destination(facts, home)
    arguments = [("provider", destination.provider_name), ("primary_key_arn", f"{key.hcl}.arn")]
    return failed(
        f"what it encrypts can be opened in {home} only: no other region has a key for the copies",
        evidence=[f"{key.address}: {home}", *(f"used by {address}" for address in used_by)],
        remedy=joined(
            destination.blocks(),
            changed(
                key, [("multi_region", "true")], note="a new key: existing ones can't become multi-region"
            ),
            block("resource", ("aws_kms_replica_key", key.name), arguments),
        ),
    )


def _homes(facts: TerraformFacts) -> set[str]:
    regions = [facts.regions.of(item) for item in facts.sources]
    return {region.name for region in regions if isinstance(region, Region)}


def _encrypted(facts: TerraformFacts) -> Iterator[tuple[Resource, Resolution]]:
    for item in (*facts.sources, *facts.stack.of_type("aws_secretsmanager_secret")):
        yield item, facts.references.resolve(item, "kms_key_id")


def _is_elsewhere(facts: TerraformFacts, item: Resource, home: str) -> bool:
    region = facts.regions.of(item)
    return isinstance(region, Region) and region.name != home


def _lag_alarm(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    if replica.resource.type != INSTANCE:
        return None
    alarms = _alarms_on(facts, replica.resource, _LAG)
    if not alarms:
        return failed(
            "nobody is told when it falls behind or stops: its lag is what a disaster loses",
            evidence=[f"no {_ALARM} on ReplicaLag of it"],
            remedy=_alarm(facts, replica.resource, "ReplicaLag"),
        )
    alarm = alarms[0]
    if not alarm.values.get("alarm_actions"):
        return failed(
            f"{alarm.address} watches its lag and tells nobody",
            evidence=["alarm_actions: none"],
            remedy=changed(alarm, [("alarm_actions", "[aws_sns_topic.oncall.arn]")]),
        )
    return _compared_with_rpo(facts, alarm)


def _compared_with_rpo(facts: TerraformFacts, alarm: Resource) -> Verdict:
    objectives = facts.objectives
    threshold_s = alarm.number("threshold")
    shown = [f"{alarm.address}: threshold {threshold_s:g} s"]
    if isinstance(objectives, Unknown) or threshold_s <= objectives.rpo_s:
        return passed("its lag is watched", evidence=shown)
    return failed(
        f"its lag may be {threshold_s:g} s before anybody is told, and the RPO is "
        f"{format_duration(objectives.rpo_s)}",
        evidence=[*shown, f"objectives.rpo: {format_duration(objectives.rpo_s)}"],
        remedy=changed(alarm, [("threshold", f"{max(1.0, objectives.rpo_s / 2):.0f}")]),
    )


def _slot_alarm(facts: TerraformFacts, source: Resource) -> Verdict | None:
    if source.type != INSTANCE or not _has_replica_elsewhere(facts, source):
        return None
    if _alarms_on(facts, source, _SLOT):
        return passed("what its replica's slot holds back is watched")
    return failed(
        "nobody is told when the slot of its replica fills its storage: then the replica's trouble stops the primary",
        evidence=[f"no {_ALARM} on {' or '.join(sorted(_SLOT))} of it"],
        remedy=_alarm(facts, source, "OldestReplicationSlotLag"),
    )


def _alarms_on(facts: TerraformFacts, database: Resource, metrics: frozenset[str]) -> list[Resource]:
    return [
        alarm
        for alarm in facts.stack.of_type(_ALARM)
        if _metrics_of(alarm.values) & metrics
        and (database in _watched(facts, alarm) or _names(alarm, database))
    ]


def _metrics_of(value: object, depth: int = 0) -> set[str]:
    """Return the metrics of an alarm, those inside of metric queries too."""
    if isinstance(value, Mapping) and depth < 5:
        own = value.get("metric_name")
        inner = [
            _metrics_of(item, depth + 1) for name, item in value.items() if name in ("metric_query", "metric")
        ]
        return {own, *set().union(*inner)} if isinstance(own, str) else set().union(*inner)
    if isinstance(value, list) and depth < 5:
        return set().union(*(_metrics_of(item, depth + 1) for item in value))
    return set()


def _watched(facts: TerraformFacts, alarm: Resource) -> set[Resource]:
    return {
        *facts.references.resolve(alarm, "dimensions").resources,
        *facts.references.resolve_block(alarm, "metric_query", "metric").resources,
    }


def _names(alarm: Resource, database: Resource) -> bool:
    name = database.values.get("identifier")
    dimensions = alarm.values.get("dimensions")
    return (
        isinstance(name, str)
        and isinstance(dimensions, Mapping)
        and dimensions.get("DBInstanceIdentifier") == name
    )


def _alarm(facts: TerraformFacts, database: Resource, metric: str) -> str:
    region = facts.regions.of(database)
    unit = {"ReplicaLag": ("60", "seconds"), "OldestReplicationSlotLag": ("10737418240", "bytes, 10 GiB")}[
        metric
    ]
    objectives = facts.objectives
    threshold = unit[0]
    if metric == "ReplicaLag" and not isinstance(objectives, Unknown):
        threshold = f"{max(1.0, objectives.rpo_s / 2):.0f}"
    provider = facts.stack.providers.get(database.provider_key)
    identifier = reference(database, "identifier", seen_from=database)
    arguments = [
        *([("provider", provider.hcl)] if provider is not None and provider.alias else []),
        ("alarm_name", f'"{database.name}-{metric}"'),
        ("namespace", '"AWS/RDS"'),
        ("metric_name", f'"{metric}"'),
        ("dimensions", f"{{\n    DBInstanceIdentifier = {identifier}\n  }}"),
        ("statistic", '"Maximum"'),
        ("period", "60"),
        ("evaluation_periods", "5"),
        ("comparison_operator", '"GreaterThanThreshold"'),
        ("threshold", f"{threshold}  # {unit[1]}"),
        ("treat_missing_data", '"breaching"'),
        ("alarm_actions", "[aws_sns_topic.oncall.arn]"),
    ]
    note = f"in {region.name}" if isinstance(region, Region) else ""
    return block("resource", (_ALARM, f"{database.name}_{metric.lower()}"), arguments, note=note)


def _keys(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.stack.of_type("aws_kms_key")


def _replicas(facts: TerraformFacts) -> tuple[Replica, ...]:
    return facts.replicas


def _sources(facts: TerraformFacts) -> tuple[Resource, ...]:
    return facts.sources


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-secret-not-replicated",
        Severity.MEDIUM,
        "A secret is in one region only",
        "The database is there, and the applications can't log in: their secret was in the region that is gone. The "
        "endpoint in it is the old one as well.",
        SECRETS,
        'resource "aws_secretsmanager_secret" "db" {\n  replica {\n    region = "eu-central-1"\n  }\n}',
        for_each(_secrets, _secret, none="there is no secret in this file that a database needs"),
    ),
    Rule(
        "tf-key-not-replicated",
        Severity.MEDIUM,
        "No other region has a key for the copies",
        "Keys are made in advance or not at all: creating one needs the same control plane that everybody hits then.",
        MULTI_REGION_KEY,
        'resource "aws_kms_replica_key" "db" {\n  provider        = aws.dr\n  primary_key_arn = aws_kms_key.db.arn\n}',
        for_each(_keys, _key, none="no key of this file encrypts a database"),
    ),
    Rule(
        "tf-no-lag-alarm",
        Severity.MEDIUM,
        "Nobody is told when a replica falls behind",
        "A replica that stopped three weeks ago looks like one that runs, until it is promoted. CloudWatch says "
        "ReplicaLag; somebody has to hear it.",
        MONITORING,
        'resource "aws_cloudwatch_metric_alarm" "lag" {\n  metric_name = "ReplicaLag"\n}',
        for_each(_replicas, _lag_alarm, none=_NO_REPLICA),
    ),
    Rule(
        "tf-no-slot-alarm",
        Severity.MEDIUM,
        "Nobody is told when a replica's slot fills the primary's storage",
        "A replica in another region holds a replication slot. While it is away WAL stays on the primary, until its "
        "storage is full and it stops.",
        SLOT,
        'resource "aws_cloudwatch_metric_alarm" "slot" {\n  metric_name = "OldestReplicationSlotLag"\n}',
        for_each(_sources, _slot_alarm, none="no database of this file has a replica in another region"),
    ),
)
