"""What a person and a program are told of a ledger: a line for each entry, and what a verification proved."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seawall.evidence.model import (
    AssertionOutcome,
    Correction,
    DrillEvidence,
    Genesis,
    Note,
    Objective,
    SignerAdded,
    SignerRetired,
    SignOff,
)
from seawall.model.units import format_duration

if TYPE_CHECKING:
    from seawall.evidence.entry import Entry
    from seawall.evidence.verify import LedgerReport


def summarize(entry: Entry) -> str:
    """Return what an entry says, in a line that can't play tricks on a terminal."""
    return printable(_said(entry))


def printable(text: str) -> str:
    """Return ``text`` on one line, without what a terminal might obey: labels and words may be anybody's."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def show_entry(entry: Entry) -> None:
    """Print what was signed: the same JSON, with every letter escaped that a terminal might obey."""
    text = entry.envelope.payload.decode("utf-8")
    print(
        "".join(
            letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text
        ),
        end="",
    )


def _said(entry: Entry) -> str:
    said = entry.statement
    if isinstance(said, DrillEvidence):
        return _of_drill(said)
    if isinstance(said, Correction):
        return f"on {said.about}: {said.owner}, due {said.due}: {said.note}"
    if isinstance(said, Note):
        return (f"on {said.about}: " if said.about else "") + f"{said.who}: {said.text}"
    if isinstance(said, SignOff):
        return f"on {said.about}: signed off by {said.who}" + (f": {said.text}" if said.text else "")
    if isinstance(said, Genesis):
        return f"ledger {said.name} begun on {said.label}"
    if isinstance(said, SignerAdded):
        return f"{said.label} may sign from here on (by {said.who})"
    if isinstance(said, SignerRetired):
        return f"key {said.signer[:16]} may sign no more: {said.reason}"
    return f"(this Seawall can't read {entry.type} of version {entry.version}; `show` prints it)"


def entry_document(entry: Entry) -> dict[str, object]:
    """Return the facts of an entry for ``--json``."""
    return {
        "number": entry.number,
        "at": entry.at,
        "type": entry.type,
        "version": entry.version,
        "signer": entry.signer,
        "sha256": entry.sha256,
        "summary": summarize(entry),
    }


def report_document(report: LedgerReport) -> dict[str, object]:
    """Return a verification for ``--json``."""
    return {
        "ledger": report.url,
        "intact": report.is_intact,
        "entries": len(report.entries),
        "head": report.head,
        "known_head": str(report.known_head) if report.known_head else None,
        "public_keys_given": list(report.given),
        "signers": [
            {"fingerprint": signer.fingerprint, "label": signer.label, "retired_at_entry": signer.until}
            for signer in report.signers
        ],
        "unproven_entries": report.unproven,
        "findings": [
            {"entry": item.number, "problem": item.problem.value, "message": item.message}
            for item in report.findings
        ],
        "remarks": report.remarks,
    }


def show_report(report: LedgerReport) -> None:
    """Print what was proven, what was not, and the line to keep."""
    for line in _report_lines(report):
        print(printable(line))


def _report_lines(report: LedgerReport) -> Iterator[str]:
    yield f"{report.url}: {len(report.entries)} entries, {_verdict(report)}"
    for finding in report.findings:
        yield f"  {finding.problem}: {finding.message}"
    for text in report.remarks:
        yield f"  remark: {text}"
    drills = [said for entry in report.entries if isinstance(said := entry.statement, DrillEvidence)]
    counts = Counter(drill.outcome.value for drill in drills)
    yield f"  drills: {', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items())) or 'none'}"
    signed = Counter(entry.signer for entry in report.entries)
    for signer in report.signers:
        trust = "given by you" if signer.fingerprint in report.given else "not given by you"
        yield f"  {signed[signer.fingerprint]} signed by {signer.label} ({trust}), SHA-256"
        yield f"    {signer.fingerprint}"
    if report.unproven:
        yield f"  NOT PROVEN, since their key was not given: entries {_ranges(report.unproven)}"
    if not report.given:
        yield "Without --public-key this proves only that the ledger agrees with the key in its own first"
        yield "entry. Compare the fingerprint above with the host's: seawall evidence keys show"
    if report.known_head is not None and not report.findings:
        yield f"The known head {str(report.known_head)[:24]}… is in the chain: nothing up to it was cut off."
    if report.head is not None:
        yield "Entries cut off at the end can't be seen from the inside. Keep this line elsewhere,"
        yield "and give it next time with --head:"
        yield f"  {report.head}"


def _verdict(report: LedgerReport) -> str:
    if report.findings:
        return "NOT INTACT"
    if report.unproven:
        return "chain intact, signers NOT ALL PROVEN"
    return "intact" if report.given else "consistent in itself, NOT PROVEN by a key of yours"


def _of_drill(drill: DrillEvidence) -> str:
    asked = len(drill.assertions)
    held = sum(item.outcome in (AssertionOutcome.PASSED, AssertionOutcome.SLOW) for item in drill.assertions)
    parts = [
        f"{'recovery ' if drill.is_real else ''}{drill.outcome.upper()}",
        f"{held} of {asked} assertions held",
        f"RTO {_measured(drill.rto)}",
        f"RPO {_measured(drill.rpo)}",
    ]
    return f"{', '.join(parts)}: {drill.scenario}"


def _measured(objective: Objective) -> str:
    reached = "unknown" if objective.reached_ms is None else format_duration(objective.reached_ms / 1000)
    return (
        reached
        if objective.target_ms is None
        else f"{reached} of {format_duration(objective.target_ms / 1000)}"
    )


def _ranges(numbers: list[int]) -> str:
    """Return ascending numbers as people write them: ``2-5, 9``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in parts)
