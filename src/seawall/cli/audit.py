"""``seawall audit``: what the loss of a server would cost, and what is wrong before it happens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.options import json_option, plan_option
from seawall.cli.output import print_json
from seawall.cli.usage import UsageInvalid

if TYPE_CHECKING:
    from seawall.audit.report import AuditReport
    from seawall.audit.rule import Severity

FINDINGS_STATUS = 3
"""Exit status when findings are at or above ``--fail-on``: a result, not an error."""
_SEVERITIES = ("critical", "high", "medium", "low")
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("dsn", required=False)
@plan_option
@click.option(
    "--terraform",
    type=click.Path(path_type=Path, allow_dash=True),
    default=None,
    metavar="FILE",
    help="Judge what terraform show -json printed of a plan or state, or a terraform.tfstate (- reads standard input).",
)
@click.option("--all", "shows_all", is_flag=True, help="Show passed and not applicable rules too.")
@click.option(
    "--fail-on",
    type=click.Choice([*_SEVERITIES, "never"]),
    default="high",
    show_default=True,
    help="Exit with status 3 when a finding is this severe or worse.",
)
@click.option(
    "--junit", type=_FILE, default=None, help="Write the findings as JUnit XML too, for CI systems."
)
@click.option("--html", type=_FILE, default=None, help="Write the report as one HTML file too, fit to print.")
@click.option("--explain", default=None, metavar="RULE", help="Say why a rule matters, and look at nothing.")
@click.option("--deadline", default="30s", show_default=True, help="How long each server may be questioned.")
@json_option
def command(
    dsn: str | None,
    plan_path: Path | None,
    terraform: Path | None,
    shows_all: bool,
    fail_on: str,
    junit: Path | None,
    html: Path | None,
    explain: str | None,
    deadline: str,
    as_json: bool,
) -> int:
    """Judge how well the server at DSN, or all that the plan declares, is prepared to be lost; or a Terraform file.

    Changes nothing, needs nothing installed, takes seconds. Exit status 3: findings at or above --fail-on.
    """
    from seawall.audit.render.document import report_document
    from seawall.cli.audit_report import show_report
    from seawall.cli.parsing import duration_s

    if explain is not None:
        return _explain(explain)
    if dsn is not None and plan_path is not None:
        raise UsageInvalid(
            "a plan names its own servers: give a DSN or --plan",
            hint="seawall audit --plan plan.yaml, or: seawall audit postgresql://…",
        )
    limit_s = duration_s(deadline, "--deadline")
    if terraform is not None:
        report = _audit_terraform(terraform, plan_path, dsn)
    else:
        report = _audit_server(dsn, limit_s) if dsn is not None else _audit_plan(plan_path, limit_s)
    _write_files(report, junit=junit, html=html)
    if as_json:
        print_json(report_document(report))
    else:
        show_report(report, shows_all=shows_all)
    return FINDINGS_STATUS if report.has_failures_at(_severity(fail_on)) else 0


def _explain(rule_id: str) -> int:
    from difflib import get_close_matches

    from seawall.audit.rulebook import every_rule
    from seawall.cli.audit_report import show_rule

    rules = {rule.id: rule for rule in every_rule()}
    if rule_id not in rules:
        close = get_close_matches(rule_id, rules, n=1, cutoff=0.5)
        raise UsageInvalid(
            f"there is no audit rule {rule_id!r}",
            hint=f"seawall audit --explain {close[0]}" if close else "one of: " + ", ".join(rules),
        )
    show_rule(rules[rule_id])
    return 0


def _severity(text: str) -> Severity | None:
    from seawall.audit.rule import Severity

    return None if text == "never" else Severity(text)


def _audit_server(dsn: str, deadline_s: float) -> AuditReport:
    from seawall.audit.observe import observe_stranger
    from seawall.audit.report import without_secrets
    from seawall.audit.rulebook import judge_service
    from seawall.model.clock import SystemClock
    from seawall.postgres.session import display_dsn, parse_dsn

    facts = observe_stranger(dsn, clock=SystemClock(), deadline_s=deadline_s)
    known = parse_dsn(dsn)
    secrets = [known.get("password", ""), known.get("sslpassword", ""), os.environ.get("PGPASSWORD", "")]
    return without_secrets(judge_service(facts, target=display_dsn(dsn)), secrets)


def _audit_plan(plan_path: Path | None, deadline_s: float) -> AuditReport:
    from seawall.app import App
    from seawall.audit.observe import observe_plan
    from seawall.audit.rulebook import judge_service
    from seawall.model.clock import SystemClock
    from seawall.plan.load import examine_plan, plan_invalid
    from seawall.plan.locate import locate_plan

    if locate_plan(None if plan_path is None else str(plan_path)) is None:
        raise UsageInvalid(
            "there is nothing to audit: no server was named, and there is no plan",
            hint="seawall audit postgresql://USER@HOST/postgres, or: seawall audit --plan plan.yaml",
        )
    plan, diagnostics = examine_plan(plan_path)
    if plan is None:
        raise plan_invalid(diagnostics)
    app = App(plan, SystemClock(), patience_s=min(10.0, deadline_s))
    targets = [app.audit_target(cluster) for cluster in plan.clusters]
    facts = observe_plan(plan, diagnostics, targets, clock=app.clock, deadline_s=deadline_s)
    return judge_service(facts, target=str(plan.path))


def _audit_terraform(file: Path, plan_path: Path | None, dsn: str | None) -> AuditReport:
    """Judge a Terraform file; of a plan that is given too, the objectives and waivers count."""
    from seawall.audit.rulebook import judge_terraform
    from seawall.audit.terraform.facts import TerraformFacts
    from seawall.audit.terraform.reading.reader import read_terraform
    from seawall.model.clock import SystemClock
    from seawall.plan.load import load_plan

    if dsn is not None:
        raise UsageInvalid(
            "a server and a Terraform file are two audits: give a DSN or --terraform",
            hint="seawall audit --terraform plan.json; seawall audit postgresql://…",
        )
    stack = read_terraform(file)
    now = SystemClock().now()
    if plan_path is None:
        return judge_terraform(TerraformFacts(stack), now)
    plan = load_plan(plan_path)
    return judge_terraform(TerraformFacts(stack, plan.objectives), now, plan.audit.waive)


def _write_files(report: AuditReport, *, junit: Path | None, html: Path | None) -> None:
    if junit is not None:
        from seawall.audit.render.junit import render_junit

        _write(junit, render_junit(report))
    if html is not None:
        from seawall.audit.render.html import render_html

        _write(html, render_html(report))


def _write(path: Path, text: str) -> None:
    """Write a report file. Raises UsageInvalid where it can't be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageInvalid(f"{path} can't be written: {error.strerror}", hint="name another file") from error
