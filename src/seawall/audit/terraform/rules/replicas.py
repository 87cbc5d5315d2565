"""Replicas that are to survive a region: are they elsewhere, and do they name their source so that it is found?"""

from __future__ import annotations

from seawall.audit.rule import Rule, Severity, Verdict, cannot_tell, failed, passed
from seawall.audit.terraform.databases import (
    CLUSTER,
    INSTANCE,
    Replica,
    SourceForm,
    intent_of,
    may_be_encrypted,
)
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import (
    Argument,
    changed,
    destination_of,
    joined,
    key_in,
    quoted,
    reference,
    subnet_group_in,
)
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.regions import Region
from seawall.audit.terraform.rules.stories import IDENTIFIER, SOURCE_BY_NAME, US_EAST_1
from seawall.model.fact import FactUnknown, known

NO_REPLICA = "no database of this file replicates another"
_ARGUMENT = {INSTANCE: "replicate_source_db", CLUSTER: "replication_source_identifier"}


def _same_region(facts: TerraformFacts, replica: Replica) -> Verdict:
    region = known(replica.region).name
    shown = list(replica.shown_regions)
    if replica.is_cross_region:
        return passed(f"it is in {region}, its source is not", evidence=shown)
    others = [other for other in _siblings(facts, replica) if _is_elsewhere(other)]
    signs = intent_of(replica)
    if others and not signs:
        return passed(f"it serves its own region; {others[0].address} is the one elsewhere", evidence=shown)
    text = f"it is in {region}, as its source is: losing {region} loses both"
    if not others:
        text += ", and nothing in this file replicates the source elsewhere"
    return failed(
        text,
        evidence=[*shown, *signs],
        severity=None if others else Severity.CRITICAL,
        remedy=_moved(facts, replica),
    )


def _siblings(facts: TerraformFacts, replica: Replica) -> list[Replica]:
    if replica.source is None:
        return []
    return [other for other in facts.replicas_of(replica.source) if other is not replica]


def _is_elsewhere(replica: Replica) -> bool:
    try:
        return replica.is_cross_region
    except FactUnknown:
        return False


def _moved(facts: TerraformFacts, replica: Replica) -> str:
    """Return the block of a replica in another region, with all that it needs there."""
    destination, resource = destination_of(facts, replica), replica.resource
    source = replica.source
    name = resource.values.get("identifier" if resource.type == INSTANCE else "cluster_identifier")
    identifier = (
        f"{name}-{destination.region}" if isinstance(name, str) else f"{resource.name}-{destination.region}"
    )
    arguments: list[Argument] = [("provider", destination.provider_name)]
    arguments.append(
        ("identifier" if resource.type == INSTANCE else "cluster_identifier", quoted(identifier))
    )
    if source is not None:
        arguments.append((_ARGUMENT[resource.type], reference(source, "arn", seen_from=resource)))
    key, key_blocks = key_in(destination, resource)
    group, group_blocks = subnet_group_in(destination, resource)
    if source is None or may_be_encrypted(source):
        arguments.append(("kms_key_id", key))
    else:
        key_blocks = []
    arguments.append(("db_subnet_group_name", group))
    if resource.values.get("availability_zone") and resource.is_configured("availability_zone") is not False:
        arguments.append(("availability_zone", f'"{destination.region}a"  # or leave it out'))
    return joined(destination.blocks(), key_blocks, group_blocks, changed(resource, arguments))


