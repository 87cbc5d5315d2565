"""Findings that somebody accepts: never hidden, only counted differently, and only until their day.

A waiver takes a failed finding out of the exit status, and every output still shows it with the reason. A
waiver whose day has passed excuses nothing: the finding is back and says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import date

from seawall.audit.rule import Finding
from seawall.plan.model import Waiver


def apply_waivers(findings: Iterable[Finding], waivers: Sequence[Waiver], today: date) -> list[Finding]:
    """Return the findings, those that a waiver covers with it. The waiver that lasts longest counts."""
    return [_with_waiver(finding, waivers, today) if finding.is_failure else finding for finding in findings]


def _with_waiver(finding: Finding, waivers: Sequence[Waiver], today: date) -> Finding:
    covering = [waiver for waiver in waivers if covers(waiver, finding)]
    if not covering:
        return finding
    longest = max(covering, key=lambda waiver: waiver.until)
    return dataclasses.replace(finding, waiver=longest, is_waived=longest.until >= today)


def covers(waiver: Waiver, finding: Finding) -> bool:
    """Say whether the waiver speaks of the finding, whatever the day."""
    return waiver.rule == finding.rule.id and waiver.subject in (None, finding.verdict.subject)


def idle_waivers(findings: Sequence[Finding], waivers: Iterable[Waiver]) -> list[Waiver]:
    """Return the waivers that no failed finding needs: they can go."""
    failures = [finding for finding in findings if finding.is_failure]
    return [waiver for waiver in waivers if not any(covers(waiver, finding) for finding in failures)]
