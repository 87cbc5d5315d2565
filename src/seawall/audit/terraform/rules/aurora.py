"""Aurora's global clusters: in how many regions they are, and whether anything runs there."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.rule import Rule, Severity, Verdict, cannot_tell, failed, passed
from seawall.audit.terraform.databases import CLUSTER, GLOBAL_CLUSTER, MEMBER
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import Destination, block, changed, joined, key_in, quoted
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import Resource
from seawall.audit.terraform.regions import Region
from seawall.audit.terraform.rules.stories import HEADLESS, KEY_OF_OTHER_REGION, US_EAST_1
from seawall.model.fact import Unknown

_NONE = "there is no global cluster in this file"


def _one_region(facts: TerraformFacts, cluster: Resource) -> Verdict:
    members = facts.members_of(cluster)
    regions = {member.address: facts.regions.of(member) for member in members}
    names = {region.name for region in regions.values() if isinstance(region, Region)}
    shown = [
        f"{address}: {'unknown' if isinstance(region, Unknown) else region}"
        for address, region in regions.items()
    ]
    if len(names) > 1:
        return passed(f"it is in {', '.join(sorted(names))}", evidence=shown)
    for region in regions.values():
        if isinstance(region, Unknown):
            return cannot_tell(region.reason, region.needs)
    if not members:
        return cannot_tell("no cluster of this file is a member of it", "the plan that holds its members")
    home = next(iter(names))
    destination = Destination(facts, home)
    arguments = [
        ("provider", destination.provider_name),
        ("cluster_identifier", quoted(f"{cluster.name}-{destination.region}")),
        ("global_cluster_identifier", f"{cluster.hcl}.id"),
        ("engine", f"{cluster.hcl}.engine"),
        ("engine_version", f"{cluster.hcl}.engine_version"),
    ]
    return failed(
        f"all of it is in {home}: global in name only",
        evidence=shown,
        remedy=joined(destination.blocks(), block("resource", (CLUSTER, "dr"), arguments)),
    )


def _headless(facts: TerraformFacts, cluster: Resource) -> Verdict | None:
    if not facts.is_secondary(cluster):
        return None
    running = [
        member
        for member in facts.stack.of_type(MEMBER)
        if cluster in facts.references.resolve(member, "cluster_identifier").resources
    ]
    if running:
        return passed(f"{len(running)} instance(s) run in it", evidence=[item.address for item in running])
    arguments = [
        ("cluster_identifier", f"{cluster.hcl}.id"),
        ("instance_class", '"db.r6g.large"  # as the primary cluster\'s'),
        ("engine", f"{cluster.hcl}.engine"),
    ]
    return failed(
        "no instance runs in it: before it can take over, one has to be created, on the day when everybody does that",
        evidence=[f"no {MEMBER} refers to {cluster.address}"],
        remedy=block("resource", (MEMBER, cluster.name), arguments),
    )


def _key(facts: TerraformFacts, cluster: Resource) -> Verdict | None:
    if not facts.is_secondary(cluster):
        return None
    group = facts.references.resolve(cluster, "global_cluster_identifier").resources
    is_encrypted = any(item.values.get("storage_encrypted") is True for item in (*group, cluster))
    if not is_encrypted:
        return passed("the global cluster is not encrypted, so no key is needed")
    if cluster.is_configured("kms_key_id") is not False and cluster.values.get("kms_key_id"):
        return passed("it names a key of its own for its region")
    destination = Destination(facts, _home_of_primary(facts, group))
    expression, blocks = key_in(destination, cluster)
    return failed(
        "the global cluster is encrypted, and this member names no key of its own region",
        evidence=["kms_key_id is not set"],
        remedy=joined(blocks, changed(cluster, [("kms_key_id", expression)])),
    )


def _home_of_primary(facts: TerraformFacts, group: tuple[Resource, ...]) -> str:
    members = facts.members_of(group[0]) if group else ()
    region = facts.regions.of(members[0]) if members else None
    return region.name if isinstance(region, Region) else ""


def _global(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.stack.of_type(GLOBAL_CLUSTER)


def _clusters(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.stack.of_type(CLUSTER)


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-global-cluster-one-region",
        Severity.HIGH,
        "A global cluster is in one region",
        "A global cluster is as global as its members' providers. With all of them in one region it costs more and "
        "survives nothing more.",
        US_EAST_1,
        'resource "aws_rds_cluster" "dr" {\n  provider                  = aws.dr\n'
        "  global_cluster_identifier = aws_rds_global_cluster.main.id\n}",
        for_each(_global, _one_region, none=_NONE),
    ),
    Rule(
        "tf-global-cluster-headless",
        Severity.MEDIUM,
        "No instance runs in a global cluster's second region",
        "The storage is replicated, and nothing can open it until an instance is created. That is minutes of the "
        "RTO, if there is capacity.",
        HEADLESS,
        'resource "aws_rds_cluster_instance" "dr" {\n  cluster_identifier = aws_rds_cluster.dr.id\n}',
        for_each(_clusters, _headless, none="no cluster of this file is a global cluster's second"),
    ),
    Rule(
        "tf-global-cluster-key",
        Severity.HIGH,
        "A member of an encrypted global cluster has no key of its region",
        "Each region opens the storage with a key of its own. Without one the second cluster isn't created.",
        KEY_OF_OTHER_REGION,
        'resource "aws_rds_cluster" "dr" {\n  kms_key_id = aws_kms_key.dr.arn\n}',
        for_each(_clusters, _key, none="no cluster of this file is a global cluster's second"),
    ),
)
