"""The report as a document for programs (docs/json.md)."""

from __future__ import annotations

from seawall.audit.report import AuditReport
from seawall.audit.rule import Finding


def report_document(report: AuditReport) -> dict[str, object]:
    """Return the whole report in JSON's types; times stay datetimes for the printer."""
    return {
        "target": report.target,
        "observed_at": report.observed_at,
        "about": list(report.about),
        "headlines": [
            {"subject": item.subject, "lost": item.lost, "back": item.back} for item in report.headlines
        ],
        "counts": report.counts(),
        "findings": [finding_document(finding) for finding in report.findings],
        "idle_waivers": [
            {"rule": waiver.rule, "subject": waiver.subject, "until": waiver.until.isoformat()}
            for waiver in report.idle_waivers
        ],
    }


def finding_document(finding: Finding) -> dict[str, object]:
    """Return one finding with the words of its rule."""
    waiver = finding.waiver
    return {
        "rule": finding.rule.id,
        "result": finding.verdict.result.value,
        "severity": finding.severity.value,
        "subject": finding.verdict.subject or None,
        "title": finding.rule.title,
        "text": finding.verdict.text,
        "evidence": list(finding.verdict.evidence),
        "remedy": finding.remedy or None,
        "why": finding.rule.why,
        "story": {"text": finding.rule.story.text, "source": finding.rule.story.source},
        "waiver": None
        if waiver is None
        else {
            "reason": waiver.reason,
            "until": waiver.until.isoformat(),
            "is_in_force": finding.is_waived,
        },
    }
