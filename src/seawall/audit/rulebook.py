"""Every rule there is, and the one way from facts to a report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from seawall.audit.facts import ClusterFacts, ServiceFacts
from seawall.audit.headline import headline_of
from seawall.audit.masking import printable
from seawall.audit.report import AuditReport, Headline, in_order_of_weight
from seawall.audit.rule import Finding, Rule, apply_rules
from seawall.audit.rules import (
    archive,
    archive_commands,
    backups,
    contents,
    protection,
    restores,
    server,
    service,
    slots,
    standby_fitness,
    standbys,
)
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.rulebook import TERRAFORM_RULES, describe
from seawall.audit.waivers import apply_waivers, idle_waivers
from seawall.model.fact import Unknown
from seawall.model.units import format_bytes
from seawall.plan.model import Waiver

CLUSTER_RULES: tuple[Rule[ClusterFacts], ...] = (
    *backups.RULES,
    *protection.RULES,
    *restores.RULES,
    *archive.RULES,
    *archive_commands.RULES,
    *slots.RULES,
    *standbys.RULES,
    *standby_fitness.RULES,
    *server.RULES,
    *contents.RULES,
)
"""Asked of each cluster."""

SERVICE_RULES: tuple[Rule[ServiceFacts], ...] = service.RULES
"""Asked once of a plan."""


def every_rule() -> tuple[Rule[Any], ...]:
    """Return all rules in the order in which the documentation shows them. Ids are unique (a test says so)."""
    return (*CLUSTER_RULES, *SERVICE_RULES, *TERRAFORM_RULES)


def judge_service(facts: ServiceFacts, target: str) -> AuditReport:
    """Judge servers and plan by all rules that speak of them. Pure."""
    findings: list[Finding] = apply_rules(SERVICE_RULES, facts)
    for cluster in facts.clusters:
        subject = cluster.name if cluster.has_plan else ""
        findings += apply_rules(CLUSTER_RULES, cluster, subject=subject)
    waivers = () if isinstance(facts.plan, Unknown) else facts.plan.audit.waive
    return make_report(
        target,
        facts.now,
        findings,
        waivers,
        about=[text for cluster in facts.clusters for text in _about(cluster)],
        headlines=[headline_of(cluster) for cluster in facts.clusters],
    )


def judge_terraform(facts: TerraformFacts, now: datetime, waivers: Sequence[Waiver] = ()) -> AuditReport:
    """Judge a Terraform plan or state. It was not measured, so there is no headline. Pure."""
    findings = apply_rules(TERRAFORM_RULES, facts)
    return make_report(facts.stack.source, now, findings, waivers, about=describe(facts))


def make_report(
    target: str,
    now: datetime,
    findings: Sequence[Finding],
    waivers: Sequence[Waiver] = (),
    *,
    about: Sequence[str] = (),
    headlines: Sequence[Headline] = (),
) -> AuditReport:
    """Return the report of findings from whatever rules, with the waivers applied as of ``now``. A waiver of a
    rule that was not asked is not called idle."""
    asked = {finding.rule.id for finding in findings}
    weighed = apply_waivers(findings, waivers, now.date())
    return AuditReport(
        printable(target),
        now,
        tuple(printable(line) for line in about),
        tuple(Headline(*map(printable, (item.subject, item.lost, item.back))) for item in headlines),
        in_order_of_weight(weighed),
        tuple(idle_waivers(weighed, [waiver for waiver in waivers if waiver.rule in asked])),
    )


def _about(cluster: ClusterFacts) -> list[str]:
    server = cluster.primary
    if isinstance(server, Unknown):
        return [f"{cluster.name}: {server.reason}"]
    identity = server.identity
    role = "standby" if identity.is_in_recovery else "primary"
    parts = [f"PostgreSQL {identity.version.split()[1]}, {role}"]
    if not isinstance(server.databases, Unknown):
        parts.append(
            format_bytes(sum(item.size_bytes or 0 for item in server.databases if not item.is_template))
        )
    parts.append(f"run by {server.owner.name}" if server.owner.name != "unknown" else "on another machine")
    return [f"{cluster.name}: {', '.join(parts)}" if cluster.has_plan else ", ".join(parts)]
