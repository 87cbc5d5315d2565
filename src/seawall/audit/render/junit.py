"""The report as JUnit XML: a test case for each verdict, so that a CI system shows what is wrong and keeps count."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

from seawall.audit.report import AuditReport
from seawall.audit.rule import Finding, Result

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't hold, as a terminal's escape sequences in a server's words."""


def render_junit(report: AuditReport) -> str:
    """Return one test suite. A failed rule is a failure; a waived one, one that doesn't apply and one that can't
    tell are skipped, with the reason."""
    failures = len(report.open_failures)
    skipped = sum(1 for finding in report.findings if _is_skipped(finding))
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": "seawall audit",
            "hostname": _clean(report.target),
            "timestamp": report.observed_at.strftime("%Y-%m-%dT%H:%M:%S"),
            "tests": str(len(report.findings)),
            "failures": str(failures),
            "errors": "0",
            "skipped": str(skipped),
            "time": "0",
        },
    )
    seen: Counter[str] = Counter()
    for finding in report.findings:
        name = _name(finding)
        seen[name] += 1
        suite.append(_case(finding, name if seen[name] == 1 else f"{name} ({seen[name]})"))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _is_skipped(finding: Finding) -> bool:
    return finding.is_waived or finding.verdict.result in (Result.CANNOT_TELL, Result.NOT_APPLICABLE)


def _name(finding: Finding) -> str:
    subject = finding.verdict.subject
    return f"{finding.rule.id} [{subject}]" if subject else finding.rule.id


def _case(finding: Finding, name: str) -> ElementTree.Element:
    """Return one case. A CI system tells cases apart by their names, so they are unique."""
    attributes = {"classname": f"seawall.audit.{finding.rule.topic}", "name": _clean(name), "time": "0"}
    case = ElementTree.Element("testcase", attributes)
    if finding.is_waived and finding.waiver is not None:
        text = f"waived until {finding.waiver.until}: {finding.waiver.reason}"
        case.append(ElementTree.Element("skipped", {"message": _clean(text)}))
    elif finding.is_failure:
        failure = ElementTree.Element(
            "failure", {"type": finding.severity.value, "message": _clean(finding.verdict.text)}
        )
        failure.text = _clean("\n".join(_details(finding)))
        case.append(failure)
    elif _is_skipped(finding):
        needs = f"; it needs: {finding.remedy}" if finding.remedy else ""
        text = f"{finding.verdict.result.value.replace('-', ' ')}: {finding.verdict.text}{needs}"
        case.append(ElementTree.Element("skipped", {"message": _clean(text)}))
    return case


def _details(finding: Finding) -> list[str]:
    lines = [*finding.verdict.evidence, f"remedy: {finding.remedy}", f"why: {finding.rule.why}"]
    if finding.waiver is not None:
        lines.append(f"its waiver ended on {finding.waiver.until}: {finding.waiver.reason}")
    return lines


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
