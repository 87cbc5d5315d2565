"""The report as a document for programs (docs/json.md)."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.evidence.model import DrillOutcome, Objective
from seawall.reporting.controls import Control
from seawall.reporting.failures import Failure
from seawall.reporting.history import Drill, Said
from seawall.reporting.render.html import zone_name
from seawall.reporting.report import CUT_OFF_WARNING, Report, Trend


def report_document(report: Report, controls: Sequence[Control]) -> dict[str, object]:
    """Return the whole report in JSON's types; times stay datetimes for the printer."""
    period = report.period
    objectives = report.objectives
    return {
        "service": report.service,
        "period": {
            "name": period.label,
            "first_day": period.first.isoformat(),
            "last_day": period.last.isoformat(),
            "timezone": zone_name(report),
        },
        "objectives": None
        if objectives is None
        else {"rto_s": objectives.rto_s, "rpo_s": objectives.rpo_s, "detection_s": objectives.detection_s},
        "plan_sha256": report.plan_sha256,
        "ledger": _ledger(report),
        "counts": {outcome.value: report.count(outcome) for outcome in DrillOutcome}
        | {"proven": sum(drill.is_proven and drill.passed for drill in report.drills)},
        "drills": [_drill(drill, report) for drill in report.drills],
        "proven_when": [
            {
                "source": _source(row.source.cluster, row.source.tool, row.source.location, row.name),
                "moment": row.moment,
                "cells": [
                    {
                        "from": bucket.first.isoformat(),
                        "to": bucket.last.isoformat(),
                        "passed": list(cell.passed),
                        "failed": list(cell.failed),
                        "incomplete": list(cell.incomplete),
                        "not_proven": list(cell.unproven),
                    }
                    for bucket, cell in zip(report.buckets, row.cells, strict=True)
                ],
            }
            for row in report.rows
        ],
        "failures": [_failure(item) for item in report.failures],
        "trends": [_trend(trend) for trend in report.trends],
        "not_proven": [{"kind": gap.kind, "subject": gap.subject, "text": gap.text} for gap in report.gaps],
        "controls": [
            {
                "framework": control.framework,
                "reference": control.reference,
                "asks": control.asks,
                "evidence_for": list(control.figures),
                "no_evidence_for": list(control.missing),
            }
            for control in controls
        ],
        "sign_offs": [_said(said) for said in report.sign_offs],
        "notes": [_said(said) for said in report.notes],
    }


def _ledger(report: Report) -> dict[str, object]:
    ledger = report.ledger
    return {
        "url": ledger.url,
        "entries": ledger.entries,
        "intact": ledger.is_intact,
        "proven": ledger.is_proven,
        "verdict": ledger.words,
        "head": ledger.head,
        "head_warning": CUT_OFF_WARNING,
        "newest_at": ledger.newest_at,
        "findings": list(ledger.findings),
        "remarks": list(ledger.remarks),
        "signers": [
            {"label": label, "fingerprint": fingerprint, "given": is_given}
            for label, fingerprint, is_given in ledger.signers
        ],
    }


def _drill(drill: Drill, report: Report) -> dict[str, object]:
    evidence = drill.evidence
    return {
        "entry": drill.number,
        "drill": evidence.drill,
        "scenario": evidence.scenario,
        "outcome": evidence.outcome,
        "proven": drill.is_proven,
        "real": evidence.is_real,
        "started_at": evidence.started_at,
        "ended_at": evidence.ended_at,
        "source": _source(*drill.source, report.names.get(drill.source)),
        "backup": evidence.source.backup,
        "asked": evidence.recovery_point.asked,
        "moment": drill.moment,
        "recovered_to": evidence.recovery_point.at,
        "rto": _objective(evidence.rto),
        "rpo": _objective(evidence.rpo),
        "assertions": len(evidence.assertions),
        "assertions_held": drill.held,
        "reasons": list(drill.reasons()),
        "deviations": list(evidence.deviations),
        "who": evidence.who,
        "host": evidence.host,
        "plan_sha256": evidence.plan_sha256,
        "signed_off": drill.number in report.reviewed,
    }


def _source(cluster: str, tool: str, location: str, name: str | None) -> dict[str, object]:
    return {"cluster": cluster or None, "tool": tool, "location": location, "repository": name}


def _objective(objective: Objective) -> dict[str, object]:
    return {
        "target_ms": objective.target_ms,
        "reached_ms": objective.reached_ms,
        "detection_ms": objective.detection_ms,
        "met": objective.is_met,
    }


def _failure(item: Failure) -> dict[str, object]:
    return {
        "entry": item.drill.number,
        "ended_at": item.drill.at,
        "outcome": item.drill.evidence.outcome,
        "reasons": list(item.drill.reasons()),
        "from_before": item.is_from_before,
        "fixes": [
            {"entry": fix.number, "owner": fix.owner, "due": fix.due.isoformat(), "note": fix.note}
            for fix in item.fixes
        ],
        "passed_again": None
        if item.repaired_by is None
        else {"entry": item.repaired_by.number, "at": item.repaired_by.at},
    }


def _trend(trend: Trend) -> dict[str, object]:
    return {
        "cluster": trend.cluster or None,
        "objective": trend.objective,
        "target_ms": trend.target_ms,
        "series": [
            {
                "source": name,
                "points": [
                    {"at": p.at, "reached_ms": p.reached_ms, "entry": p.entry, "passed": p.passed}
                    for p in points
                ],
            }
            for name, points in trend.series
        ],
    }


def _said(said: Said) -> dict[str, object]:
    statement = said.statement
    text = getattr(statement, "text", "")
    return {
        "entry": said.number,
        "at": said.at,
        "about": statement.about,
        "who": statement.who,
        "text": text,
    }
