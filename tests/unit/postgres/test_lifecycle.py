"""What counts as a running server, without one. Real servers: tests/postgres."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from seawall.postgres.errors import ProgramsMissing, ServerOwnerUnusable, ServerStartFailed
from seawall.postgres.programs import ServerPrograms, find_programs
from seawall.postgres.server.lifecycle import Launch, log_tail, start_server, stop_server
from seawall.postgres.server.running import PID_FILE, ServerStatus, find_running_server, is_process_alive
from seawall.postgres.server.user import RunAs, server_user


def pid_file(folder: Path, pid: int, status: str = "ready") -> None:
    """Write a postmaster.pid as a server has it."""
    lines = [str(pid), str(folder), "1795598983", "5433", "/run/sockets", "", "  1234   0", f"{status:<8}"]
    (folder / PID_FILE).write_text("\n".join(lines) + "\n")


def pretender(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that works in ``folder``, as a postmaster does."""
    return subprocess.Popen(["sleep", "60"], cwd=folder)


def test_without_a_pid_file_nothing_runs(tmp_path: Path) -> None:
    assert find_running_server(tmp_path) is None
    assert find_running_server(tmp_path / "missing") is None


@pytest.mark.parametrize("content", ["", "\n", "not a number\n", "12"])
def test_a_pid_file_that_is_being_written_or_damaged_names_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / PID_FILE).write_text(content.replace("12", str(2**22 + 7)))
    assert find_running_server(tmp_path) is None


def test_a_stale_pid_file_is_not_believed(tmp_path: Path) -> None:
    """Its number may belong to any process by now: this test's own, for instance."""
    pid_file(tmp_path, os.getpid())
    assert find_running_server(tmp_path) is None


def test_a_process_that_works_in_the_data_directory_is_its_server(tmp_path: Path) -> None:
    with pretender(tmp_path) as process:
        try:
            pid_file(tmp_path, process.pid, "standby")
            server = find_running_server(tmp_path)
            assert server is not None
            assert (server.pid, server.port, server.status) == (process.pid, 5433, ServerStatus.STANDBY)
            assert server.socket_directory == Path("/run/sockets")
            elsewhere = tmp_path / "copy"
            elsewhere.mkdir()
            pid_file(elsewhere, process.pid)
            assert find_running_server(elsewhere) is None
        finally:
            process.kill()


def test_an_unfinished_pid_file_means_starting(tmp_path: Path) -> None:
    with pretender(tmp_path) as process:
        try:
            (tmp_path / PID_FILE).write_text(f"{process.pid}\n{tmp_path}\n")
            server = find_running_server(tmp_path)
            assert server is not None
            assert server.status is ServerStatus.STARTING
        finally:
            process.kill()


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["true"])
    ends_at = time.monotonic() + 10
    while is_process_alive(process.pid) and time.monotonic() < ends_at:
        time.sleep(0.01)
    assert not is_process_alive(process.pid)
    assert process.wait() == 0


def test_stopping_where_nothing_runs_does_nothing(tmp_path: Path) -> None:
    pid_file(tmp_path, os.getpid())
    assert stop_server(tmp_path) is False


def fake_programs(folder: Path, script: str) -> ServerPrograms:
    """Return programs whose ``postgres`` is a shell script."""
    folder.mkdir()
    postgres = folder / "postgres"
    postgres.write_text(
        f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'postgres (PostgreSQL) 15.1' && exit\n{script}\n"
    )
    postgres.chmod(0o755)
    return find_programs(15, folder)


def test_a_server_that_ends_while_starting_is_reported_with_its_log(tmp_path: Path) -> None:
    programs = fake_programs(tmp_path / "bin", "echo 'FATAL:  no room' >&2; exit 1")
    run_as = RunAs(os.geteuid(), os.getegid())
    with pytest.raises(ServerStartFailed, match="FATAL:  no room") as caught:
        start_server(tmp_path, programs, Launch(tmp_path / "log"), run_as=run_as, deadline_s=20)
    assert caught.value.fields["log"] == "FATAL:  no room"
    assert str(tmp_path / "log") in caught.value.hint


def test_a_program_that_cant_be_executed_is_reported(tmp_path: Path) -> None:
    programs = fake_programs(tmp_path / "bin", "exit 0")
    run_as = RunAs(os.geteuid(), os.getegid(), prefix=(str(tmp_path / "no-such-program"),))
    with pytest.raises(ServerStartFailed, match="can't be executed"):
        start_server(tmp_path, programs, Launch(tmp_path / "log"), run_as=run_as, deadline_s=5)


def test_launch_settings_win_and_keep_their_order(tmp_path: Path) -> None:
    launch = Launch(
        tmp_path / "log",
        {"archive_mode": "off", "port": "7"},
        socket_directory=Path("/s"),
        port=5433,
        config_file=Path("/etc/pg.conf"),
    )
    assert launch.arguments() == [
        *("-c", "config_file=/etc/pg.conf", "-c", "unix_socket_directories=/s"),
        *("-c", "port=7", "-c", "archive_mode=off"),
    ]


def test_the_log_tail_follows_the_logging_collector(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("redirecting\n")
    (tmp_path / "collected").write_text("".join(f"line {number}\n" for number in range(100)))
    (tmp_path / "current_logfiles").write_text("stderr collected\n")
    assert log_tail(tmp_path / "log", tmp_path, lines=2) == "redirecting\nline 98\nline 99"
    assert log_tail(tmp_path / "none", tmp_path / "none") == ""


def test_an_ordinary_user_runs_only_its_own_servers(tmp_path: Path) -> None:
    run_as = server_user(tmp_path)
    assert run_as.uid == tmp_path.stat().st_uid
    if os.geteuid() != 0:
        assert run_as.command(["x", Path("/y")]) == ["x", "/y"]
        with pytest.raises(ServerOwnerUnusable, match="belongs to root"):
            server_user(Path("/etc"))


def test_root_becomes_the_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    directory = tmp_path / "data"
    directory.mkdir()
    os.chown(directory, 65534, 65534)
    run_as = server_user(directory)
    assert (run_as.uid, run_as.gid, run_as.changes_user, run_as.prefix) == (65534, 65534, True, ())
    assert server_user(directory / "not yet").uid == 65534
    shown = subprocess.run(
        run_as.command(["id", "-u"]), capture_output=True, text=True, check=True, **run_as.popen_kwargs()
    )
    assert shown.stdout == "65534\n"


def test_an_unknown_program_is_missing_not_guessed(tmp_path: Path) -> None:
    programs = fake_programs(tmp_path / "bin", "exit 0")
    with pytest.raises(ProgramsMissing):
        programs.path("pg_nothing")
