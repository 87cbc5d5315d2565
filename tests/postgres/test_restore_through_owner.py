"""Root restores a Debian cluster: configuration in /etc, data of ``postgres``, started by ``pg_ctlcluster``."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from seawall.postgres.server.running import find_running_server
from tests.support.debian import MAJOR, DebianCluster, require_debian, run, seawall_for_all, superuser
from tests.support.recovery import Outcome, wait_until
from tests.support.servers import remove_folder, temporary_folder

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]


class Site:
    """A Debian cluster that archives, its plan and repository, and clusters to restore into."""

    def __init__(self) -> None:
        self.program = seawall_for_all()
        self.folder = temporary_folder()
        self.folder.chmod(0o755)
        self.user = superuser()
        self.clusters: list[DebianCluster] = []
        self.source = self.cluster()
        self.lsn = ""
        self.key = self.owned("key", b64encode(secrets.token_bytes(48)))
        for name in ("state", "far"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, self.user.uid, self.user.gid)
        self.plan = self.write_plan()

    def cluster(self) -> DebianCluster:
        made = DebianCluster(self.folder)
        self.clusters.append(made)
        return made

    def owned(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        os.chown(path, self.user.uid, self.user.gid)
        return path

    def write_plan(self, key: str | None = None, name: str = "plan.yaml") -> Path:
        source = self.source
        sockets = quote(str(source.socket_directory), safe="")
        dsn = f"postgresql://postgres@/postgres?host={sockets}&port={source.port}"
        text = f"""\
version: 1
service: shop
state: {self.folder / "state"}
objectives: {{rto: 15m, rpo: 5m, detection: 3m}}
sites: {{west: {{hosts: {{db1: {{}}}}}}, central: {{hosts: {{db2: {{}}}}}}}}
repositories:
  far: {{site: central, host: db2, url: "file://{self.folder / "far"}", keys: ["{key or f"file:{self.key}"}"]}}
clusters:
  main:
    primary: {{host: db1, dsn: "{dsn}", data: {source.data}, config: ["{source.config}"]}}
    wal: {{archive_timeout: 1m}}
checks:
  - {{name: orders are there, sql: "SELECT count(*) = 1000 FROM orders", cluster: main, database: postgres}}
"""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def seawall(
        self, *arguments: str | os.PathLike[str], as_root: bool = True, plan: Path | None = None
    ) -> Outcome:
        user = None if as_root else self.user
        return run(user, self.program, *arguments, "--plan", plan or self.plan)

    def destroy(self) -> None:
        for cluster in self.clusters:
            cluster.drop()
        remove_folder(self.folder)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A backup and all WAL up to a thousand orders, the source still running."""
    require_debian()
    found = Site()
    try:
        source = found.source
        found.seawall("repository", "init", as_root=False).succeeded()
        source.configure(
            "archive_mode = on\n"
            f"archive_command = '{found.program} wal push --plan {found.plan} --cluster main %p'\n"
        )
        source.control("start").succeeded()
        source.value("CREATE TABLE orders AS SELECT generate_series(1, 500) AS id")
        found.seawall("backup", as_root=False).succeeded()
        source.value("INSERT INTO orders SELECT generate_series(501, 1000)")
        found.lsn = source.value("SELECT pg_current_wal_lsn()")
        source.value("SELECT pg_logical_emit_message(true, 'after', 'the point')")
        source.value("SELECT pg_switch_wal()")
        wait_until(
            lambda: source.value("SELECT failed_count, archived_count > 2 FROM pg_stat_archiver") == "0|t",
            "WAL",
        )
        yield found
    finally:
        found.destroy()


def restore_into(site: Site, target: DebianCluster, *options: str) -> Outcome:
    return site.seawall(
        *("restore", "--json", "--into", target.data, "--move-aside", "--deadline", "60s"),
        *(() if "--to-lsn" in options else ("--latest",)),
        *options,
    )


