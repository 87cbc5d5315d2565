"""``seawall init`` and ``seawall check`` against real servers, as a person runs them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from seawall.cli.main import run
from seawall.plan.load import examine_plan
from seawall.postgres.wal_program import WAL_PROGRAM
from tests.support.servers import TestCluster

pytestmark = pytest.mark.postgres


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return tmp_path / "plan.yaml"


def init(server: TestCluster, plan: Path, *options: str) -> int:
    near, far = plan.with_name("near"), plan.with_name("far")
    return run(
        [
            "init", server.url(), "--output", str(plan), "--service", "shop", "--state", str(plan.with_name("state")),
            "--repository", f"near=file://{near}", "--repository", f"far@eu=file://{far}", *options,
        ]
    )  # fmt: skip


def findings(plan: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    """Run check and return its status and what failed."""
    capsys.readouterr()
    status = run(["check", "--plan", str(plan), "--json", *options])
    document = json.loads(capsys.readouterr().out)
    return status, [f"{f['subject']}: {f['text']}" for f in document["findings"] if f["verdict"] == "failed"]


def test_init_changes_nothing_and_writes_a_plan_that_holds(
    server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(server, plan) == 0
    shown = capsys.readouterr().out
    assert "ALTER SYSTEM SET archive_mode = 'on';" in shown and "repository init" in shown
    loaded, diagnostics = examine_plan(plan)
    assert loaded is not None and diagnostics == ()
    assert loaded.clusters["main"].primary.data == server.data
    assert loaded.state == plan.with_name("state") and loaded.state.is_dir()
    assert (plan.with_name("shop.key").stat().st_mode & 0o777) == 0o600
    assert server.value("SELECT count(*) FROM pg_settings WHERE pending_restart") == 0
    assert "archive" not in (server.data / "postgresql.auto.conf").read_text()


def test_apply_changes_exactly_these_settings(
    server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(server, plan, "--apply", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["waiting_for_restart"] == ["archive_mode"] and document["applied"]
    written = (server.data / "postgresql.auto.conf").read_text().splitlines()
    names = {line.split(" = ")[0] for line in written if not line.startswith("#")}
    assert names == {item["setting"] for item in document["settings"]}
    assert server.value("SHOW archive_timeout") == "1min"
    server.restart()
    assert init(server, plan, "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["settings"] == [], "nothing is left to change"


def test_nothing_is_overwritten_silently(
    one_server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan.write_text("mine\n")
    assert init(one_server, plan) == 10
    assert plan.read_text() == "mine\n" and not plan.with_name("shop.key").exists()
    assert init(one_server, plan, "--force") == 0
    assert plan.with_name("plan.yaml.old1").read_text() == "mine\n"
    key = plan.with_name("shop.key").read_bytes()
    assert init(one_server, plan, "--force") == 0
    assert plan.with_name("shop.key").read_bytes() == key, "a key is never replaced"
    assert "plan.yaml.old2" in capsys.readouterr().err


def test_another_archive_is_not_taken_over_without_a_word(
    one_server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_server.configure({"archive_command": "pgbackrest archive-push %p"})
    one_server.reload()
    assert init(one_server, plan, "--apply") == 94
    assert "pgbackrest" in capsys.readouterr().err and not plan.exists()
    assert init(one_server, plan, "--apply", "--force") == 0
    assert WAL_PROGRAM in (one_server.data / "postgresql.auto.conf").read_text()


def test_an_owners_settings_are_left_to_it(
    one_server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (one_server.data / "patroni.dynamic.json").write_text("{}")
    assert init(one_server, plan, "--apply") == 94
    told = capsys.readouterr().err
    assert "patronictl edit-config" in told and "archive_mode = on" in told and not plan.exists()
    assert init(one_server, plan) == 0, "a plan alone changes nothing"
    one_server.sql("CREATE ROLE rds_superuser")
    assert init(one_server, plan, "--force") == 94
    assert "snapshots" in capsys.readouterr().err


def test_a_role_that_sees_too_little_is_told_the_grant(
    one_server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_server.sql("CREATE ROLE plain LOGIN")
    assert run(["init", one_server.url(user="plain"), "--output", str(plan)]) == 79
    assert "GRANT pg_read_all_settings" in capsys.readouterr().err


def test_check_follows_a_cluster_from_nothing_to_an_archive(
    server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(server, plan, "--apply") == 0
    assert run(["check", "--offline", "--plan", str(plan)]) == 0
    status, failures = findings(plan, capsys)
    assert status == 93
    assert any("archive_mode waits for a restart" in text for text in failures)
    assert any(text.startswith("near: ") and "there is no folder" in text for text in failures), failures
    assert run(["repository", "init", "--plan", str(plan)]) == 0
    server.restart()
    server.sql("CREATE TABLE t AS SELECT 1", "SELECT pg_switch_wal()", "CREATE TABLE u AS SELECT 1")
    status, failures = findings(plan, capsys)
    assert status == 93
    assert sorted(failures) == [
        "far: no complete backup of this server is here",
        "near: no complete backup of this server is here",
    ]
    assert run(["backup", "--plan", str(plan)]) == 0
    assert findings(plan, capsys) == (0, [])
    if os.geteuid() == 0:
        os.chown(server.data, 4242, 4242)
        _, failures = findings(plan, capsys)
        os.chown(server.data, 0, 0)
        assert [text for text in failures if "uid 4242" in text and "shop.key" in text]
        assert [
            text for text in failures if "uid 4242" in text and f"write to {plan.with_name('far')}" in text
        ]


def test_an_archive_command_that_throws_wal_away_is_found(
    one_server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Danger 6, with pg_stat_archiver looking perfect."""
    assert init(one_server, plan) == 0
    assert run(["repository", "init", "--plan", str(plan)]) == 0
    one_server.archive_with(f"/bin/true wal push --plan {plan} --cluster main %p")
    one_server.configure({"archive_timeout": "60"})
    one_server.restart()
    one_server.sql("CREATE TABLE t AS SELECT 1", "SELECT pg_switch_wal()")
    _, failures = findings(plan, capsys)
    assert any("no WAL of timeline 1" in text for text in failures), failures
    assert any("does not run" in text for text in failures), failures


def test_a_server_that_is_down_does_not_hide_the_rest(
    one_server: TestCluster, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(one_server, plan) == 0
    one_server.stop()
    status, failures = findings(plan, capsys)
    assert status == 93 and len(failures) == 3
    assert "no server listens" in failures[0] and failures[1].startswith("near: ")
