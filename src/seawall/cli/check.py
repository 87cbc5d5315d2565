"""``seawall check``: is the plan right, and is everything in place?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.options import json_option, plan_option
from seawall.cli.output import note, print_json

if TYPE_CHECKING:
    from seawall.cli.check_findings import Finding
    from seawall.plan.diagnostics import Diagnostic
    from seawall.plan.model import Plan


@click.command()
@click.option("--offline", is_flag=True, help="Look at the plan file alone.")
@plan_option
@json_option
def command(offline: bool, plan_path: Path | None, as_json: bool) -> int:
    """Check the plan, then all that it relies on: servers, archiving, keys, repositories, space, clocks.

    Fails while anything that the plan declares is not active or not in place.
    """
    from seawall.plan.load import examine_plan, plan_invalid

    plan, diagnostics = examine_plan(plan_path)
    if plan is None:
        if not as_json:
            _show_diagnostics([found for found in diagnostics if found.severity.value != "error"])
        raise plan_invalid(diagnostics)
    if not as_json:
        _show_diagnostics(diagnostics)
    findings = [] if offline else _look(plan, is_silent=as_json)
    if as_json:
        print_json(_document(plan, diagnostics, findings))
    _conclude(plan, diagnostics, findings, is_silent=as_json)
    return 0


def _look(plan: Plan, *, is_silent: bool) -> list[Finding]:
    """Look at every cluster and show each finding as it comes."""
    from seawall.app import App
    from seawall.cli.check_online import check_cluster
    from seawall.model.clock import SystemClock

    app = App(plan, SystemClock())
    findings: list[Finding] = []
    for cluster in plan.clusters:
        for finding in check_cluster(app, cluster):
            findings.append(finding)
            if not is_silent:
                _show(finding)
    return findings


def _show_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    for found in diagnostics:
        note(str(found))


def _show(finding: Finding) -> None:
    title = {"ok": "ok", "warning": "warning", "failed": "FAILED"}[finding.verdict.value]
    print(f"{title:<8}{finding.subject}: {finding.text}", flush=True)
    if finding.remedy:
        print("        → " + finding.remedy.replace("\n", "\n          "), flush=True)


def _document(
    plan: Plan, diagnostics: Sequence[Diagnostic], findings: Sequence[Finding]
) -> dict[str, object]:
    return {
        "plan": str(plan.path),
        "diagnostics": [found.as_fields() for found in diagnostics],
        "findings": [
            {
                "subject": finding.subject,
                "verdict": finding.verdict.value,
                "text": finding.text,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }


def _conclude(
    plan: Plan, diagnostics: Sequence[Diagnostic], findings: Sequence[Finding], *, is_silent: bool
) -> None:
    from seawall.cli.errors import CheckFoundTrouble

    counts = Counter(finding.verdict.value for finding in findings)
    severities = Counter(found.severity.value for found in diagnostics)
    failures, declared = counts["failed"], severities["declared"]
    if failures or declared:
        parts = [f"{failures} failed"] * bool(failures)
        parts += [f"{declared} declared, not active"] * bool(declared)
        raise CheckFoundTrouble(
            f"{plan.path} does not hold yet: " + ", ".join(parts),
            hint="each finding above names its remedy",
            failed=failures,
            declared=declared,
        )
    if not is_silent:
        warnings = counts["warning"] + severities["warning"]
        print(f"{plan.path}: all in place" + (f", {warnings} warning(s)" if warnings else ""))
