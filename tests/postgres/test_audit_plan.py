"""``seawall audit`` of a plan: its server, its repositories and its drills, right and wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from seawall.app import App
from seawall.evidence.model import Assertion, AssertionOutcome, DrillEvidence, DrillOutcome, Objective, Source
from seawall.postgres.programs import ServerPrograms
from tests.support.audits import SOUND_SETTINGS, Auditor, audit, set_and_reload
from tests.support.recovery import Protected, protected, seawall, wait_until
from tests.support.standbys import make_standby

pytestmark = pytest.mark.postgres
__all__ = ["audit"]


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    with protected(one_pg_programs, settings=SOUND_SETTINGS, repositories=("near", "far")) as found:
        found.cluster.sql("CREATE TABLE orders (n int)")
        found.backup()
        found.archive_now()
        yield found


def of(shop: Protected, audit: Auditor, *changes: tuple[str, str]) -> dict[str, set[str]]:
    """Audit the plan with pieces of its text replaced."""
    text = shop.plan.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    plan = shop.folder / "changed.yaml"
    plan.write_text(text)
    return audit("--plan", str(plan))


def test_a_protected_server_and_what_it_lacks(shop: Protected, audit: Auditor) -> None:
    results = audit("--plan", str(shop.plan))
    passed = {
        "backup-none", "backup-stale", "backup-same-site", "backup-one-copy", "backup-unencrypted",
        "backup-repository-unusable", "wal-repository-behind", "wal-gaps", "wal-archive-failing",
        "wal-archive-command-lies", "server-unreachable", "server-fsync-off", "objective-unattainable",
    }  # fmt: skip
    assert {rule: results[rule] for rule in passed} == {rule: {"pass"} for rule in passed}
    failed = {"backup-key-beside-data", "access-host-can-delete", "restore-never-tested", "objective-never-measured",
              "restore-without-checks", "people-none", "traffic-no-switch"}  # fmt: skip
    assert {rule for rule, found in results.items() if "fail" in found} == failed
    (headline,) = audit.document["headlines"]
    assert headline["subject"] == "main"
    assert (
        headline["lost"].startswith("everything, unless a key of ")
        and "of WAL, which are not in" in headline["lost"]
    )
    assert audit.status == 3


def test_a_key_kept_elsewhere(shop: Protected, audit: Auditor) -> None:
    results = of(shop, audit, (f'"file:{shop.folder / "key"}"]', f'"file:{shop.folder / "key"}", escrow]'))
    assert results["backup-key-beside-data"] == {"pass"}
    assert audit.document["headlines"][0]["lost"].startswith("the last ")


def test_repositories_at_the_primarys_own_site(shop: Protected, audit: Auditor) -> None:
    assert of(shop, audit, ("site: central, host: db2", "site: west, host: db1"))["backup-same-site"] == {
        "fail"
    }
    assert "are on its own machine" in audit.document["headlines"][0]["lost"]


def test_a_repository_without_encryption_or_backup(shop: Protected, audit: Auditor) -> None:
    plain = f'  plain: {{site: central, host: db2, url: "file://{shop.folder}/plain", encryption: none}}\n'
    results = of(shop, audit, ("clusters:\n", f"{plain}clusters:\n"))
    assert results["backup-unencrypted"] == {"pass", "fail"}
    assert results["backup-repository-unusable"] == {"pass", "fail"}, "it was never made"
    alone = "clusters:\n  main:\n    repositories: [plain]\n"
    results = of(shop, audit, ("clusters:\n  main:\n", alone), ("repositories:\n", f"repositories:\n{plain}"))
    assert results["backup-none"] == {"cannot-tell"} and results["backup-one-copy"] == {"fail"}
    seawall("repository", "init", "--plan", shop.folder / "changed.yaml").succeeded()
    assert audit("--plan", str(shop.folder / "changed.yaml"))["backup-none"] == {"fail"}


def test_a_repository_that_went_away(shop: Protected, audit: Auditor) -> None:
    away = (shop.folder / "near").rename(shop.folder / "unmounted")
    try:
        results = audit("--plan", str(shop.plan))
        assert results["backup-repository-unusable"] == {"pass", "fail"}
        assert results["wal-gaps"] == {"pass", "cannot-tell"} and results["backup-none"] == {"pass"}
    finally:
        away.rename(shop.folder / "near")


def test_an_archiver_that_throws_wal_away_looks_perfect_to_the_server_alone(
    shop: Protected, audit: Auditor
) -> None:
    set_and_reload(shop.cluster, archive_command="true")
    shop.cluster.sql("INSERT INTO orders VALUES (1)")
    name = str(shop.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    shop.cluster.sql("SELECT pg_switch_wal()")
    try:
        archived = "SELECT last_archived_wal FROM pg_stat_archiver"
        wait_until(lambda: shop.cluster.value(archived) == name, name)
        results = audit("--plan", str(shop.plan))
        assert results["wal-archive-failing"] == {"pass"}, "pg_stat_archiver believes what it is told"
        assert "fail" in results["wal-repository-behind"] and results["wal-archive-command-lies"] == {"fail"}
        assert f"the server finished {name}" in audit.finding("wal-repository-behind")["evidence"]
    finally:
        set_and_reload(shop.cluster, archive_command=None)
    shop.archive_now()
    assert audit("--plan", str(shop.plan))["wal-gaps"] == {"fail"}
    assert "what came after" in audit.document["headlines"][0]["lost"]
    shop.backup()


def test_drills_of_the_ledger_count(shop: Protected, audit: Auditor) -> None:
    ledger, key = App.load(shop.plan).evidence_ledger(), App.load(shop.plan).evidence_key()
    now = datetime.now(UTC)
    ledger.append(_drill(now - timedelta(days=100), reached_s=300), key)
    results = audit("--plan", str(shop.plan))
    assert results["restore-never-tested"] == {"pass"} and results["restore-test-old"] == {"fail"}
    assert results["objective-never-measured"] == {"pass"} and results["objective-contradicted"] == {"pass"}
    assert audit.document["headlines"][0]["back"].startswith("2 m 00 s, as measured in a drill 100 d")
    ledger.append(_drill(now - timedelta(days=1), reached_s=1000), key)
    results = audit("--plan", str(shop.plan))
    assert results["restore-test-failed"] == {"fail"} and results["restore-test-old"] == {"pass"}
    assert audit.document["headlines"][0]["back"] == "unknown: the last drill, 1 d 0 h ago, failed"


def _drill(ended_at: datetime, *, reached_s: int) -> DrillEvidence:
    """A drill of 'main' with three minutes of detection; one that took longer than the RTO counts as failed."""
    is_met = reached_s <= 900
    return DrillEvidence(
        drill=f"d-{reached_s}",
        scenario="restore of the newest backup",
        source=Source(tool="seawall", location="file:///far", cluster="main"),
        outcome=DrillOutcome.PASSED if is_met else DrillOutcome.FAILED,
        started_at=ended_at - timedelta(seconds=reached_s),
        ended_at=ended_at,
        rto=Objective(target_ms=900_000, reached_ms=reached_s * 1000, detection_ms=180_000),
        rpo=Objective(target_ms=300_000, reached_ms=2000),
        assertions=(Assertion(name="every database answers", outcome=AssertionOutcome.PASSED),),
    )


def test_a_declared_standby_with_smaller_settings(shop: Protected, audit: Auditor) -> None:
    standby = make_standby(shop.cluster)
    try:
        declared = (
            f'    standbys: {{two: {{host: db2, dsn: "{standby.url()}", data: {standby.data}}}}}\n    wal:'
        )
        change = ("    wal:", declared)
        results = of(shop, audit, change)
        assert results["standby-smaller-settings"] == {"pass"} == results["standby-same-site"]
        assert results["standby-other-collations"] == {"pass"} == results["standby-missing-extensions"]
        assert results["plan-declared-not-active"] == {"fail"}, "Seawall does nothing with it yet"
        assert results["standby-unreachable"] == {"pass"} and results["standby-without-tls"] == {
            "not-applicable"
        }
        _speak_tls(shop)
        assert of(shop, audit, change)["standby-without-tls"] == {"fail"}
        set_and_reload(shop.cluster, ssl="off")
        shop.cluster.configure({"max_locks_per_transaction": "99"})
        shop.cluster.restart()
        results = of(shop, audit, change)
        assert results["standby-smaller-settings"] == {"fail"}
        evidence = audit.finding("standby-smaller-settings")["evidence"]
        assert evidence == ["max_locks_per_transaction: 64 here, 99 on the primary"]
        standby.configure({"archive_mode": "off", "max_locks_per_transaction": "99"})
        standby.restart()
        standby.sql("SELECT pg_promote()")
        assert of(shop, audit, change)["standby-unreachable"] == {"fail"}
        assert audit.finding("standby-unreachable")["severity"] == "critical", "two primaries"
    finally:
        standby.destroy()
    results = of(shop, audit, change)
    assert results["standby-smaller-settings"] == {"cannot-tell"} and results["standby-unreachable"] == {
        "fail"
    }


def _speak_tls(shop: Protected) -> None:
    """Give the server a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    owner = shop.cluster.data.stat()
    for file, content in (("server.key", private), ("server.crt", certificate.public_bytes(pem))):
        path = shop.cluster.data / file
        path.write_bytes(content)
        path.chmod(0o600)
        os.chown(path, owner.st_uid, owner.st_gid)
    set_and_reload(shop.cluster, ssl="on")


