"""The owner is decided as a table; the signals are read from a made-up host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seawall.postgres.server.owner import (
    HostSignals,
    OwnerKind,
    ServerSignals,
    decide_owner,
)
from seawall.postgres.server.owner_signals import gather_host_signals

DATA = Path("/var/lib/postgresql/16/main")
PLAIN = frozenset({"PG_VERSION"})
PATRONI_OPTIONS = frozenset(
    {
        "cluster_name",
        "max_connections",
        "max_locks_per_transaction",
        "max_prepared_transactions",
        "max_worker_processes",
        "track_commit_timestamp",
        "wal_level",
        "wal_log_hints",
    }
)


@pytest.mark.parametrize(
    ("server", "host", "kind"),
    [
        (ServerSignals(roles=frozenset({"rds_superuser"})), None, OwnerKind.RDS),
        (ServerSignals(settings=frozenset({"rds.logical_replication"})), None, OwnerKind.RDS),
        (ServerSignals(functions=frozenset({"aurora_version"})), None, OwnerKind.RDS),
        (ServerSignals(host="shop.c1xyz.eu-west-1.rds.amazonaws.com"), None, OwnerKind.RDS),
        (ServerSignals(host="rds.amazonaws.com.example"), None, OwnerKind.UNKNOWN),
        (ServerSignals(roles=frozenset({"cloudsqlsuperuser"})), None, OwnerKind.MANAGED_CLOUD),
        (ServerSignals(archive_command="/controller/manager wal-archive %p"), None, OwnerKind.CLOUDNATIVE_PG),
        (ServerSignals(socket_directories="/controller/run"), None, OwnerKind.CLOUDNATIVE_PG),
        (None, HostSignals(DATA, ancestors=("/controller/manager instance run",)), OwnerKind.CLOUDNATIVE_PG),
        (None, HostSignals(DATA, data_files=PLAIN | {"patroni.dynamic.json"}), OwnerKind.PATRONI),
        (None, HostSignals(DATA, data_files=PLAIN | {"postgresql.base.conf"}), OwnerKind.PATRONI),
        (
            None,
            HostSignals(DATA, ancestors=("/usr/bin/python3 /usr/bin/patroni /etc/patroni.yml",)),
            OwnerKind.PATRONI,
        ),
        (None, HostSignals(DATA, service_unit="patroni@16-main.service"), OwnerKind.PATRONI),
        (ServerSignals(from_command_line=PATRONI_OPTIONS | {"port"}), None, OwnerKind.PATRONI),
        (
            ServerSignals(from_command_line=PATRONI_OPTIONS - {"wal_level"}),
            HostSignals(DATA, is_running=True, data_files=PLAIN),
            OwnerKind.PG_CTL,
        ),
        (None, HostSignals(DATA, ancestors=("pg_autoctl run",)), OwnerKind.PG_AUTO_FAILOVER),
        (ServerSignals(schemas=frozenset({"repmgr"})), None, OwnerKind.REPMGR),
        (ServerSignals(preload_libraries=("repmgr",)), None, OwnerKind.REPMGR),
        (None, HostSignals(DATA, control_group="/system.slice/docker-0a1b.scope"), OwnerKind.CONTAINER),
        (None, HostSignals(DATA, control_group="/kubepods/burstable/pod1/x"), OwnerKind.CONTAINER),
        (None, HostSignals(DATA, is_running=True, is_first_process=True), OwnerKind.CONTAINER),
        (None, HostSignals(DATA, data_files=PLAIN, debian_cluster=("16", "main")), OwnerKind.PG_CTLCLUSTER),
        (None, HostSignals(DATA, data_files=PLAIN, service_unit="postgresql-16.service"), OwnerKind.SYSTEMD),
        (None, HostSignals(DATA, is_running=True, data_files=PLAIN), OwnerKind.PG_CTL),
        (None, HostSignals(DATA, data_files=PLAIN), OwnerKind.PG_CTL),
        (None, HostSignals(DATA), OwnerKind.UNKNOWN),
        (ServerSignals(), None, OwnerKind.UNKNOWN),
        (None, None, OwnerKind.UNKNOWN),
    ],
)
def test_the_owner_is_found_by_its_signals(
    server: ServerSignals | None, host: HostSignals | None, kind: OwnerKind
) -> None:
    owner = decide_owner(server, host)
    assert owner.kind is kind
    assert owner.evidence


def test_the_most_masterful_owner_wins() -> None:
    """Patroni on a Debian host under systemd in a container: Patroni it is; each layer shows in turn."""
    layers = [
        (OwnerKind.PATRONI, HostSignals(DATA, data_files=PLAIN | {"patroni.dynamic.json"})),
        (OwnerKind.CONTAINER, HostSignals(DATA, data_files=PLAIN, control_group="/docker/1")),
        (OwnerKind.PG_CTLCLUSTER, HostSignals(DATA, data_files=PLAIN, debian_cluster=("16", "main"))),
        (OwnerKind.SYSTEMD, HostSignals(DATA, data_files=PLAIN, service_unit="postgresql.service")),
    ]
    for index in range(len(layers)):
        below = [host for _, host in layers[index:]]
        together = HostSignals(
            DATA,
            data_files=frozenset().union(*(host.data_files for host in below)),
            control_group="".join(host.control_group for host in below),
            debian_cluster=next((host.debian_cluster for host in below if host.debian_cluster), None),
            service_unit="".join(host.service_unit for host in below),
        )
        assert decide_owner(None, together).kind is layers[index][0]


NEVER_TOUCHED = [
    (ServerSignals(roles=frozenset({"rds_superuser"})), HostSignals(DATA)),
    (ServerSignals(roles=frozenset({"azure_pg_admin"})), HostSignals(DATA)),
    (ServerSignals(socket_directories="/controller/run"), HostSignals(DATA, data_files=PLAIN)),
    (ServerSignals(), HostSignals(DATA, data_files=PLAIN | {"patroni.dynamic.json"})),
]


@pytest.mark.parametrize(("server", "host"), NEVER_TOUCHED)
def test_what_has_a_master_is_never_started_stopped_or_reconfigured(
    server: ServerSignals, host: HostSignals
) -> None:
    owner = decide_owner(server, host)
    assert not owner.may_start_and_stop and owner.start is None and owner.stop is None
    assert not owner.may_alter_system
    assert owner.advice and owner.settings_advice, "a refusal says what to do instead"


@pytest.mark.parametrize(
    ("has_systemd", "start", "stop"),
    [
        (
            True,
            ("systemctl", "start", "postgresql@16-main.service"),
            ("systemctl", "stop", "postgresql@16-main.service"),
        ),
        (
            False,
            ("pg_ctlcluster", "16", "main", "start"),
            ("pg_ctlcluster", "16", "main", "stop", "--mode", "fast"),
        ),
    ],
)
def test_a_debian_cluster_is_run_by_systemd_where_that_runs(
    has_systemd: bool, start: tuple[str, ...], stop: tuple[str, ...]
) -> None:
    host = HostSignals(DATA, data_files=PLAIN, debian_cluster=("16", "main"), has_systemd=has_systemd)
    owner = decide_owner(None, host)
    assert (owner.start, owner.stop) == (start, stop)


def test_repmgr_leaves_starting_to_what_runs_the_server() -> None:
    host = HostSignals(DATA, data_files=PLAIN, service_unit="postgresql-16.service")
    owner = decide_owner(ServerSignals(preload_libraries=("repmgr",)), host)
    assert owner.kind is OwnerKind.REPMGR
    assert owner.stop == ("systemctl", "stop", "postgresql-16.service")
    assert "repmgr service pause" in owner.advice


class MadeUpHost:
    """A /proc, an /etc/postgresql and a data directory in a folder."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.proc = root / "proc"
        self.etc = root / "etc"
        self.systemd = root / "systemd"
        self.data.mkdir()
        (self.data / "PG_VERSION").write_text("16\n")

    def add_process(self, pid: int, parent: int, command: str, *, cwd: Path, cgroup: str = "0::/") -> None:
        folder = self.proc / str(pid)
        folder.mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} (a (strange) name) S {parent} 1 1 0")
        (folder / "cmdline").write_text(command.replace(" ", "\0") + "\0")
        (folder / "cgroup").write_text(cgroup + "\n")
        os.symlink(cwd, folder / "cwd")
        os.symlink("/opt/pg/bin/postgres", folder / "exe")

    def signals(self, config_file: Path | None = None) -> HostSignals:
        return gather_host_signals(
            self.data,
            config_file=config_file,
            proc=self.proc,
            debian_clusters=self.etc,
            systemd_runs=self.systemd,
        )