def test_a_debian_cluster_is_started_by_pg_ctlcluster(site: Site) -> None:
    target = site.cluster()
    before = target.config.stat(), (target.config / "postgresql.conf").read_text()
    report = restore_into(site, target, "--start").succeeded().document
    assert report["owner"] == f"Debian's cluster {MAJOR}/{target.name}" and report["started"]
    assert report["checks"] == [{"name": "orders are there", "is_ok": True, "detail": "returned True"}]
    assert report["databases"] == {"postgres": "ok", "template1": "ok"}
    assert report["port"] == target.port and report["recovered_to_lsn"]
    assert target.is_running, "pg_ctlcluster knows of it"
    assert target.value("SELECT count(*) FROM orders") == "1000"
    assert target.value("SHOW config_file") == str(target.config / "postgresql.conf")
    assert target.value("SHOW hba_file") == str(target.config / "pg_hba.conf")
    assert target.value("SHOW archive_mode") == "off" and target.value("SELECT pg_is_in_recovery()") == "f"
    assert (target.config.stat(), (target.config / "postgresql.conf").read_text()) == before
    assert "consistent recovery state reached" in target.log.read_text(), "its log is where Debian's are"

    status = target.data.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (site.user.uid, 0o700)
    strangers = [path for path in target.data.rglob("*") if path.lstat().st_uid != site.user.uid]
    assert strangers == []
    source_modes = {
        str(path.relative_to(site.source.data)): path.lstat().st_mode
        for path in (site.source.data / "base").rglob("*")
    }
    for name in ("base/1/1259", "base/1", "base/1/PG_VERSION"):
        assert (target.data / name).lstat().st_mode == source_modes[name]

    beside = target.data.with_name(target.data.name + ".config")
    (conf,) = beside.rglob("postgresql.conf")
    assert conf.read_bytes() == (site.source.config / "postgresql.conf").read_bytes()
    original = site.source.config / "pg_hba.conf"
    (hba,) = beside.rglob("pg_hba.conf")
    assert hba.read_bytes() == original.read_bytes()
    assert (hba.stat().st_uid, hba.stat().st_mode) == (original.stat().st_uid, original.stat().st_mode)
    assert any(str(beside) in note and str(target.config) in note for note in report["notes"])
    assert not (target.data / "postgresql.conf").exists(), "a second configuration that nobody reads"

    for _ in range(2):
        target.control("restart").succeeded()
        assert target.value("SHOW archive_mode") == "off" and target.value("SHOW restore_command") == ""


def test_without_start_the_owners_command_is_told_and_works(site: Site) -> None:
    target = site.cluster()
    report = restore_into(site, target).succeeded().document
    assert report["start_command"] == f"pg_ctlcluster {MAJOR} {target.name} start" and not report["started"]
    assert find_running_server(target.data) is None
    run(None, *report["start_command"].split()).succeeded()
    wait_until(lambda: target.value("SELECT count(*) FROM orders") == "1000", "the orders")
    auto = target.data / "postgresql.auto.conf"
    wait_until(lambda: "Seawall recovery" not in auto.read_text(), "recovery_end_command")
    assert "archive_mode = 'off'" in auto.read_text() and auto.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("action", ["pause", "shutdown"])
def test_other_ends_of_recovery_through_the_owner(site: Site, action: str) -> None:
    target = site.cluster()
    report = (
        restore_into(site, target, "--start", "--action", action, "--to-lsn", site.lsn).succeeded().document
    )
    assert report["started"] is target.is_running is (action == "pause")
    if action == "pause":
        assert target.value("SELECT pg_get_wal_replay_pause_state()") == "paused"


def test_an_owner_that_fails_is_quoted(site: Site) -> None:
    target = site.cluster()
    (target.config / "start.conf").write_text("disabled\n")
    restore_into(site, target, "--start").failed_with(69, "pg_ctlcluster", "disabled")
    assert find_running_server(target.data) is None


def test_another_major_version_is_refused_before_a_byte_is_copied(site: Site) -> None:
    target = site.cluster()
    other = Path(f"/etc/postgresql/14/{target.name}")
    other.parent.mkdir(exist_ok=True)
    target.config.rename(other)
    try:
        restore_into(site, target, "--start").failed_with(89, f"14/{target.name}", "pg_createcluster 15")
    finally:
        other.rename(target.config)
        if not any(other.parent.iterdir()):
            other.parent.rmdir()
    assert not list(target.data.parent.glob(f"{target.data.name}.before-*"))


