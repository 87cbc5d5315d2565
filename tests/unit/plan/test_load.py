"""Which file is loaded, what a loaded plan says, and what stands in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seawall.plan.diagnostics import Severity
from seawall.plan.errors import PlanInvalid
from seawall.plan.load import diagnose, examine_plan, load_plan
from seawall.plan.model import ESCROW, Ack, CheckWhen, Plan
from seawall.plan.secrets import SecretReference

GOLDEN = Path(__file__).parents[2] / "golden" / "plans"


def plan_of(text: str) -> Plan:
    plan, found = diagnose(text, Path("/etc/seawall/plan.yaml"))
    assert plan is not None, "\n".join(map(str, found))
    return plan


def with_repositories(*lines: str, host: str = "db1") -> Plan:
    listed = "\n".join(f"  {line}" for line in lines)
    return plan_of(
        "version: 1\nservice: shop\nobjectives: {rto: 1h, rpo: 5m}\n"
        "sites:\n  here: {hosts: {db1: {}, db2: {}}}\n  there: {hosts: {db3: {}}}\n"
        f"repositories:\n{listed}\n"
        f"clusters: {{main: {{primary: {{host: {host}, dsn: 'postgresql:///', data: /srv/pg}}}}}}\n"
    )


def test_the_design_plan_loads_with_every_value() -> None:
    plan = load_plan(GOLDEN / "design.yaml")

    assert (plan.version, plan.service, plan.timezone) == (1, "shop", "Europe/Berlin")
    assert (plan.objectives.rto_s, plan.objectives.rpo_s, plan.objectives.detection_s) == (900, 30, 180)
    assert plan.sites["eu-central"].hosts["db2"].ssh == "seawall@db2"
    far = plan.repositories["far"]
    assert far.keys == (SecretReference("file", "/etc/seawall/shop.key"), ESCROW)
    assert far.key_references == (SecretReference("file", "/etc/seawall/shop.key"),)
    assert far.is_encrypted and far.lock_s == far.retention.window_s == 35 * 86400  # type: ignore[union-attr]
    main = plan.clusters["main"]
    assert main.primary.data == Path("/var/lib/postgresql/16/main")
    assert main.repositories == ("near", "far")
    assert main.wal.stream_s == 2
    assert plan.traffic.dns is not None and plan.traffic.dns.servers == ("192.0.2.53", "198.51.100.53")
    assert [check.when for check in plan.checks] == [CheckWhen.ALWAYS, CheckWhen.RECOVERY]
    assert plan.approvals.failover is not None and plan.approvals.failover.people == ("ada",)
    assert plan.text == (GOLDEN / "design.yaml").read_text()


def test_the_design_plan_promises_nothing_that_is_only_declared() -> None:
    plan, found = examine_plan(GOLDEN / "design.yaml")

    assert plan is not None
    declared = {finding.message.split(" ")[0] for finding in found if finding.severity is Severity.DECLARED}
    assert {
        "clusters.main.standbys",
        "clusters.main.wal.stream",
        "traffic.dns",
        "drills.failover",
    } <= declared
    assert [finding.code for finding in found if finding.severity is Severity.WARNING] == ["rpo-unbounded"]


def test_the_minimal_plan_has_no_findings_and_all_defaults() -> None:
    plan, found = examine_plan(GOLDEN / "minimal.yaml")

    assert plan is not None and found == ()
    main = plan.clusters["main"]
    assert (plan.timezone, plan.checks, dict(plan.people)) == ("UTC", (), {})
    assert (main.backup.jobs, main.backup.compression, main.backup.checksums) == (None, 1, True)
    assert (main.wal.compression, main.wal.archive_timeout_s, main.schedule.full) == (1, 60, None)
    assert plan.acknowledgements("main") == {"far": Ack.REQUIRED}


def test_a_passphrase_is_told_from_a_key_file() -> None:
    plan = load_plan(GOLDEN / "everything.yaml")

    assert [key.is_passphrase for key in plan.repositories["far"].key_references] == [False, True]
    assert not plan.repositories["deep"].is_encrypted


def test_plans_are_values() -> None:
    assert load_plan(GOLDEN / "everything.yaml") == load_plan(GOLDEN / "everything.yaml")
    with pytest.raises(TypeError):
        load_plan(GOLDEN / "minimal.yaml").repositories["new"] = None  # type: ignore[index]


NEAR = "near: {site: here, host: db1, url: file:///srv/r, encryption: none}"
BESIDE = "beside: {site: here, host: db2, url: file:///srv/r, encryption: none}"
FAR = "far: {site: there, url: s3://far, encryption: none}"


@pytest.mark.parametrize(
    ("repositories", "required"),
    [
        ([NEAR, BESIDE, FAR], "far"),
        ([FAR, NEAR], "far"),
        ([NEAR, BESIDE], "beside"),
        ([NEAR], "near"),
    ],
)
def test_one_repository_is_required_the_one_that_survives_most(
    repositories: list[str], required: str
) -> None:
    acks = with_repositories(*repositories).acknowledgements("main")

    assert [name for name, ack in acks.items() if ack is Ack.REQUIRED] == [required]


def test_a_declared_acknowledgement_is_not_second_guessed() -> None:
    plan = with_repositories(NEAR.replace("}", ", ack: required}"), FAR)
    none = with_repositories(NEAR, FAR.replace("}", ", ack: none}"))

    assert plan.acknowledgements("main") == {"near": Ack.REQUIRED, "far": Ack.NONE}
    assert none.acknowledgements("main") == {"near": Ack.REQUIRED, "far": Ack.NONE}


def test_off_host_follows_the_primary() -> None:
    assert not with_repositories(NEAR).is_off_host("main", "near")
    assert with_repositories(NEAR, host="db2").is_off_host("main", "near")


def test_the_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (GOLDEN / "minimal.yaml").read_text()
    for name in ("named", "variable", "plan"):
        (tmp_path / f"{name}.yaml").write_text(text.replace("service: shop", f"service: {name}"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEAWALL_PLAN", str(tmp_path / "variable.yaml"))

    assert load_plan(Path("named.yaml")).service == "named"
    assert load_plan(Path("named.yaml")).path == tmp_path / "named.yaml"
    assert load_plan().service == "variable"
    monkeypatch.delenv("SEAWALL_PLAN")
    assert load_plan().service == "plan"


def test_a_named_plan_that_is_missing_never_falls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.yaml").write_text((GOLDEN / "minimal.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEAWALL_PLAN", str(tmp_path / "gone.yaml"))

    with pytest.raises(PlanInvalid, match=r"gone\.yaml"):
        load_plan()


@pytest.mark.skipif(os.path.exists("/etc/seawall/plan.yaml"), reason="this machine has a plan")
def test_no_plan_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEAWALL_PLAN", raising=False)

    with pytest.raises(PlanInvalid, match="there is no plan") as caught:
        load_plan()
    assert "seawall init" in caught.value.hint


def test_an_invalid_plan_raises_with_all_findings() -> None:
    with pytest.raises(PlanInvalid) as caught:
        load_plan(GOLDEN / "wrong-values.yaml")

    error = caught.value
    assert error.status == 13
    errors = [found for found in error.diagnostics if found.severity is Severity.ERROR]
    assert len(errors) > 40
    assert all(str(found) in error.message for found in errors)
    assert error.fields["diagnostics"] == [found.as_fields() for found in error.diagnostics]


@pytest.mark.parametrize("make", ["folder", "fifo"])
def test_what_is_not_a_file_is_an_error_and_no_hang(tmp_path: Path, make: str) -> None:
    path = tmp_path / "plan.yaml"
    if make == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)

    with pytest.raises(PlanInvalid, match=r"is not a file|is a folder"):
        load_plan(path)


def test_a_plan_that_everybody_can_change_is_refused(tmp_path: Path) -> None:
    """It names commands that run as this user."""
    path = tmp_path / "plan.yaml"
    path.write_text((GOLDEN / "minimal.yaml").read_text())
    path.chmod(0o666)

    with pytest.raises(PlanInvalid, match="every user can change") as caught:
        load_plan(path)
    assert caught.value.hint.startswith("chmod o-w")


def test_a_byte_order_mark_is_harmless() -> None:
    text = (GOLDEN / "minimal.yaml").read_bytes()

    from seawall.plan.load import diagnose_bytes

    assert diagnose_bytes(b"\xef\xbb\xbf" + text, Path("/p.yaml"))[0] is not None


def test_windows_line_ends_are_harmless() -> None:
    assert plan_of((GOLDEN / "everything.yaml").read_text().replace("\n", "\r\n")).service == "shop"
