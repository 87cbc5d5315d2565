"""Real PostgreSQL servers for tests: quick to make, quick to kill, gone when the run ends.

A :class:`TestCluster` lives in a short temporary folder (Unix sockets have short names) with its data
directory, socket and log; it listens on no network. New clusters are copies of a template that initdb
made once, each with a system identifier of its own. Servers run as an ordinary user even under root
(seawall.postgres.server.user). A reaper process removes what a killed run leaves.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from seawall.model.clock import SystemClock
from seawall.postgres.files.control_file import (
    CONTROL_FILE_PATH,
    ControlFile,
    read_control_file,
)
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.server.lifecycle import Launch, StopMode, start_server, stop_server
from seawall.postgres.server.running import RunningServer, find_running_server
from seawall.postgres.server.user import RunAs, server_user
from tests.support import reaper
from tests.support.control_files import with_system_identifier
from tests.support.server_programs import (
    TEMPLATES,
    exclusive,
    server_programs,
    wanted_majors,
    why_not_available,
)

COMMAND_TIMEOUT_S = 120.0
SUPERUSER = "postgres"
PORT = 5432
QUIET_SETTINGS = {
    "fsync": "off",
    "listen_addresses": "",
    "logging_collector": "off",
    "shared_buffers": "16MB",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What initdb fixes for a cluster's life."""

    checksums: bool = True
    wal_segment_mib: int = 16

    def arguments(self, major: int) -> list[str]:
        """Return initdb's arguments: English, UTF-8, trusting, not synced."""
        arguments = ["--no-locale", "--encoding=UTF8", "--auth=trust", "--no-sync", f"--username={SUPERUSER}"]
        if self.checksums:
            arguments.append("--data-checksums")
        elif major >= 18:
            arguments.append("--no-data-checksums")
        return [*arguments, f"--wal-segsize={self.wal_segment_mib}"]


class TestCluster:
    """One data directory and the server that may run on it."""

    __test__ = False  # nothing for pytest to collect

    def __init__(self, programs: ServerPrograms, folder: Path, data: Path | None = None) -> None:
        """Speak for ``data`` (``folder/data``), existing or not, with socket and log in ``folder``."""
        self.programs = programs
        self.folder = folder
        self.data = data or folder / "data"
        self.socket_directory = folder / "s"
        self.log_file = folder / "log"
        self.settings: dict[str, str] = {}
        self.socket_directory.mkdir(exist_ok=True)

    @classmethod
    def create(
        cls,
        programs: ServerPrograms,
        *,
        options: InitOptions | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> TestCluster:
        """Make a new cluster, not started. ``settings`` go to its postgresql.conf."""
        cluster = cls(programs, temporary_folder())
        copy_tree(_template(programs, options or InitOptions()), cluster.data)
        _give_identity(cluster.data)
        cluster.configure({**QUIET_SETTINGS, **(settings or {})})
        return cluster

    @property
    def major(self) -> int:
        return self.programs.major

    @property
    def run_as(self) -> RunAs:
        return server_user(self.data)

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Return a connection string of keywords."""
        return f"host={self.socket_directory} port={PORT} user={user} dbname={database}"

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Return a connection URL."""
        return (
            f"postgresql://{user}@/{database}?host={quote(str(self.socket_directory), safe='')}&port={PORT}"
        )

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings to postgresql.conf; a running server reads them at its next reload or start."""
        lines = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as configuration:
            configuration.writelines(lines)

    def archive_with(self, command: str) -> None:
        """Turn archiving on with this archive_command (needs a restart)."""
        self.configure({"archive_mode": "on", "archive_command": command})

    def launch(self, settings: Mapping[str, str] | None = None) -> Launch:
        """Return how this cluster's server is started."""
        return Launch(
            self.log_file,
            {"listen_addresses": "", **self.settings, **(settings or {})},
            socket_directory=self.socket_directory,
            port=PORT,
        )

    def start(self, settings: Mapping[str, str] | None = None, *, deadline_s: float = 60.0) -> RunningServer:
        """Start the server, with more settings on its command line, and wait until it answers."""
        return start_server(
            self.data,
            self.programs,
            self.launch(settings),
            run_as=self.run_as,
            deadline_s=deadline_s,
            clock=SystemClock(),
        )

    def stop(self, mode: StopMode = StopMode.FAST) -> None:
        """Stop the server if it runs."""
        stop_server(self.data, mode=mode)

    def restart(self, settings: Mapping[str, str] | None = None) -> RunningServer:
        """Stop and start."""
        self.stop()
        return self.start(settings)

    def reload(self) -> None:
        """Make the running server read its configuration files."""
        self.sql("SELECT pg_reload_conf()")

    def kill(self) -> None:
        """Kill every process of the server with SIGKILL, as a crash of the machine would end them."""
        ends_at = time.monotonic() + reaper.PATIENCE_S
        while pids := reaper.processes_in(self.data.resolve()):
            if time.monotonic() > ends_at:
                raise TimeoutError(f"still there after SIGKILL: {pids}")
            for pid in pids:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)
        find_running_server(self.data)  # reaps the child

    def destroy(self) -> None:
        """Kill the server and remove the cluster's folder."""
        self.kill()
        remove_folder(self.folder)

    @property
    def is_running(self) -> bool:
        return find_running_server(self.data) is not None

    def log(self) -> str:
        """Return the server's log so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def control(self) -> ControlFile:
        """Return what pg_control says."""
        return read_control_file(self.data)

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """Return an autocommitting connection; the caller closes it (``with``)."""
        return psycopg.connect(self.dsn(database), autocommit=True, connect_timeout=20, **options)

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements, each in its own transaction, and return the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with self.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def value(self, statement: str, database: str = "postgres") -> Any:
        """Run a query and return its first column of its first row."""
        return self.sql(statement, database=database)[0][0]

    def program(self, name: str, *arguments: str | os.PathLike[str]) -> str:
        """Run one of the server's programs as its owner and return what it printed. Raises on failure."""
        return run_program(self.run_as, [self.programs.path(name), *arguments])

    def psql(self, *arguments: str) -> str:
        """Run psql against the server (bare output) and return what it printed."""
        return self.program("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(), *arguments)


def run_program(run_as: RunAs, argv: Sequence[str | os.PathLike[str]]) -> str:
    """Run a program as ``run_as`` and return its output; its complaints are in the exception."""
    done = subprocess.run(
        run_as.command(argv),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC", "PGTZ": "UTC"},
        timeout=COMMAND_TIMEOUT_S,
        check=False,
        **run_as.popen_kwargs(),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} failed with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def temporary_folder() -> Path:
    """Return a new folder with a short path, which is cleared away when this process ends in any way."""
    folder = Path(tempfile.mkdtemp(prefix="sw-", dir="/tmp")).resolve()
    _tell_reaper(str(folder))
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder of :func:`temporary_folder` now, and what works inside it."""
    reaper.clear_away(folder)
    _tell_reaper(f"-{folder}")


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder with owners, modes and times, by reference where the file system can."""
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True, timeout=COMMAND_TIMEOUT_S)


