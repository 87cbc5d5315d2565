"""Availability zones: they belong to a region, and a Multi-AZ instance has two of them."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.rule import Rule, Severity, Verdict, cannot_tell, failed, passed
from seawall.audit.terraform.databases import CLUSTER, INSTANCE, MEMBER, is_replica
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import Destination, changed, joined, quoted
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import FileKind, Resource
from seawall.audit.terraform.regions import Region, region_of_zone
from seawall.audit.terraform.rules.stories import ZONE, ZONE_OF_REGION


def _zoned(facts: TerraformFacts) -> Iterator[Resource]:
    yield from facts.databases(INSTANCE, CLUSTER, MEMBER)
    yield from facts.stack.of_type("aws_subnet")


def _outside(facts: TerraformFacts, resource: Resource) -> Verdict | None:
    zones = _zones_of(resource)
    if not zones:
        return None
    region = facts.regions.of(resource)
    home = facts.regions.name_of(resource)
    if isinstance(region, Region) and region.is_by_zone and facts.stack.kind is FileKind.PLAN:
        return cannot_tell(
            "only its zone says where it is to be, and not whether its provider agrees",
            "the provider's region as a variable or a constant, or its state after terraform apply",
        )
    shown = [f"{resource.address}: {region}", *(f"zone {zone}" for zone in zones)]
    astray = [zone for zone in zones if region_of_zone(zone) != home]
    if not astray:
        return passed(f"its zones are in {home}", evidence=shown)
    return failed(
        f"{', '.join(astray)} is not in {home}, where it is created: a zone chooses no region, the provider does",
        evidence=shown,
        remedy=_in_its_region(facts, resource, home, astray),
    )


def _in_its_region(facts: TerraformFacts, resource: Resource, home: str, astray: list[str]) -> str:
    """Return the block with zone and provider of one region: of a replica the zone's, as that is where it was to be."""
    if is_replica(resource):
        destination = Destination(facts, home, wanted=region_of_zone(astray[0]))
        arguments = [("provider", destination.provider_name), ("availability_zone", quoted(astray[0]))]
        return joined(destination.blocks(), changed(resource, arguments))
    zone = quoted(f"{home}a")
    one = (
        ("availability_zone", zone)
        if resource.read("availability_zone")
        else ("availability_zones", f"[{zone}]")
    )
    return changed(resource, [one], note="or the provider of the zone's region, if it is meant to be there")


def _zones_of(resource: Resource) -> list[str]:
    """Return the zones that a block sets; none where the provider chooses."""
    one = resource.read("availability_zone")
    several = resource.read("availability_zones", ())
    listed = list(several) if isinstance(several, list | tuple) else []
    return [zone for zone in (one, *listed) if isinstance(zone, str) and zone]


def _with_multi_az(facts: TerraformFacts, resource: Resource) -> Verdict | None:
    if resource.is_configured("availability_zone") is None:
        return None  # a state shows the zone that RDS has chosen
    if not resource.is_configured("availability_zone") or not resource.flag("multi_az"):
        return passed("it doesn't ask for one zone and for two")
    zone = resource.text("availability_zone")
    return failed(
        "it asks for one zone and to be in two: RDS refuses that when the plan is applied",
        evidence=["multi_az = true", f"availability_zone = {quoted(zone)}"],
        remedy=changed(resource, [("multi_az", "true")], note="without availability_zone"),
    )


def _instances(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.databases(INSTANCE)


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-zone-outside-region",
        Severity.HIGH,
        "An availability zone is of another region",
        "The provider decides the region. A zone of another one doesn't move anything there: the apply fails, "
        "usually on the day when somebody is in a hurry.",
        ZONE_OF_REGION,
        'resource "aws_db_instance" "replica" {\n  availability_zone = "…"  # a zone of its provider\'s region\n}',
        for_each(_zoned, _outside, none="nothing in this file sets an availability zone"),
    ),
    Rule(
        "tf-zone-with-multi-az",
        Severity.MEDIUM,
        "An instance is given one zone and told to be in two",
        "A Multi-AZ instance chooses its zones from its subnet group. With one prescribed the apply fails, and the "
        "database of the disaster isn't created.",
        ZONE,
        'resource "aws_db_instance" "replica" {\n  multi_az = true  # and no availability_zone\n}',
        for_each(_instances, _with_multi_az, none="no instance in this file has a configuration"),
    ),
)
