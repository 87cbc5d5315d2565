"""The report written down: the same bytes for the same figures, nothing fetched, nothing claimed that isn't proven."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace
from rich.console import Console

from seawall.cli.output import print_json
from seawall.cli.report_words import show_report
from seawall.evidence.model import Note
from seawall.reporting.charts import trend_svg
from seawall.reporting.controls import controls_of
from seawall.reporting.render.document import report_document
from seawall.reporting.render.html import render_html
from seawall.reporting.report import CUT_OFF_WARNING, Report, build_report
from tests.unit.evidence.sample_ledger import replaced
from tests.unit.reporting.sample import FAR, QUARTER, drill, ledger, plan, quarter, report, verified

SOURCES = Path(__file__).resolve().parents[3] / "src" / "seawall" / "reporting"


def html(of: Report) -> str:
    return render_html(of, controls_of(of))


def terminal(of: Report, width: int = 80) -> str:
    out = io.StringIO()
    show_report(of, controls_of(of), console=Console(file=out, width=width, highlight=False, markup=False))
    return out.getvalue()


def document(of: Report, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    print_json(report_document(of, controls_of(of)))
    return capsys.readouterr().out


def test_the_same_ledger_and_period_give_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    store = ledger(quarter())
    first, again = (build_report(plan(), verified(store), QUARTER) for _ in range(2))
    assert html(first) == html(again)
    assert document(first, capsys) == document(again, capsys)
    assert terminal(first) == terminal(again)


def test_nothing_in_the_file_is_fetched_or_runs() -> None:
    text = html(report())
    for address in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", text):
        assert address.startswith("data:image/svg+xml;base64,"), address
    pictures = [base64.b64decode(found) for found in re.findall(r"base64,([A-Za-z0-9+/=]+)", text)]
    assert len(pictures) == 3
    for page in [text, *(picture.decode() for picture in pictures)]:
        assert "<script" not in page and "@import" not in page and "javascript:" not in page
    for picture in pictures:
        tree = ElementTree.fromstring(picture)
        links = [
            value for item in tree.iter() for name, value in item.attrib.items() if name.endswith("href")
        ]
        assert links == [] and b"2026-11-25" not in picture.split(b"<style")[0]


def test_a_picture_shows_each_drill_and_the_objective() -> None:
    rto = next(trend for trend in report().trends if (trend.cluster, trend.objective) == ("main", "RTO"))
    svg = trend_svg(rto, QUARTER)
    tree = ElementTree.fromstring(svg)
    dots = [item for item in tree.iter() if item.tag.endswith("circle") and "dot" in item.get("class", "")]
    assert len(dots) == 6
    assert sum(item.get("r") == "6" for item in dots) == 2, "failed drills are larger"
    words = [item.text for item in tree.iter() if item.tag.endswith("text")]
    assert "far" in words and "objective: 15 m 00 s" in words and "2026-10-01" in words


def test_no_rendering_judges_conformity(capsys: pytest.CaptureFixture[str]) -> None:
    """ "Evidence for", never the other word: whoever reads the report judges, not who wrote it."""
    forbidden = re.compile("complian|conform", re.IGNORECASE)
    for made in (report(), report([])):
        for text in (html(made), document(made, capsys), terminal(made)):
            assert not forbidden.search(text)
            assert re.search("evidence for", text, re.IGNORECASE) or '"evidence_for"' in text
    templates = [path.read_text() for path in SOURCES.rglob("*") if path.suffix in {".py", ".html"}]
    said = [text for text in templates if re.search("complian", text, re.IGNORECASE)]
    assert len(templates) > 10 and said == []


def test_the_head_is_on_every_page_and_every_rendering(capsys: pytest.CaptureFixture[str]) -> None:
    made = report()
    head = made.ledger.head
    assert head is not None
    for text in (html(made), document(made, capsys), terminal(made)):
        assert head in text
        assert "can't be seen from the inside" in " ".join(text.split()).replace("&#39;", "'")
    assert f'@bottom-left {{ content: "head {head}"' in html(made)
    assert "kept elsewhere" in CUT_OFF_WARNING


def test_a_damaged_ledger_is_told_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    store = ledger(quarter())
    replaced(store, 4, lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    made = build_report(plan(), verified(store), QUARTER)
    for text in (html(made), document(made, capsys), terminal(made)):
        assert "NOT INTACT" in text
    assert "NO HEAD" in html(made) and json.loads(document(made, capsys))["ledger"]["head"] is None
    assert json.loads(document(made, capsys))["counts"]["proven"] == 0


def test_words_of_the_ledger_are_escaped() -> None:
    hostile = "<script>alert(1)</script>\x1b[2J"
    made = report(
        [replace(drill("2026-10-05"), who=hostile, scenario=hostile), Note(text=hostile, about=2, who="x")]
    )
    assert "<script" not in html(made) and "&lt;script&gt;" in html(made)
    assert "\x1b" not in terminal(made)


def test_the_terminal_is_readable_in_80_columns() -> None:
    for made in (
        report(),
        report([]),
        report([drill("2026-10-05", FAR, "row counts are those of the backup")]),
    ):
        for line in terminal(made).splitlines():
            assert len(line) <= 80, line
    shown = " ".join(terminal(report()).split())
    for words in (
        "8 drills in the period: 5 passed, 2 failed, 1 incomplete",
        "RTO: worst 15 m 10 s of 15 m 00 s, MISSED",
        "ada, due 2026-10-30",
        "repository main from near: no restore from it passed in the period; it was never tested",
        "nobody mends it. it has not passed since",
    ):
        assert words in shown


def test_the_html_is_well_formed() -> None:
    class Balance(HTMLParser):
        void = frozenset({"meta", "br", "img"})

        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in self.void:
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    for made in (report(), report([]), build_report(None, verified(ledger(quarter())), QUARTER)):
        balance = Balance()
        balance.feed(html(made))
        assert balance.open == []
