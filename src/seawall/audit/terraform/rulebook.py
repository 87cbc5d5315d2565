"""Every rule over Terraform, in the order in which the documentation shows them; and what was looked at, in words."""

from __future__ import annotations

from seawall.audit.rule import Rule
from seawall.audit.terraform.databases import CLUSTER, INSTANCE
from seawall.audit.terraform.facts import TerraformFacts
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
from seawall.model.fact import Unknown

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
    for database in facts.sources:
        copies = [item.address for item in facts.replicas_of(database)]
        region = facts.regions.of(database)
        where = "region unknown" if isinstance(region, Unknown) else region.name
        lines.append(
            f"{database.address} ({where}), replicated by {', '.join(copies) if copies else 'nothing here'}"
        )
    left_out = [
        item
        for item in stack.of_type(INSTANCE, CLUSTER)
        if item not in facts.sources and item.address not in {replica.address for replica in facts.replicas}
    ]
    if left_out:
        lines.append(f"{_count(len(left_out), 'database')} of other engines left out")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