def test_a_server_that_is_down(shop: Protected, audit: Auditor) -> None:
    results = of(shop, audit, (shop.cluster.url(), "postgresql://localhost:1/postgres"))
    assert results["server-unreachable"] == {"fail"} and results["server-fsync-off"] == {"cannot-tell"}
    assert results["backup-none"] == {"pass"}, "the repositories are looked at all the same"
    assert audit.document["headlines"][0]["lost"].startswith("unknown: ")


def test_waivers_of_a_plan(shop: Protected, audit: Auditor) -> None:
    wrong = [rule for rule, found in audit("--plan", str(shop.plan)).items() if "fail" in found]
    assert audit.status == 3 and audit.document["counts"]["waived"] == 0
    lines = "".join(f"    - {{rule: {rule}, reason: a test, until: 2999-12-31}}\n" for rule in wrong)
    waived = shop.plan.read_text() + f"audit:\n  waive:\n{lines}"
    plan = shop.folder / "waived.yaml"
    plan.write_text(waived)
    again = audit("--plan", str(plan))
    assert audit.status == 0 and audit.document["counts"]["waived"] >= len(wrong)
    assert {rule for rule, found in again.items() if "fail" in found} == set(wrong), "none is hidden"
    plan.write_text(waived.replace("2999-12-31", "2026-01-01"))
    audit("--plan", str(plan))
    assert audit.status == 3 and audit.document["counts"]["waived"] == 0
    ended = {"reason": "a test", "until": "2026-01-01", "is_in_force": False}
    assert audit.finding("access-host-can-delete")["waiver"] == ended


