"""What is compared: each contender makes an empty repository, backs up into it, restores, pushes WAL."""

from __future__ import annotations

import base64
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Protocol

from benchmarks.cluster import PG_BIN, PORT, RESTORED_PORT, Cluster, as_owner, remove
from benchmarks.timing import Measured, run, size_of

JOBS = 2
_FIRST_QUERY = "SELECT count(*) FROM pgbench_branches"


class Contender(Protocol):
    """One program in one setting."""

    name: str

    def prepare(self) -> None:
        """Make an empty repository and let the cluster archive into it; not timed."""

    def backup(self) -> Measured:
        """Take a full backup, and wait for all that makes it complete."""

    def stored_bytes(self) -> int:
        """Return what the backup takes, without archived WAL."""


class Seawall:
    """Seawall, with or without encryption."""

    def __init__(self, cluster: Cluster, work: Path, *, is_encrypted: bool) -> None:
        self.name = "Seawall, encrypted" if is_encrypted else "Seawall"
        self._cluster = cluster
        self._work = work
        self._is_encrypted = is_encrypted
        self._program = str(Path(sys.executable).with_name("seawall"))
        self._plan = work / "plan.yaml"

    def prepare(self) -> None:
        remove(self._work)
        self._work.mkdir()
        key = self._work / "key"
        key.write_bytes(base64.b64encode(os.urandom(48)))
        key.chmod(0o600)
        self._plan.write_text(self._plan_text(key))
        run(as_owner([self._program, "repository", "init", "--plan", self._plan]))
        self._cluster.archive_with(f"{self.push_command()} %p")

    def backup(self) -> Measured:
        return run(as_owner([self._program, "backup", "--plan", self._plan, "--jobs", str(JOBS), "--json"]))

    def stored_bytes(self) -> int:
        return sum(size_of(folder) for folder in (self._work / "repository").glob("clusters/*/*/backups"))

    def push_command(self) -> str:
        return f"{self._program}-wal push --plan {self._plan} --data-directory {self._cluster.data}"

    def restore(self, target: Path) -> Measured:
        """Restore to the end of the backup, start, and ask the first query."""
        restore = (
            f"{self._program} restore --plan {self._plan} --into {target} --immediate --start --jobs {JOBS} "
            f"--pg-bin {PG_BIN} --set port={RESTORED_PORT} --set unix_socket_directories={self._cluster.socket}"
        )
        return run(as_owner(["sh", "-ec", f"{restore}\n{_first_query(self._cluster)}"]))

    def _plan_text(self, key: Path) -> str:
        security = f'keys: ["file:{key}"]' if self._is_encrypted else "encryption: none"
        dsn = f"postgresql://postgres@/postgres?host={self._cluster.socket}&port={PORT}"
        return f"""version: 1
service: bench
timezone: UTC
state: {self._work}/state
objectives: {{rto: 15m, rpo: 5m, detection: 3m}}
sites: {{west: {{hosts: {{db1: {{}}}}}}, central: {{hosts: {{db2: {{}}}}}}}}
repositories:
  far: {{site: central, host: db2, url: "file://{self._work}/repository", {security}}}
clusters:
  main:
    primary: {{host: db1, dsn: "{dsn}", data: {self._cluster.data}}}
    wal: {{archive_timeout: 1m}}
"""


class PgBackRest:
    """pgBackRest with two processes, and with bundles and block incremental where its version has them."""

    def __init__(self, cluster: Cluster, work: Path, *, level: int) -> None:
        self.name = f"pgBackRest, zst {level}"
        self._cluster = cluster
        self._work = work
        self._level = level
        self._program = pgbackrest_program()
        self._config = work / "pgbackrest.conf"

    def prepare(self) -> None:
        remove(self._work)
        for folder in ("repository", "log", "lock", "spool"):
            (self._work / folder).mkdir(parents=True)
        self._config.write_text(self._config_text())
        run(self._command("stanza-create"))
        self._cluster.archive_with(f"{self.push_command()} %p")

    def backup(self) -> Measured:
        return run(self._command("--type=full", "backup"))

    def stored_bytes(self) -> int:
        return size_of(self._work / "repository" / "backup")

    def push_command(self) -> str:
        return f"{self._program} --config={self._config} --stanza=bench archive-push"

    def restore(self, target: Path) -> Measured:
        """Restore to the end of the backup, start, and ask the first query."""
        restore = (
            f"{self._program} --config={self._config} --stanza=bench --pg1-path={target} --type=immediate "
            "--target-action=promote restore"
        )
        options = f"-p {RESTORED_PORT} -k {self._cluster.socket} -c archive_mode=off"
        start = f"{PG_BIN}/pg_ctl -D {target} -l {self._work}/restored.log -w -o '{options}' start"
        return run(
            as_owner(
                ["sh", "-ec", f"mkdir -m 700 {target}\n{restore}\n{start}\n{_first_query(self._cluster)}"]
            )
        )

    def _command(self, *words: str) -> list[str]:
        return as_owner([self._program, f"--config={self._config}", "--stanza=bench", *words])

    def _config_text(self) -> str:
        lines = [
            "[bench]",
            f"pg1-path={self._cluster.data}",
            f"pg1-socket-path={self._cluster.socket}",
            f"pg1-port={PORT}",
            "pg1-user=postgres",
            "[global]",
            f"repo1-path={self._work}/repository",
            f"log-path={self._work}/log",
            f"lock-path={self._work}/lock",
            f"spool-path={self._work}/spool",
            f"process-max={JOBS}",
            "compress-type=zst",
            f"compress-level={self._level}",
            "start-fast=y",
            "log-level-console=warn",
            "log-level-file=off",
        ]
        version = pgbackrest_version()
        if version >= (2, 39):
            lines.append("repo1-bundle=y")
        if version >= (2, 46):
            lines.append("repo1-block=y")
        return "\n".join(lines) + "\n"


class BaseBackup:
    """pg_basebackup as a tar, compressed by two threads, with the WAL it needs."""

    name = "pg_basebackup, zstd:1"

    def __init__(self, cluster: Cluster, work: Path) -> None:
        self._cluster = cluster
        self._work = work

    def prepare(self) -> None:
        remove(self._work)
        self._cluster.archive_with("true")

    def backup(self) -> Measured:
        return run(
            [
                *(PG_BIN / "pg_basebackup", "-h", self._cluster.socket, "-p", str(PORT), "-U", "postgres"),
                *("-D", self._work, "-Ft", f"--compress=client-zstd:level=1,workers={JOBS}"),
                *("--checkpoint=fast", "--wal-method=stream"),
            ]
        )

    def stored_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._work.glob("base.tar*"))


def pgbackrest_program() -> str:
    """Return the build to compare with: PGBACKREST, else the one on PATH."""
    program = os.environ.get("PGBACKREST") or shutil.which("pgbackrest")
    if program is None:
        raise SystemExit("pgbackrest is missing: make bench installs it, or PGBACKREST names a build")
    return program


def pgbackrest_version() -> tuple[int, int]:
    """Return the version, as (2, 45)."""
    text = run([pgbackrest_program(), "version"]).output
    match = re.search(r"(\d+)\.(\d+)", text)
    if match is None:
        raise SystemExit(f"pgbackrest says {text!r} when asked for its version")
    return int(match[1]), int(match[2])


def _first_query(cluster: Cluster) -> str:
    return (
        f"{PG_BIN}/psql -h {cluster.socket} -p {RESTORED_PORT} -U postgres -XAtqc '{_FIRST_QUERY}' postgres"
    )
