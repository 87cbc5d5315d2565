"""What holds a database's data besides itself: replicas, replicated backups, copied backups, a global cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from seawall.audit.terraform.databases import CLUSTER, SourceForm
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.model import Resource
from seawall.audit.terraform.references import Resolution
from seawall.audit.terraform.regions import Region, region_of_arn
from seawall.model.fact import Fact, Unknown

REPLICATION = "aws_db_instance_automated_backups_replication"
LOG_INTERVAL_S, _DAY_S = 300.0, 86_400.0
"""Automated backups reach the other region with logs of five minutes; backup plans run once a day, usually."""


@dataclass(frozen=True)
class Copy:
    """Something that holds a database's data too. ``loss_s``: how much may be missing in it."""

    address: str
    how: str
    region: Fact[Region]
    loss_s: float
    is_backup: bool


def copies_of(facts: TerraformFacts, source: Resource) -> list[Copy]:
    """Return every copy of a database that the file declares, wherever it is. What may be one, because the file
    hides its source, has an unknown region."""
    copies = [
        Copy(item.address, "replica", item.region, 0, is_backup=False) for item in facts.replicas_of(source)
    ]
    copies += [
        Copy(item.address, "replica", item.source_region, 0, is_backup=False)
        for item in facts.replicas
        if item.source is None and item.form is SourceForm.UNKNOWN and item.resource.type == source.type
    ]
    for item in facts.stack.of_type(REPLICATION):
        found = facts.references.resolve(item, "source_db_instance_arn")
        region = _hidden_source(item, found) or facts.regions.of(item)
        if source in found.resources or (isinstance(region, Unknown) and not found.targets):
            copies.append(Copy(item.address, "automated backups", region, LOG_INTERVAL_S, is_backup=True))
    for item in facts.stack.of_type("aws_backup_plan"):
        selected = _selects(facts, item, source)
        if selected is False:
            continue
        copies += [
            Copy(item.address, "copy of backups", selected or region, _DAY_S, is_backup=True)
            for region in copy_actions(facts, item)
        ]
    copies += _global_members(facts, source)
    return copies


def _hidden_source(item: Resource, found: Resolution) -> Unknown | None:
    if found.targets or not found.hidden:
        return None
    return Unknown(
        f"what {item.address} copies is {', '.join(found.hidden)}, whose value is not in the file",
        "a reference to the resource instead, or its state after terraform apply",
    )


def _selects(facts: TerraformFacts, plan: Resource, source: Resource) -> Unknown | Literal[False] | None:
    """Say whether a backup plan covers a database: False if its selections name others, None if they name it, else
    why that can't be told."""
    selections = [
        item
        for item in facts.stack.of_type("aws_backup_selection")
        if plan in facts.references.resolve(item, "plan_id").resources
    ]
    unseen = not selections
    for item in selections:
        found = facts.references.resolve(item, "resources")
        if source in found.resources or any(_is_wildcard(literal) for literal in found.literals):
            return None
        tags = any(item.values.get(name) for name in ("selection_tag", "condition"))
        unseen = unseen or tags or bool(found.hidden)
    if not unseen:
        return False
    return Unknown(
        f"whether {plan.address} covers {source.address} is not in this file",
        "an aws_backup_selection that names it in resources; by tags it can't be told",
    )


def _is_wildcard(literal: object) -> bool:
    return isinstance(literal, str) and (
        literal == "*" or re.match(r"arn:aws[a-z-]*:rds:.*\*\Z", literal) is not None
    )


def copy_actions(facts: TerraformFacts, plan: Resource) -> Iterator[Fact[Region]]:
    """Yield where a backup plan copies to."""
    for number, rule in enumerate(nested(plan, "rule")):
        expressions = plan.arguments["rule"].blocks if plan.arguments and "rule" in plan.arguments else ()
        actions = rule.get("copy_action")
        configured = expressions[number].get("copy_action") if number < len(expressions) else None
        for position, action in enumerate(actions if isinstance(actions, list) else ()):
            arn = region_of_arn(action.get("destination_vault_arn")) if isinstance(action, dict) else ""
            blocks = configured.blocks if configured else ()
            names = blocks[position].get("destination_vault_arn") if position < len(blocks) else None
            if arn:
                yield Region(arn, "the vault's ARN")
            elif names is not None:
                found = facts.references.follow(names, plan.module).resources
                yield (
                    facts.regions.of(found[0])
                    if found
                    else Unknown(f"the vault that {plan.address} copies to is not in this file", "its ARN")
                )


def nested(resource: Resource, name: str) -> list[dict[str, object]]:
    """Return the values of nested blocks, none where they are hidden."""
    value = resource.values.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _global_members(facts: TerraformFacts, source: Resource) -> Iterator[Copy]:
    if source.type != CLUSTER:
        return
    mine = facts.references.resolve(source, "global_cluster_identifier").resources
    for other in facts.stack.of_type(CLUSTER):
        theirs = facts.references.resolve(other, "global_cluster_identifier").resources
        if other is not source and mine and set(_addresses(mine)) & set(_addresses(theirs)):
            yield Copy(
                other.address, "member of its global cluster", facts.regions.of(other), 0, is_backup=False
            )


def _addresses(resources: tuple[Resource, ...]) -> list[str]:
    return [item.address for item in resources]
