"""The same report as JSON, JUnit, HTML and on a terminal: complete, escaped, and nothing loaded from elsewhere."""

from __future__ import annotations

import io
import json
import re
from datetime import date
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from seawall.audit.render.document import report_document
from seawall.audit.render.html import render_html
from seawall.audit.render.junit import render_junit
from seawall.audit.report import AuditReport
from seawall.audit.rulebook import every_rule, judge_service, make_report
from seawall.cli.audit_report import show_report, show_rule
from seawall.cli.output import print_json
from seawall.model.fact import Unknown
from seawall.plan.model import Waiver
from seawall.postgres.health.facts import ConfigError, UnloggedTables
from tests.unit.audit import healthy as h

HOSTILE = "<script>alert('1')</script> & \x1b[31m \"x\""


@pytest.fixture(scope="module")
def report() -> AuditReport:
    """Failures of all severities, one waived, one whose waiver ended, unknowns, and hostile text from a server."""
    primary = h.server(
        settings=h.settings(
            archive_command="PGPASSWORD=hunter2 cp %p /srv/%f || true", fsync="off", summarize_wal="off"
        ),
        receivers=Unknown(f"the role may not see {HOSTILE}", "GRANT pg_monitor TO auditor"),
        config_errors=(ConfigError("/a.conf", 3, HOSTILE, "unknown"),),
        visits=(h.visit(unlogged=UnloggedTables((HOSTILE,), 8192)),),
    )
    made = judge_service(h.service(h.cluster(primary=primary)), "plan.yaml")
    waivers = (
        Waiver("server-fsync-off", None, "a test server <b>", date(2027, 1, 1)),
        Waiver("server-summaries-off", None, "not yet", date(2026, 1, 1)),
        Waiver("people-none", None, "x", date(2027, 1, 1)),
    )
    return make_report(
        f"plan {HOSTILE}", h.NOW, made.findings, waivers, about=made.about, headlines=made.headlines
    )


def terminal(report: AuditReport, width: int, *, shows_all: bool = True) -> str:
    out = io.StringIO()
    show_report(
        report, shows_all=shows_all, console=Console(file=out, width=width, highlight=False, markup=False)
    )
    return out.getvalue()


def test_junit_has_a_case_for_each_verdict(report: AuditReport) -> None:
    suite = ElementTree.fromstring(render_junit(report).encode()).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert len(cases) == len(report.findings) == int(suite.attrib["tests"])
    assert (
        len(suite.findall("testcase/failure")) == len(report.open_failures) == int(suite.attrib["failures"])
    )
    assert len(suite.findall("testcase/skipped")) == int(suite.attrib["skipped"])
    assert {c.attrib["classname"] for c in cases} >= {"seawall.audit.wal", "seawall.audit.people"}
    names = [c.attrib["name"] for c in cases]
    assert len(set(names)) == len(names), "a CI system tells cases apart by their names"


class _Assets(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            f"{name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "data")
        ]


def test_html_is_one_file_without_script_and_escapes_everything(report: AuditReport) -> None:
    page = render_html(report)
    parser = _Assets()
    parser.feed(page)
    assert parser.loads == [] and not {"script", "link", "img", "iframe"} & set(parser.tags)
    assert "url(" not in page and "@import" not in page and "default-src 'none'" in page
    assert "<script>" not in page and "&lt;script&gt;" in page
    for finding in report.findings:
        assert finding.rule.id in page


def test_the_document_is_json_with_every_finding(
    report: AuditReport, capsys: pytest.CaptureFixture[str]
) -> None:
    print_json(report_document(report))
    document = json.loads(capsys.readouterr().out)
    assert len(document["findings"]) == len(report.findings)
    assert document["counts"] == report.counts() and document["observed_at"].startswith("2026-11-25T12:00")
    waived = [item for item in document["findings"] if item["waiver"] and item["waiver"]["is_in_force"]]
    assert [item["rule"] for item in waived] == ["server-fsync-off"]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_terminal_is_never_overrun(report: AuditReport, width: int) -> None:
    shown = terminal(report, width)
    assert max(len(line) for line in shown.splitlines()) <= width
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_the_terminal_says_the_headline_first_and_hides_nothing_that_is_wrong(report: AuditReport) -> None:
    shown = terminal(report, 80, shows_all=False)
    assert shown.index("If this server died now") < shown.index("CRITICAL ")
    positions = [shown.index(finding.rule.id) for finding in report.open_failures]
    assert positions == sorted(positions)
    assert "WAIVED (1)" in shown and "accepted until 2027-01-01" in shown
    assert "its waiver ended on 2026-01-01" in shown and "nothing to waive" in shown
    assert "server-checksums-off" not in shown and "server-checksums-off" in terminal(report, 80)
    assert "(--all shows them)" in shown


def test_a_rule_explains_itself() -> None:
    out = io.StringIO()
    rule = next(rule for rule in every_rule() if rule.id == "wal-archive-command-lies")
    show_rule(rule, console=Console(file=out, width=80, highlight=False, markup=False))
    told = " ".join(out.getvalue().split())
    assert rule.title in told and rule.story.source in told and "→ ALTER SYSTEM" in told
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_no_form_of_a_report_shows_a_secret_or_an_escape_sequence(report: AuditReport) -> None:
    forms = {
        "terminal": terminal(report, 80),
        "html": render_html(report),
        "junit": render_junit(report),
        "json": json.dumps(report_document(report), default=str),
    }
    for form, text in forms.items():
        assert "hunter2" not in text, form
        assert "PGPASSWORD=***" in re.sub(r"\s+", " ", text), form
        assert "\x1b" not in text, form
