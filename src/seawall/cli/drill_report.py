"""A drill on a terminal, in 80 columns and in a log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from seawall.cli.evidence_words import printable
from seawall.evidence.model import (
    Assertion,
    AssertionOutcome,
    DrillEvidence,
    DrillOutcome,
    Objective,
)
from seawall.model.units import format_bytes, format_duration

if TYPE_CHECKING:
    from seawall.drill.ledger import RecordedDrill

_WIDEST = 100
_STYLES = {
    DrillOutcome.PASSED: "bold green",
    DrillOutcome.FAILED: "bold red",
    DrillOutcome.INCOMPLETE: "bold yellow",
    AssertionOutcome.PASSED: "green",
    AssertionOutcome.FAILED: "red",
    AssertionOutcome.SLOW: "yellow",
    AssertionOutcome.COULD_NOT_RUN: "yellow",
}
_MARKS = {
    AssertionOutcome.PASSED: "ok  ",
    AssertionOutcome.FAILED: "FAIL",
    AssertionOutcome.SLOW: "slow",
    AssertionOutcome.COULD_NOT_RUN: "????",
}


def line_of(recorded: RecordedDrill) -> list[str]:
    """Return a drill as a row of a table."""
    drill = recorded.evidence
    source = drill.source.cluster or drill.source.location
    return [
        str(recorded.number),
        f"{drill.started_at:%Y-%m-%d %H:%M}",
        drill.outcome.value,
        _reached(drill.rto),
        _reached(drill.rpo),
        printable(f"{drill.source.tool} {source}"),
    ]


def show_drill(drill: DrillEvidence) -> None:
    """Print what was rehearsed, what held, and how long it took."""
    out = Console(highlight=False)
    out.width = min(out.width, _WIDEST)
    head = Text("drill ")
    head.append(drill.outcome.upper(), style=_STYLES[drill.outcome])
    out.print(head.append(f"  {printable(drill.scenario)}", style="default"), soft_wrap=True)
    for name, text in _facts(drill):
        _hanging(out, f"  {name:<10}", printable(text))
    out.print()
    for assertion in drill.assertions:
        _hanging(
            out,
            f"  {_MARKS[assertion.outcome]}  ",
            printable(_said(assertion)),
            style="" if assertion.outcome is AssertionOutcome.PASSED else _STYLES[assertion.outcome],
        )
    if drill.deviations:
        out.print()
        out.print(Text("not as in a real disaster, or not as wanted:", style="bold"))
        for text in drill.deviations:
            _hanging(out, "  - ", printable(text), style="dim")
    out.print()


def _facts(drill: DrillEvidence) -> Iterator[tuple[str, str]]:
    source = drill.source
    size = f", {format_bytes(source.raw_bytes)}" if source.raw_bytes is not None else ""
    yield "source", f"{source.tool} {source.location}{size}"
    if source.backup is not None:
        made = f", made {source.backup_at:%Y-%m-%d %H:%M:%S} UTC" if source.backup_at else ""
        yield "backup", f"{source.backup}{made}"
    point = drill.recovery_point
    reached = f"{point.at:%Y-%m-%d %H:%M:%S} UTC" if point.at else "unknown"
    where = f" (LSN {point.lsn}, timeline {point.timeline})" if point.lsn else ""
    what = "data as of" if drill.source.tool == "pg_dump" else "last transaction"
    yield "moment", f"asked: {point.asked}; {what}: {reached}{where}"
    yield "took", ", ".join(_phase_words(drill)) or "nothing"
    detection = drill.rto.detection_ms
    added = f", {format_duration(detection / 1000)} of it detection" if detection else ""
    yield "RTO", f"{_against(drill.rto)}{added if drill.rto.reached_ms is not None else ''}"
    yield "RPO", _against(drill.rpo)
    if drill.forecast is not None:
        full, rto = format_bytes(drill.forecast.raw_bytes), format_duration(drill.forecast.rto_ms / 1000)
        yield "forecast", f"{rto} for {full}, {drill.forecast.basis}"


def _phase_words(drill: DrillEvidence) -> Iterator[str]:
    for phase in drill.phases:
        rate = ""
        if phase.byte_count and phase.elapsed_ms:
            rate = f" ({format_bytes(phase.byte_count * 1000 / phase.elapsed_ms)}/s)"
        yield f"{phase.name} {format_duration(phase.elapsed_ms / 1000)}{rate}"


def _against(objective: Objective) -> str:
    if objective.reached_ms is None:
        return "not measured" + _target(objective)
    verdict = {True: "kept: ", False: "MISSED: ", None: ""}[objective.is_met]
    return f"{verdict}{_reached(objective)}{_target(objective)}"


def _target(objective: Objective) -> str:
    return "" if objective.target_ms is None else f" of {format_duration(objective.target_ms / 1000)}"


def _reached(objective: Objective) -> str:
    return "-" if objective.reached_ms is None else format_duration(objective.reached_ms / 1000)


def _said(assertion: Assertion) -> str:
    flaky = (
        " (at the second try)" if assertion.outcome is AssertionOutcome.PASSED and assertion.tries > 1 else ""
    )
    detail = f": {assertion.detail}" if assertion.detail else ""
    return f"{assertion.name}{flaky}{detail}"


def _hanging(out: Console, first: str, text: str, *, style: str = "") -> None:
    """Print a paragraph whose further lines stand under its first word."""
    wrapped = textwrap.wrap(
        text,
        out.width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_on_hyphens=False,
    )
    for piece in wrapped or [first]:
        out.print(Text(piece, style=style), soft_wrap=True)
