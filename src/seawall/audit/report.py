"""The whole outcome of an audit: the headline, the findings worst first, and what they weigh."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from seawall.audit.masking import hide
from seawall.audit.rule import Finding, Result, Severity
from seawall.plan.model import Waiver

_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Headline:
    """What happens if ``subject`` is lost now: what data would be gone, and how long until service is back.

    Never better than what was seen; "unknown" where nothing was.
    """

    subject: str
    lost: str
    back: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """One audit. ``findings`` is in the order of :func:`in_order_of_weight`."""

    target: str
    observed_at: datetime
    about: tuple[str, ...]
    """What was looked at, in a few words each: the server's version, its size, who owns it."""
    headlines: tuple[Headline, ...]
    findings: tuple[Finding, ...]
    idle_waivers: tuple[Waiver, ...] = ()

    def with_result(self, result: Result) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.verdict.result is result)

    @property
    def open_failures(self) -> tuple[Finding, ...]:
        """What is wrong and nobody has accepted."""
        return tuple(finding for finding in self.with_result(Result.FAIL) if not finding.is_waived)

    @property
    def waived(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.with_result(Result.FAIL) if finding.is_waived)

    def has_failures_at(self, least: Severity | None) -> bool:
        """Say whether a finding that nobody accepted weighs ``least`` or more; None asks for none at all."""
        return least is not None and any(finding.severity >= least for finding in self.open_failures)

    def counts(self) -> dict[str, int]:
        """Return how many failed at each severity, how many are waived, and the other results."""
        counts = {severity.value: 0 for severity in Severity}
        for finding in self.open_failures:
            counts[finding.severity.value] += 1
        counts["waived"] = len(self.waived)
        for result in (Result.CANNOT_TELL, Result.PASS, Result.NOT_APPLICABLE):
            counts[result.value.replace("-", "_")] = len(self.with_result(result))
        return counts


def without_secrets(report: AuditReport, secrets: Iterable[str]) -> AuditReport:
    """Return the report with every one of ``secrets`` masked wherever a server repeats it. Very short ones are left:
    they would be masked in ordinary words."""
    hidden = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
    if not hidden:
        return report
    findings = tuple(
        dataclasses.replace(
            finding,
            verdict=dataclasses.replace(
                finding.verdict,
                text=hide(finding.verdict.text, hidden),
                evidence=tuple(hide(line, hidden) for line in finding.verdict.evidence),
                remedy=hide(finding.verdict.remedy, hidden),
            ),
        )
        for finding in report.findings
    )
    return dataclasses.replace(report, findings=findings)


_RESULT_ORDER = {result: number for number, result in enumerate(Result)}


def in_order_of_weight(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort: what is wrong first, the worst of it before the rest; then what can't be told, what passed, what
    does not apply. Among equals the rules' own order stays."""
    return tuple(sorted(findings, key=_weight))


def _weight(finding: Finding) -> tuple[int, bool, int]:
    return _RESULT_ORDER[finding.verdict.result], finding.is_waived, -finding.severity.rank
