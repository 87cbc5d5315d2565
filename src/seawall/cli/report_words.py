"""The report of a period on a terminal: what counts, in 80 columns; the whole of it is in the HTML and the JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from seawall.cli.evidence_words import printable
from seawall.cli.paragraphs import WIDEST, hanging
from seawall.evidence.model import DrillOutcome
from seawall.model.units import format_duration
from seawall.reporting.controls import Control
from seawall.reporting.failures import Failure
from seawall.reporting.report import CUT_OFF_WARNING, NOTHING_LEFT_OUT, Report, Row

_MARKS = (
    ("passed", "passed"),
    ("failed", "FAILED"),
    ("incomplete", "incomplete"),
    ("unproven", "not proven"),
)


def show_report(
    report: Report, controls: Sequence[Control], *, html: Path | None = None, console: Console | None = None
) -> None:
    """Print the report, the worst first: ledger, drills, failures, what is not proven."""
    out = console or Console(highlight=False, markup=False, soft_wrap=False)
    out.width = min(out.width, WIDEST)
    service = f" of {report.service}" if report.service else ""
    title = (
        f"Recovery evidence{service}, {report.period.label}: {report.period.first} to {report.period.last}"
    )
    hanging(out, "", printable(title), indent=0, style="bold")
    _show_ledger(out, report)
    _section(out, "OBJECTIVES", _objectives(report))
    _section(out, "PROVEN WHEN", [_row_words(row, report) for row in report.rows] or ["nothing"])
    _section(
        out, f"FAILURES ({len(report.failures)})", [_failure_words(item, report) for item in report.failures]
    )
    _section(
        out,
        f"NOT PROVEN ({len(report.gaps)})",
        [f"{gap.kind} {gap.subject}: {gap.text}" for gap in report.gaps] or [NOTHING_LEFT_OUT],
    )
    for control in controls:
        _section(out, f"EVIDENCE FOR {control.reference}", [*control.figures] or ["none"])
        for text in control.missing:
            hanging(out, "no evidence: ", printable(text), indent=2, style="dim")
    _show_people(out, report)
    if html is not None:
        out.print()
        hanging(out, "", f"written to {html}", indent=0)
    if report.ledger.head is not None:
        out.print()
        hanging(out, "", CUT_OFF_WARNING, indent=0, style="dim")
        out.print(Text(report.ledger.head, style="bold"), soft_wrap=True)


def _show_ledger(out: Console, report: Report) -> None:
    ledger = report.ledger
    style = "green" if ledger.is_proven else "yellow" if ledger.is_intact else "bold red"
    hanging(
        out,
        "",
        printable(f"ledger {ledger.url}, {ledger.entries} entries: {ledger.words}"),
        indent=0,
        style=style,
    )
    for text in ledger.findings:
        hanging(out, "- ", printable(text), indent=2, style="red")
    for text in ledger.remarks:
        hanging(out, "remark: ", printable(text), indent=2)
    counts = [f"{report.count(item)} {item}" for item in DrillOutcome if report.count(item)]
    drills = f"{len(report.drills)} drill" + ("" if len(report.drills) == 1 else "s")
    out.print(Text(f"{drills} in the period" + (f": {', '.join(counts)}" if counts else "")))


def _objectives(report: Report) -> Iterable[str]:
    targets = report.objectives
    for name in ("RTO", "RPO"):
        worst, verdict = report.worst_ms(name), report.judge(name)
        if worst is None:
            yield f"{name}: {verdict}"
            continue
        text = f"{name}: worst {format_duration(worst / 1000)}"
        if targets is not None:
            target_s = targets.rto_s if name == "RTO" else targets.rpo_s
            text += f" of {format_duration(target_s)}, {verdict}"
        yield text


def _row_words(row: Row, report: Report) -> str:
    if row.moment is None:
        return f"{row.label}: not tested in the period"
    parts = [
        f"{bucket.label} {', '.join(words)}"
        for bucket, cell in zip(report.buckets, row.cells, strict=True)
        if (
            words := [
                f"{label} {_numbers(found)}" for name, label in _MARKS if (found := getattr(cell, name))
            ]
        )
    ]
    return f"{row.label}, {row.moment} moment: {'; '.join(parts)}"


def _numbers(entries: Sequence[int]) -> str:
    return f"(entry {entries[0]})" if len(entries) == 1 else f"(entries {', '.join(map(str, entries))})"


def _failure_words(item: Failure, report: Report) -> str:
    fixes = "; ".join(f"{fix.owner}, due {fix.due}: {fix.note}" for fix in item.fixes) or "nobody mends it"
    since = "it has not passed since"
    if item.repaired_by is not None:
        since = (
            f"passed again on {report.period.day_of(item.repaired_by.at)} (entry {item.repaired_by.number})"
        )
    day = report.period.day_of(item.drill.at)
    reasons = "; ".join(item.drill.reasons()[:3])
    return f"entry {item.drill.number} of {day} {item.drill.evidence.outcome}: {reasons}. {fixes}. {since}"


def _show_people(out: Console, report: Report) -> None:
    lines = [
        f"{said.statement.who} signed off entry {said.statement.about} and all before it"
        for said in report.sign_offs
    ]
    _section(out, "SIGN-OFFS", lines or ["nobody has signed off a drill of the period"])


def _section(out: Console, title: str, lines: Iterable[str]) -> None:
    shown = list(lines)
    if not shown:
        return
    out.print(Text(f"\n{title}", style="bold"))
    for line in shown:
        hanging(out, "- ", printable(line), indent=2)