@cache
def _reaper() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", reaper.__file__],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd="/",
    )


def _tell_reaper(line: str) -> None:
    pipe = _reaper().stdin
    assert pipe is not None
    pipe.write(f"{line}\n")
    pipe.flush()


def _template(programs: ServerPrograms, options: InitOptions) -> Path:
    """Return a data directory to copy, made by initdb when it is first asked for on this machine."""
    arguments = options.arguments(programs.major)
    facts = [str(programs.folder), programs.version, str(os.geteuid()), *arguments]
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]
    template = TEMPLATES / f"{programs.version}-{key}"
    with exclusive(TEMPLATES / f"{key}.lock"):
        if not template.exists():
            half = template.with_suffix(".making")
            shutil.rmtree(half, ignore_errors=True)
            run_program(server_user(half), [programs.initdb, *arguments, "-D", half])
            half.rename(template)
    return template


def _give_identity(data: Path) -> None:
    """Make the copy of a template a cluster of its own: new system identifier in pg_control and WAL."""
    identifier = (int(time.time()) << 32) | secrets.randbits(32)
    control = data / CONTROL_FILE_PATH
    control.write_bytes(with_system_identifier(control.read_bytes(), identifier))
    for segment in (data / "pg_wal").glob("0000000100000000????????"):
        with open(segment, "r+b") as wal:
            wal.seek(24)  # XLogLongPageHeaderData.xlp_sysid of the first page
            wal.write(identifier.to_bytes(8, "little"))


def main() -> int:
    """Fetch and unpack every wanted server, and say which ones there are, and what others lack."""
    found = {major: server_programs(major) for major in wanted_majors()}
    for major, programs in found.items():
        print(f"PostgreSQL {major}: {programs.folder if programs else why_not_available(major)}", flush=True)
    if any(found.values()):
        return 0
    print("no PostgreSQL server runs here, and most tests need one", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
