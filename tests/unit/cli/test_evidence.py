"""``seawall evidence`` as people and programs use it: a plan's ledger, a plain folder, a copy."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from seawall.app import App
from seawall.evidence.keys import KEY_NAME
from seawall.model.clock import SystemClock
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.verify.whole import verify
from seawall.storage.urls import open_store
from tests.support.json_shape import merge, misfits, shape
from tests.support.recovery import Outcome, seawall
from tests.unit.evidence.sample_ledger import drill

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
LEDGER = GOLDEN / "evidence" / "ledger"
KEYS = [("--public-key", str(GOLDEN / "evidence" / f"{host}.pem")) for host in ("db1", "db2")]
HEAD = "10:c6c065879aa82573979ca5f92ef1ecf24b39dd41304fe34fa93c48df1487f272"


def assert_golden(name: str, document: Any) -> None:
    """As tests/faults/test_json_output.py does for commands that need a server."""
    path = GOLDEN / "json" / f"{name}.json"
    found = shape(document)
    if os.environ.get("SEAWALL_WRITE_GOLDEN"):
        known = [json.loads(path.read_text())] if path.exists() else []
        path.write_text(json.dumps(merge([*known, found]), indent=2) + "\n")
    assert misfits(found, json.loads(path.read_text())) == []


def evidence(*arguments: str | os.PathLike[str]) -> Outcome:
    return seawall("evidence", *arguments)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan with a repository beside the primary and one far away, both encrypted, both made."""
    key = tmp_path / "key"
    key.write_bytes(b"k" * 40)
    key.chmod(0o600)
    (tmp_path / "data").mkdir()
    path = tmp_path / "plan.yaml"
    path.write_text(
        f"""\
version: 1
service: shop
timezone: Europe/Berlin
state: {tmp_path}/state
objectives: {{rto: 15m, rpo: 30s, detection: 3m}}
sites:
  west: {{hosts: {{db1: {{}}}}}}
  central: {{hosts: {{db2: {{}}}}}}
repositories:
  near: {{site: west, host: db1, url: "file://{tmp_path}/near", keys: ["file:{key}"]}}
  far: {{site: central, host: db2, url: "file://{tmp_path}/far", keys: ["file:{key}"]}}
clusters:
  main:
    primary: {{host: db1, dsn: "postgresql:///postgres", data: {tmp_path}/data}}
"""
    )
    seawall("repository", "init", "--plan", path).succeeded()
    return path


def public_key(folder: Path, *where: str) -> Path:
    """Write this host's public key to a file, as a person does."""
    path = folder / f"key-{len(list(folder.glob('key-*')))}.pem"
    path.write_text(evidence("keys", "show", *where).succeeded().out)
    return path


def test_the_golden_ledger_is_proven() -> None:
    """A ledger of format 1, never regenerated: every later version proves and reads it."""
    done = evidence("verify", "--ledger", LEDGER, *KEYS[0], *KEYS[1], "--head", HEAD).succeeded()
    assert "10 entries, intact" in done.out and "1 failed, 1 incomplete, 2 passed" in done.out
    assert "can't be seen from the inside" in done.out and HEAD in done.out
    assert max(map(len, done.out.splitlines()[1:])) <= 90


def test_what_the_golden_ledger_says() -> None:
    document = evidence("list", "--ledger", LEDGER, "--json").succeeded().document
    assert_golden("evidence-list", document)
    said = [(entry["type"], entry["summary"]) for entry in document["entries"]]
    of = "restore of the newest backup to a random moment"
    assert said == [
        ("genesis", "ledger main begun on db1"),
        ("drill", f"PASSED, 1 of 1 assertions held, RTO 11 m 40 s of 15 m 00 s, RPO 6.0 s of 30 s: {of}"),
        ("drill", f"FAILED, 2 of 4 assertions held, RTO 16 m 40 s of 15 m 00 s, RPO 6.0 s of 30 s: {of}"),
        ("signer-added", "db2 may sign from here on (by ada)"),
        ("correction", "on 3: Jürgen, due 2026-12-24: Index neu gebaut ✓ 漢字"),
        ("drill", f"INCOMPLETE, 0 of 1 assertions held, RTO 11 m 40 s of 15 m 00 s, RPO 6.0 s of 30 s: {of}"),
        ("note", 'on 6: bob: quotes " and \\ and lines and  '),
        ("drill", f"recovery PASSED, 1 of 1 assertions held, RTO unknown, RPO unknown: {of}"),
        ("sign-off", "on 8: signed off by eve"),
        ("signer-retired", "key f1f1629ee6fa0733 may sign no more: db1 burnt down"),
    ]
    listed = evidence("list", "--ledger", LEDGER).succeeded().out
    assert len(listed.splitlines()) == 11, "a line for each entry"


