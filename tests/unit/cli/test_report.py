"""``seawall report`` as people and programs use it: a plan's ledger, a folder, a copy that was tampered with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from seawall.app import App
from seawall.evidence.model import Correction, SignOff
from tests.support.recovery import Outcome, seawall
from tests.unit.cli.test_evidence import GOLDEN, KEYS, LEDGER, assert_golden, plan, public_key
from tests.unit.reporting.sample import at, drill, quarter

__all__ = ["plan"]


def report(*arguments: str | os.PathLike[str]) -> Outcome:
    return seawall("report", *arguments)


@pytest.fixture
def drilled(plan: Path) -> Path:
    """A plan whose ledger tells of a quarter."""
    app = App.load(plan)
    ledger, key = app.evidence_ledger(), app.evidence_key()
    far = app.plan.repositories["far"].url
    for statement in [*quarter(), drill("2026-11-24", far)]:
        ledger.append(statement, key)
    return plan


def test_a_report_of_a_plans_ledger(drilled: Path, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    told = report("--plan", drilled, "--period", "2026-Q4", "--html", html).succeeded()
    assert "intact: every entry is as it was signed, by a public key that was given" in " ".join(
        told.out.split()
    )
    assert "main from far, latest moment: Nov 2026 passed (entry 15)" in told.out
    head = told.out.splitlines()[-1]
    assert head.startswith("15:") and head in html.read_text()


def test_the_document(drilled: Path) -> None:
    for arguments in ([], ["--framework", "dora"]):
        document = report("--plan", drilled, "--period", "2026-Q4", *arguments, "--json").succeeded().document
        assert_golden("report", document)
    assert [control["framework"] for control in document["controls"]] == ["dora", "dora"]
    assert document["counts"] == {"passed": 6, "failed": 2, "incomplete": 1, "proven": 6}


def test_the_quarter_of_today_is_what_it_tells_of_by_itself(plan: Path) -> None:
    document = report("--plan", plan, "--json").succeeded().document
    assert "-Q" in document["period"]["name"] and document["drills"] == []
    assert "EMPTY" in document["ledger"]["verdict"] and document["ledger"]["head"] is None
    assert {gap["kind"] for gap in document["not_proven"]} == {"cluster", "repository", "objective"}
    assert_golden("report", document)


def test_it_makes_no_key_and_no_ledger(plan: Path) -> None:
    before = sorted(path for path in plan.parent.rglob("*"))
    report("--plan", plan).succeeded()
    assert sorted(path for path in plan.parent.rglob("*")) == before


def test_an_auditor_needs_a_copy_and_public_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = [word for pair in KEYS for word in pair]
    document = report("--ledger", LEDGER, *options, "--period", "2026", "--json").succeeded().document
    assert document["ledger"]["proven"] and document["objectives"] is None and document["drills"]
    told = report("--ledger", LEDGER, "--period", "2026").succeeded()
    assert "no public key was given" in " ".join(told.out.split())
    assert_golden("report", document)


def test_a_ledger_that_was_tampered_with_is_told_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(LEDGER, tmp_path / "copy")
    (copy / "000004.json").unlink()
    failed = report("--ledger", copy, "--period", "2026", "--html", tmp_path / "r.html").failed_with(
        114, "NOT INTACT"
    )
    assert "can't be seen from the inside" not in failed.out, "there is no head to keep"
    assert "NOT INTACT" in (tmp_path / "r.html").read_text()
    assert_golden("report", report("--ledger", copy, "--period", "2026", "--json").document)


def test_a_signer_that_was_not_given_is_told_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report("--ledger", LEDGER, *KEYS[0], "--period", "2026").failed_with(115, "NOT signed by a public key")


def test_a_head_that_was_kept_must_be_there(drilled: Path) -> None:
    head = report("--plan", drilled, "--json").succeeded().document["ledger"]["head"]
    report("--plan", drilled, "--head", head).succeeded()
    (drilled.parent / "far" / "evidence" / "main" / "000015.json").unlink()
    report("--plan", drilled).succeeded()
    report("--plan", drilled, "--head", head).failed_with(114, "cut off or replaced")


@pytest.mark.parametrize("period", ["2026-Q5", "yesterday"])
def test_a_period_that_is_none(plan: Path, period: str) -> None:
    report("--plan", plan, "--period", period).failed_with(10, "not a period", "2026-Q4")


def test_a_file_that_cannot_be_written(plan: Path, tmp_path: Path) -> None:
    report("--plan", plan, "--html", tmp_path / "no" / "r.html").failed_with(10, "can't be written")


def test_another_hosts_key_is_given_beside_ones_own(drilled: Path, tmp_path: Path) -> None:
    state = tmp_path / "other"
    other = public_key(tmp_path, "--state", str(state))
    seawall("evidence", "keys", "add", other, "--label", "db2", "--plan", drilled).succeeded()
    where = drilled.parent / "far"
    seawall(
        "evidence", "sign-off", "15", "--who", "Ben", "--ledger", f"file://{where}", "--state", state
    ).succeeded()
    report("--plan", drilled).failed_with(115)
    told = report("--plan", drilled, "--public-key", other).succeeded()
    assert "Ben signed off entry 15 and all before it" in told.out


def test_what_the_samples_say_is_true() -> None:
    kinds = {type(item) for item in quarter()}
    assert {Correction, SignOff} <= kinds and GOLDEN.exists() and at("2026-11-24").hour == 5
