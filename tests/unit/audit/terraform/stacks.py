"""A sound stack, and ways to break it: a primary in eu-west-1 with everything that its recovery in another region
needs, written as a configuration."""

from __future__ import annotations

from typing import Any

from seawall.audit.rule import Finding, Result, apply_rules
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.model import Stack
from seawall.audit.terraform.reader import parse_terraform
from seawall.audit.terraform.rulebook import TERRAFORM_RULES
from tests.support.terraform import Ref, TerraformModule, as_bytes, plan

PROVIDERS: dict[str, Any] = {"aws": "eu-west-1", "aws.dr": "eu-central-1"}


def read(document: object) -> Stack:
    return parse_terraform(as_bytes(document), "plan.json")


def facts(document: object) -> TerraformFacts:
    return TerraformFacts(read(document))


def verdicts(rule_id: str, found: TerraformFacts) -> list[Finding]:
    return apply_rules([rule for rule in TERRAFORM_RULES if rule.id == rule_id], found)


def failures(found: TerraformFacts) -> list[tuple[str, str]]:
    """Return rule and subject of everything that fails."""
    return [
        (finding.rule.id, finding.verdict.subject)
        for finding in apply_rules(TERRAFORM_RULES, found)
        if finding.verdict.result is Result.FAIL
    ]


def tutorial() -> TerraformModule:
    """The classic mistake: both in the default provider, the source by name, a zone of the region that was meant."""
    return TerraformModule(
        {
            "aws_db_instance.primary": {
                "identifier": "shop",
                "engine": "postgres",
                "engine_version": "16.4",
                "instance_class": "db.r6g.large",
                "allocated_storage": 100,
                "db_name": "shop",
                "username": "shop",
                "password": "hunter2-plain",
                "storage_encrypted": True,
                "skip_final_snapshot": True,
            },
            "aws_db_instance.cross_region_replica": {
                "identifier": "shop-replica",
                "replicate_source_db": Ref("aws_db_instance.primary.identifier", "shop"),
                "instance_class": "db.t4g.medium",
                "availability_zone": "eu-central-1a",
                "skip_final_snapshot": True,
            },
        }
    )


def tutorial_plan() -> dict[str, Any]:
    return plan(tutorial(), {"aws": "eu-west-1"})