def test_an_entry_is_shown_as_it_was_signed() -> None:
    for number in ("2", "6", "8", "3"):
        document = evidence("show", number, "--ledger", LEDGER, "--json").succeeded().document
        assert_golden("evidence-show", document)
    assert document["body"]["assertions"][3]["outcome"] == "could-not-run"
    shown = evidence("show", "7", "--ledger", LEDGER).succeeded().out
    assert json.loads(shown)["body"]["text"] == 'quotes " and \\ and\nlines\tand \x7f'
    assert "\x7f" not in shown, "a terminal is not made to obey"
    evidence("show", "11", "--ledger", LEDGER).failed_with(105, "no entry 11")


def test_json_of_verification() -> None:
    arguments = ("--ledger", LEDGER, "--json")
    for head in ((), ("--head", HEAD)):
        proven = evidence("verify", *arguments, *KEYS[0], *KEYS[1], *head).succeeded()
        assert_golden("evidence-verify", proven.document)
    partly = evidence("verify", *arguments, *KEYS[0])
    assert partly.status == 115 and partly.error_code == "signer-unproven"
    assert partly.document["unproven_entries"] == [5, 6, 7, 8, 10] and not partly.document["intact"]
    assert_golden("evidence-verify", partly.document)
    assert_golden("evidence-keys-list", evidence("keys", "list", *arguments).succeeded().document)


def test_without_a_key_it_says_what_is_not_proven() -> None:
    done = evidence("verify", "--ledger", LEDGER).succeeded()
    assert "NOT PROVEN by a key of yours" in done.out and "proves only" in done.out
    assert "f1f1629ee6fa07333edbfd2270f1bf7abcea7547ff23d40d9b81bfdaec98eabb" in done.out


def test_damage_is_told_with_its_own_status(tmp_path: Path) -> None:
    copy = shutil.copytree(LEDGER, tmp_path / "copy")
    (copy / "000003.json").unlink()
    done = evidence("verify", "--ledger", copy, *KEYS[0], *KEYS[1]).failed_with(114, "entry 3 is missing")
    assert "NOT INTACT" in done.out
    found = evidence("verify", "--ledger", copy, "--json")
    assert_golden("evidence-verify", found.document)
    assert found.document["findings"][0] == {
        "entry": 3,
        "problem": "removed",
        "message": "entry 3 is missing, and later ones are there",
    }


def test_a_cut_off_tail_needs_the_known_head(tmp_path: Path) -> None:
    copy = shutil.copytree(LEDGER, tmp_path / "copy")
    (copy / "000010.json").unlink()
    evidence("verify", "--ledger", copy, *KEYS[0], *KEYS[1]).succeeded()
    evidence("verify", "--ledger", copy, *KEYS[0], *KEYS[1], "--head", HEAD).failed_with(114, "cut off")
    evidence("verify", "--ledger", copy, "--head", "10").failed_with(100, "not a head")


def test_a_plans_evidence_is_kept_far_from_the_primary(plan: Path, tmp_path: Path) -> None:
    app = App.load(plan)
    entry = app.evidence_ledger().append(drill(), app.evidence_key())
    assert (tmp_path / "far/evidence/main/000002.json").exists()
    assert not (tmp_path / "near/evidence").exists()
    assert (tmp_path / "state" / KEY_NAME).stat().st_mode & 0o777 == 0o600
    repository = Repository.open(
        open_store(f"file://{tmp_path}/far"), [KeyFile("key", b"k" * 40)], clock=SystemClock()
    )
    genesis = app.evidence_ledger().read(1)
    assert genesis.body["repository"] == repository.id
    report = verify(repository)
    assert report.is_intact and not report.stray, "evidence belongs to the repository"
    pem = public_key(tmp_path, "--plan", str(plan))
    done = evidence("verify", "--plan", plan, "--public-key", pem, "--head", entry.head).succeeded()
    assert "2 entries, intact" in done.out
    (tmp_path / "key").unlink()
    evidence("verify", "--plan", plan, "--public-key", pem).succeeded()
    evidence("list", "--plan", plan, "--repository", "near").succeeded()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives anything away")
def test_the_servers_user_can_still_write_its_state(plan: Path, tmp_path: Path) -> None:
    os.chown(tmp_path / "data", 12345, 12345)
    App.load(plan).evidence_key()
    assert (tmp_path / "state").stat().st_uid == 12345
    assert (tmp_path / "state" / KEY_NAME).stat().st_uid == 0


