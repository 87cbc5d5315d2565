"""``seawall audit``: what the loss of a server would cost, and what is wrong before it happens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.options import json_option, plan_option
from seawall.cli.output import print_json

if TYPE_CHECKING:
    from seawall.audit.report import AuditReport
    from seawall.audit.rule import Severity

FINDINGS_STATUS = 3
"""Exit status when findings are at or above ``--fail-on``: a result, not an error."""
_SEVERITIES = ("critical", "high", "medium", "low")


@click.command()
@click.argument("dsn", required=False)
@plan_option
@click.option("--all", "shows_all", is_flag=True, help="Show passed and not applicable rules too.")
@click.option(
    "--fail-on",
    type=click.Choice([*_SEVERITIES, "never"]),
    default="high",
    show_default=True,
    help="Exit with status 3 when a finding is this severe or worse.",
)
@click.option("--deadline", default="30s", show_default=True, help="How long all looking may take.")
@json_option
def command(
    dsn: str | None, plan_path: Path | None, shows_all: bool, fail_on: str, deadline: str, as_json: bool
) -> int:
    """Judge how well the server at DSN, or all that the plan declares, is prepared to be lost.

    Changes nothing, needs nothing installed, takes seconds. Exit status 3: findings at or above --fail-on.
    """
    from seawall.audit.render.document import report_document
    from seawall.cli.audit_report import show_report
    from seawall.cli.parsing import duration_s

    report = _audit_server(dsn or "", duration_s(deadline, "--deadline"))
    if as_json:
        print_json(report_document(report))
    else:
        show_report(report, shows_all=shows_all)
    return FINDINGS_STATUS if report.has_failures_at(_severity(fail_on)) else 0


def _severity(text: str) -> Severity | None:
    from seawall.audit.rule import Severity

    return None if text == "never" else Severity(text)


def _audit_server(dsn: str, deadline_s: float) -> AuditReport:
    from seawall.audit.observe import observe_stranger
    from seawall.audit.rulebook import judge_service
    from seawall.model.clock import SystemClock
    from seawall.postgres.session import display_dsn

    return judge_service(
        observe_stranger(dsn, clock=SystemClock(), deadline_s=deadline_s), target=display_dsn(dsn)
    )
