"""An audit on a terminal: the headline, then what is wrong, worst first; readable in 80 columns and in a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from seawall.audit.report import AuditReport
from seawall.audit.rule import Finding, Result, Rule
from seawall.cli.paragraphs import WIDEST, hanging

_STYLES = {"critical": "bold white on red", "high": "bold red", "medium": "bold yellow", "low": "bold cyan"}
_HEADINGS = {
    Result.CANNOT_TELL: "cannot tell",
    Result.PASS: "passed",
    Result.NOT_APPLICABLE: "not applicable",
}


def show_report(report: AuditReport, *, shows_all: bool, console: Console | None = None) -> None:
    """Print the report; what passed and what doesn't apply only as counts, unless ``shows_all``."""
    out = console or Console(highlight=False, markup=False, soft_wrap=False)
    out.width = min(out.width, WIDEST)
    hanging(out, "", f"seawall audit {report.target}", indent=0, style="bold")
    for line in report.about:
        hanging(out, "", line, indent=0)
    for headline in report.headlines:
        named = f" ({headline.subject})" if len(report.headlines) > 1 else ""
        out.print(Text(f"\nIf this server died now{named}", style="bold"))
        hanging(out, "lost:    ", headline.lost, indent=2)
        hanging(out, "back in: ", headline.back, indent=2)
    for finding in report.open_failures:
        _show_failure(out, finding)
    if report.waived:
        _show_waived(out, report.waived)
    _show_unknown(out, report.with_result(Result.CANNOT_TELL))
    for result in (Result.PASS, Result.NOT_APPLICABLE):
        if shows_all:
            _show_quiet(out, result, report.with_result(result))
    for waiver in report.idle_waivers:
        out.print()
        text = f"the waiver of {waiver.rule} has nothing to waive: remove it from the plan"
        hanging(out, "", text, indent=0, style="dim")
    out.print()
    if report.open_failures:
        first = report.open_failures[0].rule.id
        hanging(out, "", f"why it matters: seawall audit --explain {first}", indent=0, style="dim")
    hanging(out, "", _summary(report, shows_all=shows_all), indent=0, style="bold")


def show_rule(rule: Rule[Any], *, console: Console | None = None) -> None:
    """Print what a rule is about: why it matters, what happened to somebody, and what to do."""
    out = console or Console(highlight=False, markup=False, soft_wrap=False)
    out.width = min(out.width, WIDEST)
    head = Text().append(rule.severity.value.upper(), style=_STYLES[rule.severity.value])
    out.print(head.append(f" {rule.id}", style="bold"))
    for text in (f"{rule.title}.", rule.why, f"It happened: {rule.story.text}", rule.story.source):
        out.print()
        hanging(out, "", text, indent=2)
    out.print()
    hanging(out, "→ ", rule.remedy, indent=2, style="green")


def _show_failure(out: Console, finding: Finding) -> None:
    severity = finding.severity.value
    out.print()
    head = (
        Text().append(severity.upper(), style=_STYLES[severity]).append(f" {finding.rule.id}", style="bold")
    )
    if finding.verdict.subject:
        head.append(f"  {finding.verdict.subject}")
    out.print(head)
    hanging(out, "", finding.verdict.text, indent=2)
    for line in finding.verdict.evidence:
        hanging(out, "", line, indent=6, style="dim")
    if finding.remedy:
        hanging(out, "→ ", finding.remedy, indent=2, style="green")
    if finding.waiver is not None:
        waiver = finding.waiver
        hanging(out, "", f"its waiver ended on {waiver.until}: {waiver.reason}", indent=2, style="yellow")


def _show_waived(out: Console, findings: Sequence[Finding]) -> None:
    out.print(Text(f"\nWAIVED ({len(findings)})", style="bold"))
    for finding in findings:
        waiver = finding.waiver
        assert waiver is not None
        text = f"{finding.severity.value} {finding.rule.id}: {finding.verdict.text}"
        hanging(out, "", text, indent=2)
        hanging(out, "", f"accepted until {waiver.until}: {waiver.reason}", indent=6, style="dim")


def _show_unknown(out: Console, findings: Sequence[Finding]) -> None:
    """Say together what has the same reason: without a plan, that is many a rule."""
    if not findings:
        return
    out.print(Text(f"\nCANNOT TELL ({len(findings)})", style="bold"))
    reasons: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        key = (finding.verdict.text, finding.remedy)
        name = finding.rule.id
        if finding.verdict.subject:
            name += f" ({finding.verdict.subject})"
        reasons.setdefault(key, []).append(name)
    for (reason, needs), names in reasons.items():
        hanging(out, "", f"{reason}:", indent=2)
        hanging(out, "", ", ".join(names), indent=6, style="dim")
        if needs:
            hanging(out, "→ ", needs, indent=2, style="green")


def _show_quiet(out: Console, result: Result, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    out.print(Text(f"\n{_HEADINGS[result].upper()} ({len(findings)})", style="bold"))
    for finding in findings:
        subject = f" ({finding.verdict.subject})" if finding.verdict.subject else ""
        hanging(out, "", f"{finding.rule.id}{subject}: {finding.verdict.text}", indent=2)


def _summary(report: AuditReport, *, shows_all: bool) -> str:
    counts = report.counts()
    wrong = [f"{counts[name]} {name}" for name in ("critical", "high", "medium", "low") if counts[name]]
    parts = [", ".join(wrong) or "nothing wrong was found"]
    parts += [f"{counts['waived']} waived"] * bool(counts["waived"])
    parts.append(f"{counts['cannot_tell']} can't be told")
    parts.append(f"{counts['pass']} passed, {counts['not_applicable']} not applicable")
    return "; ".join(parts) + ("" if shows_all else " (--all shows them)")