def test_patronis_directory_is_not_started_behind_its_back(site: Site) -> None:
    target = site.folder / "patronis"
    target.mkdir()
    (target / "PG_VERSION").write_text(f"{MAJOR}\n")
    (target / "patroni.dynamic.json").write_text("{}")
    argv = ("restore", "--latest", "--json", "--into", target, "--move-aside")
    site.seawall(*argv, "--start").failed_with(94, "belongs to Patroni", "patronictl remove")
    assert sorted(path.name for path in target.iterdir()) == ["PG_VERSION", "patroni.dynamic.json"]
    assert not list(site.folder.glob("patronis.*")), "nothing was begun"
    report = site.seawall(*argv).succeeded().document
    assert (report["owner"], report["start_command"]) == ("Patroni", "")
    assert any("don't start it yet" in note for note in report["notes"])


class TestPreflightAsTheServersUser:
    """Before a byte is copied: can the user whose server it will be do what restore_command does?"""

    def refused(self, site: Site, *words: str, plan: Path | None = None, program: Path | None = None) -> None:
        target = site.folder / f"plain-{secrets.token_hex(3)}"
        argv = ["restore", "--latest", "--json", "--into", str(target), "--plan", str(plan or site.plan)]
        run(None, program or site.program, *argv).failed_with(89, "postgres", *words)
        assert not target.exists() and not target.with_name(target.name + ".seawall").exists()

    def test_a_key_that_only_root_can_read(self, site: Site) -> None:
        key = site.folder / "root.key"
        key.write_bytes(site.key.read_bytes())
        key.chmod(0o600)
        self.refused(
            site, str(key), "Permission denied", plan=site.write_plan(f"file:{key}", "root-key.yaml")
        )

    def test_a_key_below_a_folder_that_only_root_can_enter(self, site: Site) -> None:
        closed = site.folder / "closed"
        closed.mkdir(mode=0o700)
        key = closed / "key"
        key.write_bytes(site.key.read_bytes())
        key.chmod(0o600)
        os.chown(key, site.user.uid, site.user.gid)
        self.refused(site, str(key), plan=site.write_plan(f"file:{key}", "closed-key.yaml"))

    def test_a_repository_that_only_root_can_enter(self, site: Site) -> None:
        far = site.folder / "far"
        os.chown(far, 0, 0)
        far.chmod(0o700)
        try:
            self.refused(site, "repository far", str(far))
        finally:
            os.chown(far, site.user.uid, site.user.gid)

    def test_a_seawall_below_a_folder_that_only_root_can_enter(self, site: Site) -> None:
        hidden = site.folder / "hidden"
        hidden.mkdir(mode=0o700)
        link = hidden / "bin"
        link.symlink_to(site.program.parent)
        subprocess.run(["cp", "-a", site.program.parent.parent, hidden / "venv"], check=True)
        script = hidden / "venv" / "bin" / "seawall"
        script.write_text(script.read_text().replace(str(site.program.parent), str(script.parent)))
        self.refused(site, f"{hidden} can't be entered", "root's, drwx------", program=script)

    def test_a_program_for_postgresql_that_only_root_can_run(self, site: Site) -> None:
        copy = site.folder / "half-open"
        subprocess.run(["cp", "-a", site.program.parent.parent, copy], check=True)
        script = copy / "bin" / "seawall"
        script.write_text(script.read_text().replace(str(site.program.parent), str(script.parent)))
        wal = copy / "bin" / "seawall-wal"
        wal.write_text(script.read_text())
        wal.chmod(0o700)
        self.refused(site, f"{wal} can't be read and executed", "-rwx------", program=script)

    def test_what_is_open_is_not_refused(self, site: Site) -> None:
        target = site.folder / "plain"
        report = site.seawall("restore", "--latest", "--json", "--into", target).succeeded().document
        assert report["owner"] == "nobody" and report["start_command"] == f"pg_ctl start -D {target}"
        assert pwd.getpwuid(target.stat().st_uid).pw_name == "postgres"
        done = site.seawall(
            *("restore", "--latest", "--json", "--into", target, "--move-aside", "--start"),
            *("--set", f"unix_socket_directories={site.source.socket_directory}", "--set", "port=5999"),
        )
        assert done.succeeded().document["checks"][0]["is_ok"], "reached by peer, although root restores"
        assert any("nothing will after a boot" in note for note in done.document["notes"])
