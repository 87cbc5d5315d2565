"""``--json`` of every command, good and bad: it parses, and its shape is the golden one.

SEAWALL_WRITE_GOLDEN=1 adds what is new to the golden files; docs/json.md has to follow (tests/unit/cli).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.json_shape import merge, misfits, shape
from tests.support.recovery import Protected, seawall

pytestmark = pytest.mark.postgres

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "json"


def assert_golden(name: str, document: Any) -> None:
    path = GOLDEN / f"{name}.json"
    found = shape(document)
    if os.environ.get("SEAWALL_WRITE_GOLDEN"):
        known = [json.loads(path.read_text())] if path.exists() else []
        path.write_text(json.dumps(merge([*known, found]), indent=2) + "\n")
    assert misfits(found, json.loads(path.read_text())) == [], (
        f"the --json output of {name} changed its shape"
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("repository-list", "repository list"),
        ("repository-init", "repository init"),
        ("key-list", "key list"),
        ("backup", "backup"),
        ("list", "list"),
        ("verify", "verify"),
        ("wal-gaps", "wal gaps"),
    ],
)
def test_what_a_command_answers(name: str, arguments: str, shop: Protected) -> None:
    assert_golden(name, shop.run(*arguments.split(), "--json").succeeded().document)


def test_a_repository_that_is_made(shop: Protected) -> None:
    plan = shop.folder / "another.yaml"
    plan.write_text(shop.plan.read_text().replace(f"{shop.folder}/far", f"{shop.folder}/another"))
    made = seawall("repository", "init", "--json", "--plan", plan).succeeded()
    assert_golden("repository-init", made.document)


def test_a_repository_that_can_not_be_opened(shop: Protected) -> None:
    plan = shop.folder / "elsewhere.yaml"
    plan.write_text(shop.plan.read_text().replace(f"{shop.folder}/far", f"{shop.folder}/none"))
    listed = seawall("repository", "list", "--json", "--plan", plan)
    assert listed.status == 31
    assert_golden("repository-list-failed", listed.document)


def test_a_restore(shop: Protected) -> None:
    shop.cluster.sql("CREATE TABLE IF NOT EXISTS one_more_transaction (n int)")
    shop.archive_now()
    assert_golden("restore", shop.restore("--latest").report)
    prepared = shop.restore("--immediate", starts=False)
    assert_golden("restore", prepared.report)


def test_a_damaged_repository(shop: Protected) -> None:
    manifest = next((shop.folder / "far").glob("clusters/*/*/backups/*/manifest"))
    before = manifest.read_bytes()
    manifest.chmod(0o600)
    manifest.write_bytes(before[:200] + bytes([before[200] ^ 1]) + before[201:])
    try:
        outcome = shop.run("verify", "--json")
    finally:
        manifest.write_bytes(before)
    assert outcome.status == 63
    assert_golden("verify", outcome.document)
    assert_golden("error", json.loads(outcome.err))


def test_a_gap(shop: Protected) -> None:
    gone = shop.archive_now()
    shop.archive_now()
    wal = shop.wal_object(str(gone))
    aside = wal.rename(shop.folder / "aside")
    try:
        outcome = shop.run("wal", "gaps", "--json")
    finally:
        aside.rename(wal)
    assert outcome.status == 74
    assert_golden("wal-gaps", outcome.document)
    assert_golden("error", json.loads(outcome.err))


def test_a_check(shop: Protected) -> None:
    for arguments in (["check", "--offline"], ["check"]):
        outcome = shop.run(*arguments, "--json")
        assert outcome.status in (0, 93), outcome
        assert_golden("check", outcome.document)


def test_an_audit(shop: Protected, tmp_path: Path) -> None:
    waived = tmp_path / "waived.yaml"
    waivers = (
        "{rule: server-fsync-off, reason: a test server, until: 2999-12-31}",
        "{rule: wal-gaps, subject: far, reason: none is missing, until: 2999-12-31}",
        "{rule: wal-archive-off, reason: it is on, until: 2999-12-31}",
    )
    waived.write_text(f"{shop.plan.read_text()}audit: {{waive: [{', '.join(waivers)}]}}\n")
    for arguments in (["audit", shop.cluster.url()], ["audit", "--plan", str(waived)]):
        outcome = seawall(*arguments, "--json")
        assert outcome.status == 3, outcome
        assert_golden("audit", outcome.document)


def test_a_drill(shop: Protected, tmp_path: Path) -> None:
    scheduled = tmp_path / "scheduled.yaml"
    scheduled.write_text(f'{shop.plan.read_text()}drills: {{restore: {{schedule: "0 5 * * mon"}}}}\n')
    assert_golden("drill-due", seawall("drill", "due", "--json", "--plan", scheduled).document)
    dump, folder = shop.folder / "shop.dump", shop.folder / "evidence"
    shop.cluster.program("pg_dump", "-Fc", "-d", shop.cluster.dsn(), "-f", dump)
    keep = ("--evidence", folder, "--state", shop.folder / "state", "--json")
    cases: tuple[tuple[list[str | Path], set[int]], ...] = (
        (["--plan", shop.plan, "--full-size", "1TB", "--scratch", "/tmp"], {0, 120}),
        ([dump, *keep], {0, 120}),
    )
    for arguments, status in cases:
        outcome = seawall("drill", "restore", "--json", *arguments)
        assert outcome.status in status, outcome
        assert_golden("drill-restore", outcome.document)
    assert_golden("drill-list", seawall("drill", "list", "--evidence", folder, "--json").document)
    assert_golden("drill-show", seawall("drill", "show", "--plan", shop.plan, "--json").document)
    assert_golden("drill-due", seawall("drill", "due", "--json", "--plan", scheduled).document)


def test_an_init(shop: Protected, tmp_path: Path) -> None:
    made = seawall(
        "init", shop.cluster.url(), "--output", tmp_path / "plan.yaml", "--json", "--state", tmp_path / "s"
    )
    assert_golden("init", made.succeeded().document)


@pytest.mark.parametrize(
    "arguments",
    [
        "list --cluster nobody",
        "restore --into /nowhere",
        "backup --fulll",
        "list --plan /none.yaml",
        "wal push /x",
    ],
)
def test_errors_are_documents_too(arguments: str, shop: Protected) -> None:
    words = arguments.split()
    if "--plan" not in words:
        words += ["--plan", str(shop.plan)]
    outcome = seawall(*words, "--json")
    assert outcome.status != 0 and outcome.out == "", "an error leaves standard output empty"
    document = json.loads(outcome.err)
    assert_golden("error", document)
    assert document["error"]["status"] == outcome.status and document["error"]["hint"]
