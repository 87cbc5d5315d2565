"""``seawall report``: what was proven in a period, what failed, and what is not proven."""

from __future__ import annotations

from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from seawall.cli.evidence import ledger_options, opened_ledger
from seawall.cli.options import json_option
from seawall.cli.output import print_json
from seawall.cli.usage import UsageInvalid

if TYPE_CHECKING:
    from seawall.evidence.keys import PublicKey
    from seawall.evidence.places import LedgerPlace
    from seawall.evidence.verify import KnownHead, LedgerReport
    from seawall.plan.model import Plan
    from seawall.reporting.period import Period

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--period",
    "period_text",
    default=None,
    help="2026-Q4, 2026-11, 2026 or 2026-10-01..2026-12-15 (else this quarter), in the plan's time zone.",
)
@click.option(
    "--framework",
    type=click.Choice(["dora", "soc2", "nist"]),
    default=None,
    help="Only this framework in the control table.",
)
@click.option("--html", type=_FILE, default=None, help="Write the report as one HTML file too, fit to print.")
@click.option(
    "--public-key",
    "key_paths",
    multiple=True,
    type=_FILE,
    help="A public key that you trust, beside this host's own; may be given several times.",
)
@click.option(
    "--head", default=None, help="A head that you kept outside, NUMBER:HASH; it must be in the chain."
)
@ledger_options
@json_option
def command(
    period_text: str | None,
    framework: str | None,
    html: Path | None,
    key_paths: tuple[Path, ...],
    head: str | None,
    where: str | None,
    name: str | None,
    repository_name: str | None,
    plan_path: Path | None,
    as_json: bool,
) -> int:
    """Report what the ledger of drills proves of a period, and what it does not.

    The same ledger, plan and period give the same report. A ledger that is not as it was written is reported
    as that, and the exit status says so, too.
    """
    from seawall.cli.report_words import show_report
    from seawall.evidence.verify import KnownHead
    from seawall.reporting.controls import Framework, controls_of
    from seawall.reporting.render.document import report_document
    from seawall.reporting.render.html import render_html
    from seawall.reporting.report import build_report

    plan, own_key = _plan(plan_path, is_needed=where is None)
    period = _period(period_text, UTC if plan is None else ZoneInfo(plan.timezone))
    ledger = opened_ledger(where, name, repository_name, plan_path)
    known = KnownHead.parse(head) if head is not None else None
    verified = _verify(ledger.place, _trusted(key_paths, own_key), known, may_be_empty=where is None)
    report = build_report(plan, verified, period)
    controls = controls_of(report, Framework(framework) if framework else None)
    if html is not None:
        _write(html, render_html(report, controls))
    if as_json:
        print_json(report_document(report, controls))
    else:
        show_report(report, controls, html=html)
    verified.raise_if_damaged()
    return 0


def _plan(path: Path | None, *, is_needed: bool) -> tuple[Plan | None, PublicKey | None]:
    """Return the plan, and this host's key under it; none of both where only a ledger was named."""
    from seawall.app import App
    from seawall.plan.locate import locate_plan
    from seawall.reporting.own_key import own_public_key

    if not is_needed and path is None and locate_plan(None) is None:
        return None, None
    plan = App.load(path).plan
    return plan, own_public_key(plan.state)


def _verify(
    place: LedgerPlace, trusted: list[PublicKey], known: KnownHead | None, *, may_be_empty: bool
) -> LedgerReport:
    """Prove the ledger. Where a plan's was never begun, nothing is proven: that is a report, too."""
    from seawall.evidence.errors import LedgerMissing
    from seawall.evidence.verify import LedgerReport, verify_ledger

    try:
        return verify_ledger(place, trusted=trusted, known_head=known)
    except LedgerMissing:
        if not may_be_empty or known is not None:
            raise
        return LedgerReport(place.url)


def _trusted(paths: tuple[Path, ...], own: PublicKey | None) -> list[PublicKey]:
    from seawall.evidence.keys import read_public_key

    return [*(read_public_key(path) for path in paths), *([] if own is None else [own])]


def _period(text: str | None, zone: tzinfo) -> Period:
    from seawall.model.clock import SystemClock
    from seawall.reporting.period import parse_period, quarter_of

    if text is None:
        return quarter_of(SystemClock().now().astimezone(zone).date(), zone)
    try:
        return parse_period(text, zone)
    except ValueError as error:
        raise UsageInvalid(str(error), hint="seawall report --period 2026-Q4") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageInvalid(f"{path} can't be written: {error.strerror}", hint="name another file") from error
