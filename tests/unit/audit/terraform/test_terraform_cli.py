"""``seawall audit --terraform`` as people and CI systems use it: output, files, exit status, plan, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from seawall.audit.terraform.reading.errors import TerraformInvalid
from seawall.plan.errors import PlanInvalid
from tests.support.json_shape import misfits, shape
from tests.support.recovery import seawall

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = ROOT / "tests" / "golden" / "terraform"
TUTORIAL, SOUND = str(GOLDEN / "tutorial.json"), str(GOLDEN / "sound.json")
PLAN = """\
version: 1
service: shop
state: /var/lib/seawall
objectives: {rto: 15m, rpo: 1m, detection: 3m}
sites:
  west: {hosts: {db1: {}}}
repositories:
  far: {site: west, url: "s3://shop-dr", keys: ["file:/etc/k", escrow]}
clusters:
  main:
    primary: {host: db1, dsn: "postgresql:///postgres", data: /pg}
audit:
  waive:
    - {rule: tf-no-failover-record, reason: clients are moved by a proxy, until: 2999-12-31}
    - {rule: tf-public, reason: nothing is, until: 2999-12-31}
    - {rule: server-checksums-off, reason: not asked here, until: 2999-12-31}
"""


def test_the_mistake_is_shown_in_eighty_columns_with_its_block_whole() -> None:
    outcome = seawall("audit", "--terraform", TUTORIAL)
    assert outcome.status == 3
    assert "CRITICAL tf-replica-same-region  aws_db_instance.cross_region_replica" in outcome.out
    assert "      replicate_source_db  = aws_db_instance.primary.arn\n" in outcome.out
    assert max(len(line) for line in outcome.out.splitlines()) <= 100
    assert "hunter2" not in outcome.out and "died now" not in outcome.out


def test_the_exit_status_follows_the_severity_that_counts() -> None:
    assert seawall("audit", "--terraform", SOUND).status == 0
    assert seawall("audit", "--terraform", TUTORIAL, "--fail-on", "never").status == 0
    changes = str(GOLDEN / "changes.json")
    assert seawall("audit", "--terraform", changes, "--fail-on", "critical").status == 3


def test_json_has_the_shape_of_every_audit_and_other_files_are_written_too(tmp_path: Path) -> None:
    junit, html = tmp_path / "audit.xml", tmp_path / "audit.html"
    outcome = seawall("audit", "--terraform", TUTORIAL, "--json", "--junit", junit, "--html", html)
    document = json.loads(outcome.out)
    assert misfits(shape(document), json.loads((ROOT / "tests/golden/json/audit.json").read_text())) == []
    assert document["headlines"] == []
    (suite,) = ElementTree.fromstring(junit.read_text())
    assert int(suite.attrib["failures"]) == sum(
        document["counts"][name] for name in ("critical", "high", "medium", "low")
    )
    text = html.read_text()
    assert "tf-replica-same-region" in text and "provider = aws.dr" in " ".join(text.split())
    for written in (outcome.out, junit.read_text(), text):
        assert "hunter2" not in written


def test_a_plan_brings_objectives_and_waivers_and_nothing_of_its_servers(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    document = json.loads(seawall("audit", "--terraform", SOUND, "--plan", plan, "--json").out)
    assert [item["text"] for item in document["findings"] if item["result"] == "fail"] == []
    document = json.loads(seawall("audit", "--terraform", TUTORIAL, "--plan", plan, "--json").out)
    waived = [finding["rule"] for finding in document["findings"] if finding["waiver"]]
    assert waived == ["tf-no-failover-record"]
    assert [item["rule"] for item in document["idle_waivers"]] == ["tf-public"]
    rpo = next(finding for finding in document["findings"] if finding["rule"] == "tf-rpo-out-of-reach")
    assert rpo["evidence"] == ["objectives.rpo: 1 m 00 s"]
    assert not any(finding["rule"].startswith(("server-", "backup-")) for finding in document["findings"])


def test_standard_input_is_read() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "seawall", "audit", "--terraform", "-", "--json"],
        input=Path(SOUND).read_bytes(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["target"] == "standard input"


def test_a_rule_explains_itself() -> None:
    outcome = seawall("audit", "--explain", "tf-replica-kms-key")
    assert outcome.status == 0 and "issue 11538" in outcome.out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04", "terraform show -json {path} > plan.json"),
        (b"not json", "is not JSON (line 1, column 1)"),
        (b'{"format_version": "2.0", "planned_values": {}}', "format_version 2.0"),
    ],
)
def test_a_wrong_file_is_an_error_with_its_name_and_the_way_on(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "tfplan"
    path.write_bytes(content)
    outcome = seawall("audit", "--terraform", path)
    assert outcome.status == TerraformInvalid.status
    told = " ".join(outcome.err.split())
    assert str(path) in told and says.format(path=path) in told
    assert outcome.out == ""


def test_a_server_and_a_file_are_two_audits() -> None:
    outcome = seawall("audit", "postgresql://localhost", "--terraform", SOUND)
    assert outcome.status == 10 and "two audits" in outcome.err


def test_a_plan_that_is_wrong_is_said_so(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("version: 1\n")
    assert seawall("audit", "--terraform", SOUND, "--plan", plan).status == PlanInvalid.status
