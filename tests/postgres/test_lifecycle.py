"""Starting, watching and stopping real servers, as their owner, without ever hanging."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seawall.postgres.errors import ServerNotReady, ServerStartFailed
from seawall.postgres.files.control_file import ClusterState
from seawall.postgres.server.lifecycle import (
    Milestone,
    StopMode,
    run_until_stopped,
    start_server,
    stop_server,
    wait_for_milestone,
)
from seawall.postgres.server.running import PID_FILE, ServerStatus, find_running_server
from tests.support.servers import TestCluster

pytestmark = pytest.mark.postgres


def test_a_server_starts_is_seen_and_stops(server: TestCluster) -> None:
    running = find_running_server(server.data)
    assert running is not None
    assert running.status is ServerStatus.READY
    assert running.socket_directory == server.socket_directory
    assert server.value("SELECT pg_backend_pid()") != running.pid
    assert stop_server(server.data) is True
    assert find_running_server(server.data) is None
    assert server.control().state is ClusterState.SHUT_DOWN
    assert stop_server(server.data) is False


def test_an_ordinary_user_owns_the_server(one_server: TestCluster) -> None:
    running = find_running_server(one_server.data)
    assert running is not None
    assert Path(f"/proc/{running.pid}").stat().st_uid == one_server.data.stat().st_uid
    if os.geteuid() == 0:
        assert one_server.run_as.prefix, "root's data directory is served in a user namespace"


def test_root_serves_anothers_directory_as_that_user(one_server: TestCluster) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    one_server.stop()
    probe: list[str | Path] = ["test", "-x", one_server.programs.postgres]
    if subprocess.run(probe, user=65534, group=65534, check=False, timeout=10).returncode != 0:
        pytest.skip("the server's programs lie where other users may not look")
    for folder, _, names in os.walk(one_server.folder):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(path, 65534, 65534, follow_symlinks=False)
    running = one_server.start()
    assert Path(f"/proc/{running.pid}").stat().st_uid == 65534


def test_a_second_start_is_refused(one_server: TestCluster) -> None:
    with pytest.raises(ServerNotReady, match=r"runs on .* already"):
        one_server.start()
    assert one_server.value("SELECT 1") == 1


def test_a_stale_pid_file_of_a_killed_server_does_not_hinder(server: TestCluster) -> None:
    server.kill()
    assert (server.data / PID_FILE).exists()
    assert find_running_server(server.data) is None
    server.start()
    assert server.value("SELECT 1") == 1


def test_a_copied_data_directory_does_not_claim_the_originals_server(one_server: TestCluster) -> None:
    copy = one_server.folder / "copy"
    copy.mkdir()
    shutil.copy(one_server.data / PID_FILE, copy / PID_FILE)
    assert find_running_server(one_server.data) is not None
    assert find_running_server(copy) is None


def test_a_setting_that_is_wrong_is_reported_from_the_log(server: TestCluster) -> None:
    server.stop()
    with pytest.raises(ServerStartFailed, match="no_such_setting"):
        server.start({"no_such_setting": "1"})
    assert find_running_server(server.data) is None


def test_the_log_of_the_collector_is_found(one_server: TestCluster) -> None:
    one_server.stop()
    (one_server.data / "recovery.signal").touch()
    with pytest.raises(ServerStartFailed, match="restore_command"):
        one_server.start({"logging_collector": "on"})


def test_the_deadline_ends_the_wait_for_a_server_that_recovers(server: TestCluster) -> None:
    """A restore_command that takes for ever: the start must not."""
    server.stop()
    (server.data / "recovery.signal").touch()
    began = time.monotonic()
    with pytest.raises(ServerNotReady, match=r"not answering queries within 0\.5 s"):
        server.start({"restore_command": "sleep 30; false"}, deadline_s=0.5)
    assert time.monotonic() - began < 10
    running = find_running_server(server.data)
    assert running is not None and running.status is ServerStatus.STARTING
    stop_server(server.data, mode=StopMode.IMMEDIATE, deadline_s=15)
    assert find_running_server(server.data) is None


def test_a_stop_that_takes_too_long_is_told(one_server: TestCluster) -> None:
    with one_server.connect(), pytest.raises(ServerNotReady, match="still runs after"):
        stop_server(one_server.data, mode=StopMode.SMART, deadline_s=0.3)
    assert stop_server(one_server.data, mode=StopMode.FAST)


def archived_copy(server: TestCluster) -> TestCluster:
    """Return a cluster that will recover from a backup and an archive of ``server``."""
    archive = server.folder / "archive"
    archive.mkdir()
    server.archive_with(f"cp %p {archive}/%f")
    server.restart()
    copy = TestCluster(server.programs, server.folder / "restored")
    server.program(
        "pg_basebackup",
        *(
            "--pgdata",
            copy.data,
            "--wal-method=none",
            "--checkpoint=fast",
            "--no-sync",
            "--dbname",
            server.dsn(),
        ),
    )
    server.sql("CREATE TABLE t AS SELECT 42 AS answer", "SELECT pg_create_restore_point('there')")
    server.sql("SELECT pg_switch_wal()")
    wait_for_archive(server)
    copy.settings = {
        "archive_mode": "off",
        "restore_command": f"cp {archive}/%f %p",
        "recovery_target_name": "there",
    }
    (copy.data / "recovery.signal").touch()
    return copy


def wait_for_archive(server: TestCluster) -> None:
    """Wait until nothing is left to archive."""
    ends_at = time.monotonic() + 30
    while list((server.data / "pg_wal" / "archive_status").glob("*.ready")):
        assert time.monotonic() < ends_at, "the archiver is stuck"
        time.sleep(0.05)


@pytest.fixture
def restored(server: TestCluster) -> TestCluster:
    """A copy of a server that has not begun to recover."""
    (server.folder / "restored").mkdir()
    return archived_copy(server)


def test_recovery_is_watched_to_consistency_and_promotion(restored: TestCluster) -> None:
    restored.settings["recovery_target_action"] = "promote"
    started = start_server(
        restored.data,
        restored.programs,
        restored.launch(),
        run_as=restored.run_as,
        until=Milestone.LAUNCHED,
        deadline_s=30,
    )
    consistent = wait_for_milestone(restored.data, restored.log_file, Milestone.ANSWERING, deadline_s=30)
    promoted = wait_for_milestone(restored.data, restored.log_file, Milestone.PROMOTED, deadline_s=30)
    assert started.pid == consistent.pid == promoted.pid
    assert restored.value("SELECT answer FROM t") == 42
    assert restored.value("SELECT pg_is_in_recovery()") is False
    assert restored.value("SHOW archive_mode") == "off"


def test_a_paused_recovery_is_consistent_and_not_promoted(restored: TestCluster) -> None:
    restored.settings["recovery_target_action"] = "pause"
    assert restored.start().status is ServerStatus.READY
    assert restored.value("SELECT pg_is_in_recovery()") is True
    with pytest.raises(ServerNotReady, match="not promoted within"):
        wait_for_milestone(restored.data, restored.log_file, Milestone.PROMOTED, deadline_s=0.5)
    restored.sql("SELECT pg_wal_replay_resume()")
    wait_for_milestone(restored.data, restored.log_file, Milestone.PROMOTED, deadline_s=30)


def test_without_hot_standby_the_server_answers_when_it_is_promoted(restored: TestCluster) -> None:
    restored.settings |= {"recovery_target_action": "promote", "hot_standby": "off"}
    restored.start()
    assert restored.value("SELECT pg_is_in_recovery()") is False


def test_a_recovery_that_shuts_down_at_its_target_ended_cleanly(restored: TestCluster) -> None:
    restored.settings["recovery_target_action"] = "shutdown"
    assert run_until_stopped(restored.data, restored.programs, restored.launch(), deadline_s=30) is True
    assert restored.control().state is ClusterState.SHUT_DOWN_IN_RECOVERY


def test_a_recovery_that_misses_its_target_did_not_end_cleanly(restored: TestCluster) -> None:
    restored.settings |= {"recovery_target_action": "shutdown", "recovery_target_name": "nowhere"}
    assert run_until_stopped(restored.data, restored.programs, restored.launch(), deadline_s=30) is False


def test_a_server_that_does_not_end_is_told_at_the_deadline_and_goes_on(one_server: TestCluster) -> None:
    one_server.stop()
    with pytest.raises(ServerNotReady, match="still runs"):
        run_until_stopped(one_server.data, one_server.programs, one_server.launch(), deadline_s=1)
    assert find_running_server(one_server.data) is not None
    stop_server(one_server.data)


def test_an_unreachable_target_ends_the_wait_with_the_servers_reason(restored: TestCluster) -> None:
    restored.settings["recovery_target_name"] = "nowhere"
    began = time.monotonic()
    with pytest.raises(ServerStartFailed, match="recovery ended before configured recovery target"):
        start_server(
            restored.data,
            restored.programs,
            restored.launch(),
            until=Milestone.PROMOTED,
            deadline_s=60,
        )
    assert time.monotonic() - began < 30


def test_a_server_that_dies_while_waiting_is_noticed(one_server: TestCluster) -> None:
    one_server.stop()
    (one_server.data / "standby.signal").touch()
    running = one_server.start()
    os.kill(running.pid, signal.SIGKILL)
    with pytest.raises(ServerStartFailed):
        wait_for_milestone(one_server.data, one_server.log_file, Milestone.PROMOTED, deadline_s=30)
    one_server.kill()


def test_the_server_outlives_the_command_that_started_it(one_server: TestCluster) -> None:
    """And pg_ctl can take over: its option file and pid file are as it expects."""
    one_server.stop()
    code = (
        "import sys; from pathlib import Path; from tests.support.servers import TestCluster;"
        "from seawall.postgres.programs import programs_in;"
        "TestCluster(programs_in(Path(sys.argv[1])), Path(sys.argv[2])).start()"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-c", code, one_server.programs.folder, one_server.folder],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"},
        check=True,
        timeout=60,
    )
    assert one_server.value("SELECT 1") == 1
    assert "server is running" in one_server.program("pg_ctl", "status", "-D", one_server.data)
    one_server.program("pg_ctl", "stop", "-D", one_server.data, "-m", "fast")
    assert not one_server.is_running


def test_copies_of_one_template_are_different_systems(one_server: TestCluster) -> None:
    other = TestCluster.create(one_server.programs)
    try:
        other.start()
        mine, theirs = (
            c.value("SELECT system_identifier FROM pg_control_system()") for c in (one_server, other)
        )
        assert mine != theirs
    finally:
        other.destroy()
