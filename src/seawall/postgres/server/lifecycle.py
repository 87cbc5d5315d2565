"""Start, watch and stop a PostgreSQL server in a data directory that no service manager owns.

The server is started as its owner (:mod:`seawall.postgres.server.user`) in a session of its own, so
that it outlives the command and no Ctrl-C reaches it. How far it is comes from the server itself: the
status line of ``postmaster.pid`` (miscadmin.h, "PM_STATUS") and ``pg_control``. Whether it runs is
checked on the process, never believed of a file. Every wait has a deadline and ends early when the
server does; what went wrong is told with the end of the server's log.

Servers that Patroni, systemd or an operator own are started through their owners, not here.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from seawall.model.clock import Clock, SystemClock
from seawall.postgres.errors import ServerNotReady, ServerStartFailed
from seawall.postgres.files.control_file import ClusterState, read_control_file
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.server.running import (
    RunningServer,
    ServerStatus,
    find_running_server,
    is_process_alive,
    remember_child,
)
from seawall.postgres.server.user import RunAs, server_user

POLL_INTERVAL_S = 0.01
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0
LOG_TAIL_LINES = 12
LOG_TAIL_BYTES = 16 * 1024


class StopMode(Enum):
    """How ``pg_ctl stop -m`` ends a server, and the signal that means it."""

    SMART = signal.SIGTERM
    FAST = signal.SIGINT
    IMMEDIATE = signal.SIGQUIT


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server beyond what its configuration files say.

    ``settings`` become ``-c name=value`` and win over every file. ``config_file`` is for
    configurations that live outside the data directory.
    """

    log_file: Path
    settings: Mapping[str, str] | None = None
    socket_directory: Path | None = None
    port: int | None = None
    config_file: Path | None = None

    def arguments(self) -> list[str]:
        """Return the server's command-line options, in a stable order."""
        options: dict[str, str] = {}
        if self.config_file is not None:
            options["config_file"] = str(self.config_file)
        if self.socket_directory is not None:
            options["unix_socket_directories"] = str(self.socket_directory)
        if self.port is not None:
            options["port"] = str(self.port)
        options.update(self.settings or {})
        return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]


class Milestone(Enum):
    """What one can wait for. LAUNCHED: the server has taken possession of its data directory.

    ANSWERING: consistent, and takes connections, read-only ones perhaps; with ``hot_standby=off`` only
    after promotion. PROMOTED: recovery ended, writes are accepted.
    """

    LAUNCHED = "launched"
    ANSWERING = "answering queries"
    PROMOTED = "promoted"

    def is_reached_by(self, server: RunningServer) -> bool:
        """Say whether the server is that far."""
        if self is Milestone.LAUNCHED:
            return True
        if server.status is not ServerStatus.READY:
            return False
        # Before a hot standby is READY, recovery has marked pg_control as in recovery.
        return self is Milestone.ANSWERING or (
            read_control_file(server.data_directory).state is ClusterState.IN_PRODUCTION
        )


def start_server(
    data_directory: Path,
    programs: ServerPrograms,
    launch: Launch,
    *,
    run_as: RunAs | None = None,
    until: Milestone = Milestone.ANSWERING,
    deadline_s: float = START_DEADLINE_S,
    clock: Clock | None = None,
) -> RunningServer:
    """Start a server and wait for a milestone; LAUNCHED is for a recovery that is watched further on.

    Raises:
        ServerStartFailed: it ended, or never began; the message carries the end of its log.
        ServerNotReady: the deadline passed, or a server runs there already. One that was started
            runs on.
    """
    clock = clock or SystemClock()
    process = _spawn_alone(data_directory, programs, launch, run_as)
    watch = _Watch(data_directory, launch.log_file, clock, process.pid)
    return watch.until(until, deadline_s)


def run_until_stopped(
    data_directory: Path,
    programs: ServerPrograms,
    launch: Launch,
    *,
    run_as: RunAs | None = None,
    deadline_s: float,
    clock: Clock | None = None,
) -> bool:
    """Start a server that is to end by itself (``recovery_target_action = shutdown``) and wait for its end.

    Returns whether it ended cleanly, as ``pg_control`` has it. The process is waited for, and no milestone: a
    short recovery starts and ends between two looks at ``postmaster.pid``.

    Raises ServerNotReady: it still runs at the deadline and goes on, or one runs there already.
    """
    clock = clock or SystemClock()
    process = _spawn_alone(data_directory, programs, launch, run_as)
    ends_at = clock.monotonic() + deadline_s
    while is_process_alive(process.pid):
        if clock.monotonic() >= ends_at:
            raise _still_running(data_directory, process.pid, deadline_s)
        clock.sleep(POLL_INTERVAL_S)
    return _ended_cleanly(data_directory)


def wait_for_milestone(
    data_directory: Path,
    log_file: Path,
    milestone: Milestone,
    *,
    deadline_s: float,
    on_poll: Callable[[RunningServer], None] | None = None,
    clock: Clock | None = None,
) -> RunningServer:
    """Wait until a running server has reached ``milestone``; ``on_poll`` sees it on the way.

    Raises: as :func:`start_server` does.
    """
    watch = _Watch(data_directory, log_file, clock or SystemClock())
    return watch.until(milestone, deadline_s, on_poll)