def test_the_command_line(shop: Protected, tmp_path: Path) -> None:
    """As a process: terminal text, files, exit statuses, and errors that are no findings."""
    html, junit = tmp_path / "a.html", tmp_path / "a.xml"
    told = seawall("audit", shop.cluster.url(), "--html", html, "--junit", junit, "--fail-on", "never")
    told.succeeded()
    assert told.out.index("If this server died now") < 300 and told.err == ""
    assert "standby-none" in told.out and "server-fsync-off" not in told.out
    assert "server-fsync-off" in html.read_text()
    assert ElementTree.parse(junit).getroot().find("testsuite") is not None
    explained = seawall("audit", "--explain", "standby-none").succeeded()
    assert "GitLab" in explained.out
    seawall("audit", "--explain", "standby-nun").failed_with(10, "--explain standby-none")
    assert seawall("audit", shop.cluster.url(), "--fail-on", "medium").status == 3
    assert seawall("audit", shop.cluster.url(), "--fail-on", "critical").status == 0
    seawall("audit", shop.cluster.url(), "--plan", shop.plan).failed_with(10, "--plan")
    seawall("audit", shop.cluster.url(), "--html", "/nowhere/x.html").failed_with(10, "/nowhere/x.html")
    environment = {k: v for k, v in os.environ.items() if k != "SEAWALL_PLAN"}
    command: list[str | Path] = [Path(sys.executable).with_name("seawall"), "audit"]
    lost = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert lost.returncode == 10 and "seawall audit postgresql://" in lost.stderr
    seawall("audit", "postgresql://u:hunter2@127.0.0.1:1/x").failed_with(53, "127.0.0.1:1")
    down = seawall("audit", "postgresql://u:hunter2@127.0.0.1:1/x", "--json")
    assert "hunter2" not in down.out + down.err and down.out == ""


def test_the_plan_is_found_as_ever(shop: Protected) -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("seawall"), "audit", "--fail-on", "never"]
    environment = {**os.environ, "SEAWALL_PLAN": str(shop.plan)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith(f"seawall audit {shop.plan}")