def test_the_processes_above_the_postmaster_are_found(tmp_path: Path) -> None:
    host = MadeUpHost(tmp_path)
    (host.data / "postmaster.pid").write_text("300\n/x\n")
    unit = "0::/system.slice/system-patroni.slice/patroni@16.service"
    host.add_process(300, 200, "postgres -D x", cwd=host.data, cgroup=unit)
    host.add_process(200, 1, "/usr/bin/python3 /usr/bin/patroni x.yml", cwd=tmp_path)
    host.add_process(1, 0, "/sbin/init", cwd=tmp_path)
    signals = host.signals()
    assert signals.is_running and not signals.is_first_process
    assert signals.ancestors == ("/usr/bin/python3 /usr/bin/patroni x.yml", "/sbin/init")
    assert signals.service_unit == "patroni@16.service"
    assert signals.programs_dir == Path("/opt/pg/bin")
    assert decide_owner(None, signals).kind is OwnerKind.PATRONI


def test_a_stale_pid_file_accuses_nobody(tmp_path: Path) -> None:
    host = MadeUpHost(tmp_path)
    (host.data / "postmaster.pid").write_text("300\n")
    host.add_process(300, 1, "patroni", cwd=tmp_path)
    assert not host.signals().is_running
    assert decide_owner(None, host.signals()).kind is OwnerKind.PG_CTL


@pytest.mark.parametrize("content", ["", "-5\n", "garbage", "99999999\n"])
def test_a_damaged_pid_file_means_not_running(tmp_path: Path, content: str) -> None:
    host = MadeUpHost(tmp_path)
    (host.data / "postmaster.pid").write_text(content)
    assert not host.signals().is_running


def test_a_debian_cluster_is_matched_by_its_data_directory_alone(tmp_path: Path) -> None:
    """Danger 12: a path that merely begins with the data directory's name is another cluster."""
    host = MadeUpHost(tmp_path)
    for name, data in (("other", f"{host.data}2"), ("main", str(host.data))):
        folder = host.etc / "16" / name
        folder.mkdir(parents=True)
        (folder / "postgresql.conf").write_text(f"# comment\ndata_directory = '{data}'\t# use data\n")
    assert host.signals().debian_cluster == ("16", "main")
    assert host.signals(host.etc / "16" / "main" / "postgresql.conf").debian_cluster == ("16", "main")
    elsewhere = host.data / "postgresql.conf"
    assert host.signals(elsewhere).debian_cluster is None, "started with another configuration"
