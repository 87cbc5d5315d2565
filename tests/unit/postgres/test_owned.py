"""A start by somebody else's command: what counts is whether a server runs then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seawall.model.clock import SystemClock
from seawall.postgres.errors import ServerNotReady, ServerStartFailed
from seawall.postgres.server.owned import LogFile, debian_log, start_through_owner
from seawall.postgres.server.owner import OwnerKind, ServerOwner


def start(data: Path, *command: str, deadline_s: float = 20.0, may_end: bool = False) -> None:
    owner = ServerOwner(OwnerKind.SYSTEMD, "somebody", ("told",), start=command)
    start_through_owner(owner, data, deadline_s=deadline_s, clock=SystemClock(), may_end=may_end)


@pytest.mark.parametrize("status", [0, 2])
def test_no_server_is_a_failure_whatever_the_command_says(tmp_path: Path, status: int) -> None:
    with pytest.raises(ServerStartFailed, match=f"status {status} and no server runs: it is disabled"):
        start(tmp_path, "/bin/sh", "-c", f"echo it is disabled >&2; exit {status}")
    start(tmp_path, "/bin/sh", "-c", f"exit {status}", may_end=True)


def test_a_server_that_runs_is_a_success_whatever_the_command_says(tmp_path: Path) -> None:
    """``pg_ctl`` gives up waiting after a minute, and recovery goes on."""
    script = "cd $0 && { sleep 30 & echo $! > postmaster.pid; echo $0 >> postmaster.pid; exit 1; }"
    start(tmp_path, "/bin/sh", "-c", script, str(tmp_path))
    os.kill(int((tmp_path / "postmaster.pid").read_text().split()[0]), 9)


def test_a_command_that_does_not_come_back_or_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ServerNotReady, match="did not come back"):
        start(tmp_path, "sleep", "1", deadline_s=0.1)
    with pytest.raises(ServerStartFailed, match="can't be run"):
        start(tmp_path, str(tmp_path / "missing"))


def test_a_log_begins_where_this_start_did(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert LogFile(path).text() == ""
    path.write_text("old words\n")
    log = LogFile(path, path.stat().st_size)
    with open(path, "a") as file:
        file.write("redo done\n")
    assert log.text() == "redo done\n" and log.where == str(path)


def test_the_log_of_a_debian_cluster_is_where_its_link_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_CLUSTER_CONF_ROOT", str(tmp_path))
    assert debian_log("15", "main") == Path("/var/log/postgresql/postgresql-15-main.log")
    (tmp_path / "15" / "main").mkdir(parents=True)
    (tmp_path / "15" / "main" / "log").symlink_to("/srv/log")
    assert debian_log("15", "main") == Path("/srv/log")
