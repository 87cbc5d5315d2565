"""Every rule over Terraform, in the order in which the documentation shows them; and what was looked at, in words."""

from __future__ import annotations

from seawall.audit.rule import Rule
from seawall.audit.terraform.copies import copies_of
from seawall.audit.terraform.databases import CLUSTER, INSTANCE
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.model import Resource
from seawall.audit.terraform.regions import Region
from seawall.audit.terraform.rules import (
    aurora,
    changes,
    companions,
    copies,
    fitness,
    placement,
    promotion,
    protection,
    replicas,
    traffic,
    zones,
)
from seawall.model.fact import Fact, Unknown

TERRAFORM_RULES: tuple[Rule[TerraformFacts], ...] = (
    *copies.RULES,
    *replicas.RULES,
    *zones.RULES,
    *placement.RULES,
    *fitness.RULES,
    *promotion.RULES,
    *aurora.RULES,
    *changes.RULES,
    *protection.RULES,
    *companions.RULES,
    *traffic.RULES,
)


def describe(facts: TerraformFacts) -> list[str]:
    """Return what was looked at: the file, and where its databases are."""
    stack = facts.stack
    by = f" of Terraform {stack.terraform_version}" if stack.terraform_version else ""
    lines = [
        f"a {stack.kind.value}{by}, {_count(sum(not item.is_data for item in stack.resources), 'resource')}"
    ]
    lines += [
        f"{database.address} ({_region(facts.regions.of(database))}): {_copies(facts, database)}"
        for database in facts.sources
        if not facts.is_secondary(database)
    ]
    left_out = [
        item
        for item in stack.of_type(INSTANCE, CLUSTER)
        if item not in facts.sources and item.address not in {replica.address for replica in facts.replicas}
    ]
    if left_out:
        lines.append(f"{_count(len(left_out), 'database')} of other engines left out")
    return lines


def _copies(facts: TerraformFacts, database: Resource) -> str:
    """Return what has its data too, and where: the first line of every disaster."""
    shown = dict.fromkeys(
        f"{copy.how} {copy.address} ({_region(copy.region)})" for copy in copies_of(facts, database)
    )
    return ", ".join(shown) or "no copy in this file"


def _region(region: Fact[Region]) -> str:
    return "region unknown" if isinstance(region, Unknown) else region.name


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
