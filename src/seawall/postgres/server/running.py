"""Is a server running on this data directory? Seen, never guessed.

What ``postmaster.pid`` says (pidfile.h; miscadmin.h, "PM_STATUS") is believed only of a process that exists and
works in that directory: after a crash, or restored by mistake, the file speaks of a server that isn't there.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

PID_FILE = "postmaster.pid"
SOCKET_CHECK_TIMEOUT_S = 2.0


class ServerStatus(Enum):
    """What the postmaster says of itself.

    READY takes connections, also as a hot standby; STANDBY recovers and takes none (hot_standby=off).
    """

    STARTING = "starting"
    STOPPING = "stopping"
    READY = "ready"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that was seen alive: its process and where it listens."""

    pid: int
    data_directory: Path
    port: int
    socket_directory: Path | None
    status: ServerStatus


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Servers that this process started, by pid: a child stays a zombie until its parent asks for it."""


def remember_child(process: subprocess.Popen[bytes]) -> None:
    """Take note of a server that this process started."""
    _children[process.pid] = process


def find_running_server(data_directory: Path) -> RunningServer | None:
    """Return the server that runs on a data directory, or None if there is none.

    A stale ``postmaster.pid`` is not believed: the process must exist and work in the data directory, or
    where that can't be seen, be called postgres or answer on its socket.
    """
    try:
        lines = (data_directory / PID_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        pid = abs(int(lines[0]))  # a standalone backend writes its number negated
    except (IndexError, ValueError):
        return None  # being written, or damaged
    if not is_process_alive(pid):
        return None
    server = _from_pid_file(pid, data_directory, lines)
    return server if _is_server_process(server) else None


def is_process_alive(pid: int) -> bool:
    """Say whether a process exists and is no zombie; a child of ours is reaped on the way."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # exists, and is somebody else's
    try:
        # The state follows the name, which is in parentheses and may contain anything (proc(5)).
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return not sys.platform.startswith("linux") or Path(f"/proc/{pid}").exists()


def _from_pid_file(pid: int, data_directory: Path, lines: list[str]) -> RunningServer:
    """Read the lines that exist so far; the server appends them as it starts (pidfile.h)."""
    padded = [line.strip() for line in lines] + [""] * 8
    folder = padded[4]
    try:
        status = ServerStatus(padded[7])
    except ValueError:
        status = ServerStatus.STARTING
    return RunningServer(
        pid=pid,
        data_directory=data_directory,
        port=int(padded[3]) if padded[3].isdigit() else 0,
        socket_directory=Path(folder) if folder else None,
        status=status,
    )


def _is_server_process(server: RunningServer) -> bool:
    process = Path(f"/proc/{server.pid}")
    try:
        return (process / "cwd").readlink() == server.data_directory.resolve()
    except OSError:
        pass  # another user's process, or no /proc on this system
    try:
        return (process / "comm").read_text().strip() in ("postgres", "postmaster")
    except OSError:
        return _accepts_connections(server)


def _accepts_connections(server: RunningServer) -> bool:
    if server.socket_directory is None:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(SOCKET_CHECK_TIMEOUT_S)
        try:
            probe.connect(str(server.socket_directory / f".s.PGSQL.{server.port}"))
        except OSError:
            return False
    return True