def wait_until_stopped(data_directory: Path, *, deadline_s: float, clock: Clock | None = None) -> bool:
    """Wait until no server runs on the directory (``recovery_target_action = shutdown``).

    Returns whether it ended cleanly, as ``pg_control`` has it. Raises ServerNotReady at the deadline.
    """
    clock = clock or SystemClock()
    ends_at = clock.monotonic() + deadline_s
    while (running := find_running_server(data_directory)) is not None:
        if clock.monotonic() >= ends_at:
            raise _still_running(data_directory, running.pid, deadline_s)
        clock.sleep(POLL_INTERVAL_S)
    return _ended_cleanly(data_directory)


def _ended_cleanly(data_directory: Path) -> bool:
    clean = (ClusterState.SHUT_DOWN, ClusterState.SHUT_DOWN_IN_RECOVERY)
    return read_control_file(data_directory).state in clean


def _still_running(data_directory: Path, pid: int, deadline_s: float) -> ServerNotReady:
    return ServerNotReady(
        f"the server on {data_directory} still runs after {deadline_s:g} s (process {pid})",
        hint=f"look at its log, or stop it at once: kill -QUIT {pid}",
        pid=pid,
    )


def stop_server(
    data_directory: Path,
    *,
    mode: StopMode = StopMode.FAST,
    deadline_s: float = STOP_DEADLINE_S,
    clock: Clock | None = None,
) -> bool:
    """Stop the server on a data directory and wait for its end. Without one, do nothing.

    Returns whether a server was stopped. Raises ServerNotReady when it still runs at the deadline.
    """
    running = find_running_server(data_directory)
    if running is None:
        return False
    try:
        os.kill(running.pid, mode.value)
    except ProcessLookupError:
        return True
    wait_until_stopped(data_directory, deadline_s=deadline_s, clock=clock)
    return True


def log_tail(log_file: Path, data_directory: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of the server's log: of the collector's file where one is used."""
    files = [log_file]
    try:
        current = (data_directory / "current_logfiles").read_text(errors="replace").split()
        files.extend(data_directory / name for name in current[1::2])
    except OSError:
        pass  # no logging collector
    return "\n".join(filter(None, (_last_lines(file, lines) for file in files)))


def _last_lines(file: Path, lines: int) -> str:
    try:
        with open(file, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _spawn_alone(
    data_directory: Path, programs: ServerPrograms, launch: Launch, run_as: RunAs | None
) -> subprocess.Popen[bytes]:
    """Start the server's process, unless one runs on the directory already."""
    running = find_running_server(data_directory)
    if running is not None:
        raise ServerNotReady(
            f"a server runs on {data_directory} already (process {running.pid})",
            hint="stop it first, or use it",
            pid=running.pid,
        )
    return _spawn(data_directory, programs, launch, run_as or server_user(data_directory))


def _spawn(
    data_directory: Path, programs: ServerPrograms, launch: Launch, run_as: RunAs
) -> subprocess.Popen[bytes]:
    argv = run_as.command([programs.postgres, "-D", data_directory, *launch.arguments()])
    log = os.open(launch.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            **run_as.popen_kwargs(),
        )
    except OSError as error:
        raise ServerStartFailed(
            f"{programs.postgres} can't be executed by the owner of {data_directory}: {error.strerror}",
            hint="the programs and all folders above them must be readable for that user",
            data_directory=str(data_directory),
        ) from error
    finally:
        os.close(log)
    remember_child(process)
    return process


@dataclass(frozen=True, slots=True)
class _Watch:
    """A server that is expected to get somewhere. ``pid``: the process that is about to write its file."""

    data_directory: Path
    log_file: Path
    clock: Clock
    pid: int | None = None

    def until(
        self,
        milestone: Milestone,
        deadline_s: float,
        on_poll: Callable[[RunningServer], None] | None = None,
    ) -> RunningServer:
        ends_at = self.clock.monotonic() + deadline_s
        while True:
            server = find_running_server(self.data_directory)
            if server is None and (self.pid is None or not is_process_alive(self.pid)):
                raise self._failed()
            if server is not None and self.pid in (None, server.pid) and milestone.is_reached_by(server):
                return server
            if server is not None and on_poll is not None:
                on_poll(server)
            if self.clock.monotonic() >= ends_at:
                raise self._late(milestone, deadline_s)
            self.clock.sleep(POLL_INTERVAL_S)

    def _failed(self) -> ServerStartFailed:
        tail = log_tail(self.log_file, self.data_directory)
        return ServerStartFailed(
            f"the server on {self.data_directory} ended before it was up; its log ends:\n{tail}",
            hint=f"the whole log is in {self.log_file}",
            data_directory=str(self.data_directory),
            log=tail,
        )

    def _late(self, milestone: Milestone, deadline_s: float) -> ServerNotReady:
        tail = log_tail(self.log_file, self.data_directory)
        return ServerNotReady(
            f"the server on {self.data_directory} was not {milestone.value} within {deadline_s:g} s; "
            f"its log ends:\n{tail}",
            hint=f"it runs on; the whole log is in {self.log_file}",
            data_directory=str(self.data_directory),
            log=tail,
        )