def _source_not_arn(facts: TerraformFacts, replica: Replica) -> Verdict:
    shown = [f"{_ARGUMENT[replica.resource.type]} = {replica.written}", *replica.shown_regions]
    if replica.form is SourceForm.ARN:
        return passed("it names its source by ARN", evidence=shown[:1])
    if replica.form is SourceForm.UNKNOWN:
        return cannot_tell(
            f"how it names its source is not in the file: {replica.written}",
            "a reference to the source's arn, or its state after terraform apply",
        )
    is_certain = isinstance(replica.region, Region) and isinstance(replica.source_region, Region)
    signs = intent_of(replica)
    if is_certain and not replica.is_cross_region and not signs:
        return passed("in its source's own region a name is enough", evidence=shown)
    if not is_certain and not signs:
        known(replica.region), known(replica.source_region)
    way = {
        SourceForm.NAME: "by its name, which means another database, or none, in the replica's region",
        SourceForm.RESOURCE_ID: "by its id, which is the internal resource id (db-…) and no name of a database",
    }[replica.form]
    source = replica.source
    arn = (
        reference(source, "arn", seen_from=replica.resource)
        if source
        else '"arn:aws:rds:REGION:ACCOUNT:db:NAME"'
    )
    return failed(
        f"it names its source {way}; across regions only the ARN is understood",
        evidence=[*shown, *signs],
        remedy=changed(replica.resource, [(_ARGUMENT[replica.resource.type], arn)]),
    )


def _identifier(facts: TerraformFacts, replica: Replica) -> Verdict:
    resource, source = replica.resource, replica.source
    argument = "identifier" if resource.type == INSTANCE else "cluster_identifier"
    proposed = quoted(f"{source.values.get(argument) or source.name}-replica" if source else "shop-replica")
    remedy = changed(resource, [(argument, proposed)])
    if resource.is_configured(argument) is False or _is_generated(resource.values.get(argument)):
        prefix = resource.is_configured(f"{argument}_prefix")
        return failed(
            f"it has no {argument}: its name is made up when it is created, and no runbook or alarm can hold it",
            evidence=[f"{argument} is not set" + (", only a prefix" if prefix else "")],
            remedy=remedy,
            severity=Severity.LOW if prefix else None,
        )
    own = resource.text(argument)
    if source is None or source.is_configured(argument) is False or source.text(argument) != own:
        return passed(f"it is called {own}, and its source is not" if own else "it has a name of its own")
    clash = not replica.is_cross_region
    return failed(
        f"it is called {own}, as its source is: "
        + ("in one region the apply fails" if clash else "in two regions nobody can tell them apart"),
        evidence=[f"{resource.address}: {argument} = {own}", f"{source.address}: {argument} = {own}"],
        severity=Severity.HIGH if clash else None,
        remedy=remedy,
    )


def _is_generated(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("terraform-", "tf-"))


def _all(facts: TerraformFacts) -> tuple[Replica, ...]:
    return facts.replicas


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-replica-same-region",
        Severity.HIGH,
        "A replica is in its source's own region",
        "A replica is in the region of its provider, whatever it is called. One that shares the region of its source "
        "survives the loss of a server, and not that of the region.",
        US_EAST_1,
        'resource "aws_db_instance" "replica" {\n  provider = aws.dr  # a provider block with another region\n}',
        for_each(_all, _same_region, none=NO_REPLICA),
    ),
    Rule(
        "tf-replica-source-not-arn",
        Severity.HIGH,
        "A replica for another region names its source by a name",
        "Names of databases are unique in a region. The replica's region doesn't know its source's, so the apply "
        "fails, or a database of the same name is replicated.",
        SOURCE_BY_NAME,
        'resource "aws_db_instance" "replica" {\n  replicate_source_db = aws_db_instance.primary.arn\n}',
        for_each(_all, _source_not_arn, none=NO_REPLICA),
    ),
    Rule(
        "tf-replica-identifier",
        Severity.MEDIUM,
        "A replica has no name of its own",
        "Runbooks, alarms and people name a database by its identifier. A random one can't be written down "
        "beforehand, and one that is the source's too makes somebody promote, or delete, the wrong one.",
        IDENTIFIER,
        'resource "aws_db_instance" "replica" {\n  identifier = "shop-dr"\n}',
        for_each(_all, _identifier, none=NO_REPLICA),
    ),
)
