"""The cluster that everybody backs up: pgbench's tables, with filler that compresses like real rows.

pgbench fills its rows with blanks, which any compressor makes vanish; md5 sums of random numbers in their
place leave about what production tables leave.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.timing import run

PG_BIN = Path("/usr/lib/postgresql/15/bin")
PORT = 5497
RESTORED_PORT = 5498
SEGMENT_BYTES = 16 << 20
_FILLER = (
    "ALTER TABLE pgbench_accounts ALTER COLUMN filler TYPE text",
    "UPDATE pgbench_accounts SET filler = md5(random()::text) || md5(random()::text) WHERE aid % 2 = 0",
    "VACUUM pgbench_accounts",
    "UPDATE pgbench_accounts SET filler = md5(random()::text) || md5(random()::text) WHERE aid % 2 = 1",
    "VACUUM ANALYZE",
)
_SETTINGS = """
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket}'
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 1h
autovacuum = off
wal_level = replica
archive_mode = on
archive_command = '{keep}'
"""


def as_owner(command: Sequence[str | Path]) -> list[str]:
    """Return ``command`` as the owner of the cluster runs it: PostgreSQL refuses root, so root's files
    are shown to it as an ordinary user's (user_namespaces(7))."""
    words = [os.fspath(word) for word in command]
    if os.geteuid() != 0:
        return words
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--", *words]


class Cluster:
    """One running server, its data directory, and the WAL segments that its load left."""

    def __init__(self, work: Path) -> None:
        self.data = work / "data"
        self.socket = work / "sock"
        self.segments = work / "segments"
        self._log = work / "server.log"

    def create(self, scale: int) -> None:
        """Make the cluster, start it, load it, and checkpoint it."""
        self.socket.mkdir()
        self.segments.mkdir()
        run(
            as_owner([PG_BIN / "initdb", "-D", self.data, "-k", "-U", "postgres", "--no-locale", "--no-sync"])
        )
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write(_SETTINGS.format(port=PORT, socket=self.socket, keep=self._keep_command()))
        run(as_owner([PG_BIN / "pg_ctl", "-D", self.data, "-l", self._log, "-w", "start"]))
        run([PG_BIN / "pgbench", *self._connection(), "-i", "-q", "-s", str(scale), "postgres"])
        for statement in (*_FILLER, "CHECKPOINT", "SELECT pg_switch_wal()"):
            self.query(statement)

    def query(self, statement: str, *, port: int = PORT) -> str:
        """Run one statement and return what psql printed."""
        words: list[str | Path] = [
            PG_BIN / "psql",
            *self._connection(port),
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
        ]
        return run([*words, "postgres"]).output.strip()

    def archive_with(self, command: str) -> None:
        """Let ``command`` archive from now on, and wait until nothing is left to be archived."""
        self._set_archive_command(command)
        self._wait_for_archiver()

    def make_segments(self, wanted: int) -> list[Path]:
        """Return the newest ``wanted`` segments of real WAL (the filler's, not the blanks of pgbench's own load),
        making more of it until there are enough."""
        self.archive_with(self._keep_command())
        while len(self._whole_segments()) < wanted:
            self.query("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid <= 300000")
            self.query("SELECT pg_switch_wal()")
            self._wait_for_archiver()
        return self._whole_segments()[-wanted:]

    def stop(self) -> None:
        """Stop the server, at once."""
        if (self.data / "postmaster.pid").exists():
            stop_server(self.data)

    def _whole_segments(self) -> list[Path]:
        return sorted(path for path in self.segments.iterdir() if path.stat().st_size == SEGMENT_BYTES)

    def _connection(self, port: int = PORT) -> list[str]:
        return ["-h", str(self.socket), "-p", str(port), "-U", "postgres"]

    def _keep_command(self) -> str:
        return f"test -e {self.segments}/%f || cp %p {self.segments}/%f"

    def _set_archive_command(self, command: str) -> None:
        quoted = command.replace("'", "''")
        self.query(f"ALTER SYSTEM SET archive_command = '{quoted}'")
        self.query("SELECT pg_reload_conf()")

    def _wait_for_archiver(self) -> None:
        deadline = time.monotonic() + 120
        while list((self.data / "pg_wal" / "archive_status").glob("*.ready")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the archiver is stuck: see {self._log}")
            time.sleep(0.1)


def mark_ready(segments: Sequence[Path]) -> None:
    """Make ``segments`` what an archiver that has fallen behind sees, and nothing else (pgarch.c)."""
    for segment in segments:
        (segment.parent / "archive_status").mkdir(exist_ok=True)
        (segment.parent / "archive_status" / f"{segment.name}.ready").touch()


def stop_server(data: Path) -> None:
    """Stop the server of a data directory without ceremony."""
    run(as_owner([PG_BIN / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"]))


def remove(folder: Path) -> None:
    """Remove a folder if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
