"""What a database needs in its own region: a key that opens its storage, a network, and no reference across."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.rule import Rule, Severity, Verdict, cannot_tell, failed, passed
from seawall.audit.terraform.databases import CLUSTER, INSTANCE, MEMBER, Replica
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import (
    changed,
    destination_of,
    joined,
    key_in,
    reference,
    subnet_group_in,
)
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import Resource
from seawall.audit.terraform.references import Resolution
from seawall.audit.terraform.regions import GLOBAL_TYPES, Region, region_of_arn
from seawall.audit.terraform.rules.stories import KEY_MISSING, KEY_OF_OTHER_REGION, WRONG_VPC
from seawall.model.fact import Unknown

_NO_REPLICA_ELSEWHERE = "no database of this file replicates one of another region, or is meant to"
_REFERRING = {
    INSTANCE: ("kms_key_id", "db_subnet_group_name", "vpc_security_group_ids", "parameter_group_name",
               "option_group_name", "performance_insights_kms_key_id", "master_user_secret_kms_key_id"),
    CLUSTER: ("kms_key_id", "db_subnet_group_name", "vpc_security_group_ids", "db_cluster_parameter_group_name",
              "db_instance_parameter_group_name", "master_user_secret_kms_key_id"),
    MEMBER: ("cluster_identifier", "db_subnet_group_name", "db_parameter_group_name"),
    "aws_db_subnet_group": ("subnet_ids",),
}  # fmt: skip
"""The arguments by which a resource refers to something that has to be in its own region. IAM roles are in none."""
_REFERRED = {
    "kms_key_id": ("aws_kms_key", "arn"),
    "performance_insights_kms_key_id": ("aws_kms_key", "arn"),
    "master_user_secret_kms_key_id": ("aws_kms_key", "arn"),
    "db_subnet_group_name": ("aws_db_subnet_group", "name"),
    "vpc_security_group_ids": ("aws_security_group", "id"),
    "parameter_group_name": ("aws_db_parameter_group", "name"),
    "db_parameter_group_name": ("aws_db_parameter_group", "name"),
    "db_instance_parameter_group_name": ("aws_db_parameter_group", "name"),
    "db_cluster_parameter_group_name": ("aws_rds_cluster_parameter_group", "name"),
    "option_group_name": ("aws_db_option_group", "name"),
    "cluster_identifier": (CLUSTER, "id"),
    "subnet_ids": ("aws_subnet", "id"),
}
"""What each of them refers to, and by which attribute."""


def _key(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    if not replica.is_for_another_region:
        return None
    resource, source = replica.resource, replica.source
    has_key = resource.is_configured("kms_key_id") is not False and bool(resource.values.get("kms_key_id"))
    shown = [*replica.shown_regions, f"kms_key_id: {'set' if has_key else 'not set'}"]
    if source is None:
        if has_key:
            return passed("it names a key", evidence=shown)
        return cannot_tell(
            "whether its source is encrypted is not in this file",
            "the source's plan or state; if it is encrypted, kms_key_id of the replica's region is needed",
            evidence=shown,
        )
    if not source.flag("storage_encrypted"):
        return _of_plain_source(replica, source, shown, has_key=has_key)
    if has_key:
        return passed("it names a key of its own for its region", evidence=shown)
    ignored = resource.values.get("storage_encrypted") is True
    destination = destination_of(facts, replica)
    expression, blocks = key_in(destination, resource)
    return failed(
        f"{source.address} is encrypted, and the replica names no key of its own region: keys don't leave "
        f"theirs",
        evidence=[*shown, *(["storage_encrypted = true is ignored across regions"] if ignored else [])],
        remedy=joined(blocks, changed(resource, [("kms_key_id", expression)])),
    )


def _of_plain_source(replica: Replica, source: Resource, shown: list[str], *, has_key: bool) -> Verdict:
    wants = has_key or replica.resource.values.get("storage_encrypted") is True
    if not wants:
        return passed(f"{source.address} is not encrypted, so no key is needed", evidence=shown)
    return failed(
        f"it is to be encrypted, and {source.address} is not: an encrypted replica needs an encrypted source",
        evidence=[*shown, f"{source.address}: storage_encrypted is not set"],
        remedy=changed(
            source,
            [("storage_encrypted", "true")],
            note="a new database: restore it from an encrypted snapshot copy",
        ),
    )


def _subnet_group(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    if replica.resource.type != INSTANCE or not replica.is_for_another_region:
        return None
    resource = replica.resource
    name = resource.values.get("db_subnet_group_name")
    is_default = name == "default" or resource.is_configured("db_subnet_group_name") is False
    if not is_default and name is not None:
        return passed("it names a subnet group")
    expression, blocks = subnet_group_in(destination_of(facts, replica), resource)
    return failed(
        "it names no subnet group: it comes up in the default VPC of its region, if there is one",
        evidence=[
            *replica.shown_regions,
            f"db_subnet_group_name: {'default' if name == 'default' else 'not set'}",
        ],
        remedy=joined(blocks, changed(resource, [("db_subnet_group_name", expression)])),
    )


def _references(facts: TerraformFacts, resource: Resource) -> Verdict | None:
    astray: list[tuple[str, str, str]] = []
    unseen: list[Unknown] = []
    seen = 0
    for argument in _REFERRING[resource.type]:
        for what, region in _places(facts, facts.references.resolve(resource, argument)):
            if isinstance(region, Unknown):
                unseen.append(region)
            else:
                seen += 1
                if region != facts.regions.name_of(resource):
                    astray.append((argument, what, region))
    if astray:
        return _astray(facts, resource, astray)
    if unseen:
        return cannot_tell(unseen[0].reason, unseen[0].needs)
    return passed("what it refers to is in its own region") if seen else None


def _astray(facts: TerraformFacts, resource: Resource, astray: list[tuple[str, str, str]]) -> Verdict:
    home = facts.regions.of(resource)
    name = home.name if isinstance(home, Region) else "its region"
    shown = [
        f"{resource.address}: {home}",
        *(f"{argument} = {what}: {region}" for argument, what, region in astray),
    ]
    arguments = list(dict.fromkeys(argument for argument, _, _ in astray))
    return failed(
        f"{', '.join(arguments)} {'is' if len(arguments) == 1 else 'are'} of another region than {name}: "
        "what is there can't be used from here",
        evidence=shown,
        remedy=changed(resource, [(name, _one_from(facts, resource, name)) for name in arguments]),
    )


def _one_from(facts: TerraformFacts, resource: Resource, argument: str) -> str:
    """Return an expression of what an argument may refer to: of the file if it has one there, else to be made."""
    kind, attribute = _REFERRED[argument]
    home = facts.regions.name_of(resource)
    for there in facts.stack.of_type(kind):
        region = facts.regions.of(there)
        if isinstance(region, Region) and region.name == home and there is not resource:
            found = reference(there, attribute, seen_from=resource)
            break
    else:
        found = f"{kind}.{home.replace('-', '_')}.{attribute}"
    return f"[{found}]" if argument.endswith("_ids") else found


def _places(facts: TerraformFacts, found: Resolution) -> Iterator[tuple[str, str | Unknown]]:
    """Yield what an argument refers to with its region."""
    for target in found.targets:
        if GLOBAL_TYPES.match(target.resource.type):
            continue
        region = facts.regions.of(target.resource)
        yield target.written, region if isinstance(region, Unknown) else region.name
    for literal in found.literals:
        region_name = region_of_arn(literal)
        if region_name:
            yield str(literal), region_name


def _all(facts: TerraformFacts) -> tuple[Replica, ...]:
    return facts.replicas


def _referring(facts: TerraformFacts) -> Iterator[Resource]:
    yield from facts.databases(INSTANCE, CLUSTER, MEMBER)
    yield from facts.stack.of_type("aws_db_subnet_group")


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-replica-kms-key",
        Severity.HIGH,
        "A replica of an encrypted database has no key of its region",
        "A key never leaves its region. Without one of its own the replica isn't created, and storage_encrypted "
        "doesn't help: across regions it is ignored.",
        KEY_MISSING,
        'resource "aws_db_instance" "replica" {\n  kms_key_id = aws_kms_key.dr.arn  # of its own region\n}',
        for_each(_all, _key, none=_NO_REPLICA_ELSEWHERE),
    ),
    Rule(
        "tf-replica-subnet-group",
        Severity.MEDIUM,
        "A replica in another region names no subnet group",
        "It comes up in the default VPC, with its default security group: nobody reaches it on the day, or everybody "
        "does until then.",
        WRONG_VPC,
        'resource "aws_db_instance" "replica" {\n  db_subnet_group_name = aws_db_subnet_group.dr.name\n}',
        for_each(_all, _subnet_group, none=_NO_REPLICA_ELSEWHERE),
    ),
    Rule(
        "tf-reference-other-region",
        Severity.HIGH,
        "A database refers to something of another region",
        "Keys, subnets, security groups and parameter groups can be used in their own region alone. What was copied "
        "from the primary's block makes the apply fail.",
        KEY_OF_OTHER_REGION,
        "refer to a resource with the provider that the database has",
        for_each(_referring, _references, none="no database of this file refers to anything in a region"),
    ),
)