def test_a_repository_that_was_not_made(plan: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "far")
    evidence("note", "x", "--plan", plan).failed_with(31)
    (tmp_path / "far").mkdir()
    evidence("note", "x", "--plan", plan).failed_with(32, "no repository")
    assert os.listdir(tmp_path / "far") == []


@pytest.mark.parametrize("inside", ["far", "data"])
def test_the_signing_key_never_lies_in_what_is_copied(plan: Path, tmp_path: Path, inside: str) -> None:
    os.symlink(tmp_path / inside, tmp_path / "elsewhere")
    plan.write_text(plan.read_text().replace(f"{tmp_path}/state", f"{tmp_path}/elsewhere/state"))
    evidence("note", "x", "--plan", plan).failed_with(119, "copied with it")
    assert not (tmp_path / inside / "state").exists()


def test_a_second_host_is_introduced(tmp_path: Path) -> None:
    one = ("--ledger", str(tmp_path / "ledger"), "--state", str(tmp_path / "one"))
    two = ("--ledger", str(tmp_path / "ledger"), "--state", str(tmp_path / "two"))
    first = public_key(tmp_path, "--state", str(tmp_path / "one"))
    second = public_key(tmp_path, "--state", str(tmp_path / "two"))
    evidence("note", "first", *one, "--who", "ada").succeeded()
    evidence("note", "too early", *two).failed_with(118, "keys add")
    evidence("keys", "add", second, "--label", "db2", *one).succeeded()
    evidence("note", "second", *two, "--about", "2").succeeded()
    evidence("sign-off", "4", "--who", "eve", *one).succeeded()
    both = ("--public-key", str(first), "--public-key", str(second))
    evidence("verify", "--ledger", tmp_path / "ledger", *both).succeeded()
    signers = evidence("keys", "list", "--ledger", tmp_path / "ledger", "--json").document["signers"]
    assert [signer["label"] for signer in signers][1] == "db2"
    evidence("keys", "retire", signers[1]["fingerprint"], "--reason", "gone", *one).succeeded()
    evidence("note", "too late", *two).failed_with(118)
    assert "retired at" in evidence("keys", "list", "--ledger", tmp_path / "ledger").succeeded().out


def test_each_append_prints_the_head_to_keep(tmp_path: Path) -> None:
    where = ("--ledger", str(tmp_path / "ledger"), "--state", str(tmp_path / "state"))
    done = evidence("note", "x", *where).succeeded()
    head = done.out.split()[-1]
    evidence("verify", "--ledger", tmp_path / "ledger", "--head", head).succeeded()


def test_a_failed_drill_is_corrected_and_stays(plan: Path) -> None:
    app = App.load(plan)
    failed = app.evidence_ledger().append(drill(reached_ms=1_000_000), app.evidence_key())
    where = ("--plan", str(plan))
    evidence(
        "correct", "2", "--owner", "ada", "--due", "2026-12-31", "--note", "more cores", *where
    ).succeeded()
    evidence("correct", "1", "--owner", "ada", "--due", "2026-12-31", "--note", "x", *where).failed_with(100)
    evidence("correct", "2", "--owner", "ada", "--due", "soon", "--note", "x", *where).failed_with(10)
    listed = evidence("list", *where).succeeded().out
    assert "FAILED" in listed and "ada, due 2026-12-31: more cores" in listed
    assert app.evidence_ledger().read(2) == failed


def test_no_ledger_yet(plan: Path, tmp_path: Path) -> None:
    done = evidence("list", "--plan", plan).succeeded()
    assert "no evidence yet" in done.err
    for arguments in (("verify",), ("keys", "list"), ("show", "1")):
        evidence(*arguments, "--plan", plan).failed_with(105)
    evidence("list", "--ledger", tmp_path / "nothing").failed_with(31)


def test_this_hosts_key(tmp_path: Path) -> None:
    document = evidence("keys", "show", "--state", tmp_path / "s", "--json").succeeded().document
    assert_golden("evidence-keys-show", document)
    assert "PRIVATE" not in document["public_key"]


def test_a_label_plays_no_tricks_on_a_terminal(tmp_path: Path) -> None:
    where = ("--ledger", str(tmp_path / "ledger"), "--state", str(tmp_path / "state"))
    other = public_key(tmp_path, "--state", str(tmp_path / "other"))
    evidence("keys", "add", other, "--label", "db2\x1b[2J\n\x9b31m", *where).succeeded()
    ledger = ("--ledger", str(tmp_path / "ledger"))
    for arguments in (("list",), ("verify",), ("keys", "list"), ("show", "2")):
        said = evidence(*arguments, *ledger).succeeded().out
        assert "db2" in said and not {"\x1b", "\x9b"} & set(said)
