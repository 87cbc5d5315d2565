"""Decide who owns a server: what starts, stops, configures and promotes it.

A server that Patroni or an operator looks after must not be started, stopped or reconfigured behind
its owner's back: the owner would undo it, fail over, or end up with two primaries. So Seawall asks
this module before it touches a server, and does what the owner's row says or nothing.

:func:`decide_owner` is pure; ``owner_signals`` gathers what it decides from.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path


class OwnerKind(enum.Enum):
    """Whom the server obeys."""

    RDS = "rds"
    MANAGED_CLOUD = "managed-cloud"
    CLOUDNATIVE_PG = "cloudnative-pg"
    PATRONI = "patroni"
    PG_AUTO_FAILOVER = "pg-auto-failover"
    CONTAINER = "container"
    REPMGR = "repmgr"
    PG_CTLCLUSTER = "pg-ctlcluster"
    SYSTEMD = "systemd"
    PG_CTL = "pg-ctl"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ServerSignals:
    """What the server itself says, over SQL. Empty where the role may not see it.

    ``from_command_line`` are the settings that the postmaster's command line fixes.
    """

    settings: frozenset[str] = frozenset()
    archive_command: str = ""
    restore_command: str = ""
    socket_directories: str = ""
    cluster_name: str = ""
    preload_libraries: tuple[str, ...] = ()
    roles: frozenset[str] = frozenset()
    schemas: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    from_command_line: frozenset[str] = frozenset()
    host: str = ""
    """The host name by which the server was reached."""


@dataclass(frozen=True, slots=True)
class DirectoryClaim:
    """An owner's own configuration on this host (``source``) that names a data directory as its to run.

    It holds while the directory is empty or the server down. ``unit`` is systemd's.
    """

    kind: OwnerKind
    source: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class HostSignals:
    """What the host says. ``ancestors`` are the command lines above the postmaster, nearest first;
    ``debian_cluster`` is (version, name) from /etc/postgresql; ``service_unit`` is the systemd unit
    whose control group the postmaster is in."""

    data_directory: Path
    is_running: bool = False
    is_first_process: bool = False
    data_files: frozenset[str] = frozenset()
    ancestors: tuple[str, ...] = ()
    control_group: str = ""
    service_unit: str = ""
    has_systemd: bool = False
    debian_cluster: tuple[str, str] | None = None
    claims: tuple[DirectoryClaim, ...] = ()
    programs_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerOwner:
    """The owner and what it allows.

    ``start`` and ``stop`` are command lines to run as ``runs_as``; None means that Seawall must not.
    ``advice`` says what a person does instead; ``settings_advice`` how settings are changed where
    ALTER SYSTEM would be undone or is forbidden. ``cluster`` is (version, name) of a Debian cluster, ``unit``
    the systemd unit.
    """

    kind: OwnerKind
    name: str
    evidence: tuple[str, ...]
    start: tuple[str, ...] | None = None
    stop: tuple[str, ...] | None = None
    runs_as: str = "the server's user"
    may_alter_system: bool = False
    advice: str = ""
    settings_advice: str = ""
    cluster: tuple[str, str] = ("", "")
    unit: str = ""

    @property
    def may_start_and_stop(self) -> bool:
        return self.start is not None and self.stop is not None


def decide_owner(server: ServerSignals | None, host: HostSignals | None) -> ServerOwner:
    """Return the owner by the first rule that finds evidence, most masterful first.

    Either side may be missing: a server that is down answers no SQL, a remote one shows no host.
    """
    told = server or ServerSignals()
    seen = host or HostSignals(Path())
    for find, owner_of in _RULES:
        evidence = tuple(find(told, seen))
        if evidence:
            return owner_of(evidence, seen)
    return ServerOwner(
        OwnerKind.UNKNOWN,
        "unknown",
        ("the server is not on this host, or this user may not see its files",),
        may_alter_system=server is not None,
        advice="run seawall on the server's host to see who starts and stops it",
    )


_PATRONI_COMMAND_LINE = frozenset(
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
"""Patroni fixes all of these on the command line (patroni/postgresql/config.py, CMDLINE_OPTIONS)."""

_MANAGED_ROLES = {
    "cloudsqlsuperuser": "Google Cloud SQL or AlloyDB",
    "azure_pg_admin": "Azure Database for PostgreSQL",
    "neon_superuser": "Neon",
    "supabase_admin": "Supabase",
    "doadmin": "DigitalOcean",
}


def _claimed(seen: HostSignals, kind: OwnerKind) -> list[str]:
    return [f"{claim.source} names this data directory" for claim in seen.claims if claim.kind is kind]


def _unit(seen: HostSignals) -> str:
    """Return the systemd unit that the server runs in, else the one that is to run it."""
    claimed = (claim.unit for claim in seen.claims if claim.kind is OwnerKind.SYSTEMD)
    return seen.service_unit or next(claimed, "")


_RDS_DOMAINS = (".rds.amazonaws.com", ".rds.amazonaws.com.cn")


def _find_rds(told: ServerSignals, seen: HostSignals) -> list[str]:
    found = [f"the role {name}" for name in ("rds_superuser", "rdsadmin") if name in told.roles]
    found += [f"the setting {name}" for name in sorted(told.settings) if name.startswith("rds.")][:1]
    found += ["the function aurora_version()"] * ("aurora_version" in told.functions)
    return found + [f"the host name {told.host}"] * told.host.endswith(_RDS_DOMAINS)


def _find_managed_cloud(told: ServerSignals, seen: HostSignals) -> list[str]:
    return [f"the role {role} ({cloud})" for role, cloud in _MANAGED_ROLES.items() if role in told.roles]


def _find_cloudnative_pg(told: ServerSignals, seen: HostSignals) -> list[str]:
    found = []
    if "/controller/manager" in told.archive_command + " " + told.restore_command:
        found.append("archive_command or restore_command runs /controller/manager")
    if "/controller/run" in told.socket_directories:
        found.append("the server's socket is in /controller/run")
    if any(re.match(r"/controller/manager\b", line) for line in seen.ancestors):
        found.append("/controller/manager started the server")
    return found + _claimed(seen, OwnerKind.CLOUDNATIVE_PG)


def _find_patroni(told: ServerSignals, seen: HostSignals) -> list[str]:
    files = ("patroni.dynamic.json", "postgresql.base.conf")
    found = [f"{name} in the data directory" for name in files if name in seen.data_files]
    if any(re.search(r"(^|[/\s])patroni(\.py)?(\s|$)", line) for line in seen.ancestors):
        found.append("patroni started the server")
    if told.from_command_line >= _PATRONI_COMMAND_LINE:
        found.append("the settings on the server's command line are those that Patroni puts there")
    if "patroni" in seen.service_unit:
        found.append(f"the systemd unit {seen.service_unit}")
    return found + _claimed(seen, OwnerKind.PATRONI)


def _find_pg_auto_failover(told: ServerSignals, seen: HostSignals) -> list[str]:
    found = ["pg_autoctl started the server"] * any("pg_autoctl" in line for line in seen.ancestors)
    found += ["the role pgautofailover_monitor"] * ("pgautofailover_monitor" in told.roles)
    files = ("postgresql-auto-failover.conf", "postgresql-auto-failover-standby.conf")
    found += [f"{name} in the data directory" for name in files if name in seen.data_files]
    return found + _claimed(seen, OwnerKind.PG_AUTO_FAILOVER)


def _find_repmgr(told: ServerSignals, seen: HostSignals) -> list[str]:
    found = ["repmgr in shared_preload_libraries"] * ("repmgr" in told.preload_libraries)
    found += ["the schema repmgr"] * ("repmgr" in told.schemas)
    return found + _claimed(seen, OwnerKind.REPMGR)


def _find_container(told: ServerSignals, seen: HostSignals) -> list[str]:
    match = re.search(r"(docker|libpod|kubepods|containerd|crio|lxc\.payload)", seen.control_group)
    found = [f"the server's control group is {seen.control_group}"] if match else []
    return found + ["the server is the first process of a container"] * seen.is_first_process


def _find_pg_ctlcluster(told: ServerSignals, seen: HostSignals) -> list[str]:
    if seen.debian_cluster is None:
        return []
    version, name = seen.debian_cluster
    return [f"/etc/postgresql/{version}/{name} names this data directory"]


def _find_systemd(told: ServerSignals, seen: HostSignals) -> list[str]:
    running = [f"the systemd unit {seen.service_unit}"] if seen.service_unit else []
    return running + _claimed(seen, OwnerKind.SYSTEMD)


def _find_pg_ctl(told: ServerSignals, seen: HostSignals) -> list[str]:
    if not seen.data_files:
        return []
    state = "runs without" if seen.is_running else "is down and has no trace of"
    return [f"the server {state} a service manager"]


def _rds(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    return ServerOwner(
        OwnerKind.RDS,
        "Amazon RDS or Aurora",
        evidence,
        advice="its data directory can't be read; use its own snapshots, and logical dumps beside them",
        settings_advice="change the instance's DB parameter group (aws rds modify-db-parameter-group)",
    )


def _managed_cloud(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    return ServerOwner(
        OwnerKind.MANAGED_CLOUD,
        "a managed database service",
        evidence,
        advice="its data directory can't be read; use its own backups, and logical dumps beside them",
        settings_advice="change the settings in the service's console",
    )


def _cloudnative_pg(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    return ServerOwner(
        OwnerKind.CLOUDNATIVE_PG,
        "CloudNativePG",
        evidence,
        advice="the operator starts, stops and promotes; use `kubectl cnpg` (restart, promote, fencing on)",
        settings_advice="set them in the Cluster resource under spec.postgresql.parameters",
    )


def _patroni(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    return ServerOwner(
        OwnerKind.PATRONI,
        "Patroni",
        evidence,
        advice="`patronictl restart`, `switchover` or `pause`; never pg_ctl behind Patroni's back",
        settings_advice=(
            "`patronictl edit-config`, under postgresql.parameters (ALTER SYSTEM would hold on one member "
            "only), then `patronictl restart` for those that need it"
        ),
    )


def _pg_auto_failover(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    return ServerOwner(
        OwnerKind.PG_AUTO_FAILOVER,
        "pg_auto_failover",
        evidence,
        may_alter_system=True,
        advice="`pg_autoctl enable maintenance` before a stop, `disable maintenance` after",
    )


def _repmgr(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    """repmgr promotes and follows, but something else below it runs the server."""
    others = tuple(claim for claim in seen.claims if claim.kind is not OwnerKind.REPMGR)
    below = decide_owner(None, replace(seen, claims=others))
    return ServerOwner(
        OwnerKind.REPMGR,
        f"repmgr, over {below.name}",
        evidence + below.evidence,
        start=below.start,
        stop=below.stop,
        runs_as=below.runs_as,
        may_alter_system=True,
        advice="`repmgr service pause` before a stop (else repmgrd may promote a standby), unpause after",
    )


def _container(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    return ServerOwner(
        OwnerKind.CONTAINER,
        "a container runtime",
        evidence,
        may_alter_system=True,
        advice="start and stop the container (docker, podman, kubectl): stopping the server ends it",
    )


def _pg_ctlcluster(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    version, name = seen.debian_cluster or ("", "")
    unit = f"postgresql@{version}-{name}.service"
    by_systemd = seen.has_systemd
    return ServerOwner(
        OwnerKind.PG_CTLCLUSTER,
        f"Debian's cluster {version}/{name}",
        evidence,
        start=("systemctl", "start", unit) if by_systemd else ("pg_ctlcluster", version, name, "start"),
        stop=(
            ("systemctl", "stop", unit)
            if by_systemd
            else ("pg_ctlcluster", version, name, "stop", "--mode", "fast")
        ),
        runs_as="root" if by_systemd else "root or the server's user",
        may_alter_system=True,
        cluster=(version, name),
        unit=unit if by_systemd else "",
    )


def _systemd(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    unit = _unit(seen)
    return ServerOwner(
        OwnerKind.SYSTEMD,
        f"systemd, as {unit}",
        evidence,
        start=("systemctl", "start", unit),
        stop=("systemctl", "stop", unit),
        runs_as="root",
        may_alter_system=True,
        unit=unit,
    )


def _pg_ctl(evidence: tuple[str, ...], seen: HostSignals) -> ServerOwner:
    program = str(seen.programs_dir / "pg_ctl") if seen.programs_dir else "pg_ctl"
    data = str(seen.data_directory)
    return ServerOwner(
        OwnerKind.PG_CTL,
        "hand, with pg_ctl",
        evidence,
        start=(program, "start", "-w", "-D", data),
        stop=(program, "stop", "-w", "-m", "fast", "-D", data),
        may_alter_system=True,
    )


_Find = Callable[[ServerSignals, HostSignals], list[str]]
_OwnerOf = Callable[[tuple[str, ...], HostSignals], ServerOwner]

_RULES: tuple[tuple[_Find, _OwnerOf], ...] = (
    (_find_rds, _rds),
    (_find_managed_cloud, _managed_cloud),
    (_find_cloudnative_pg, _cloudnative_pg),
    (_find_patroni, _patroni),
    (_find_pg_auto_failover, _pg_auto_failover),
    (_find_repmgr, _repmgr),
    (_find_container, _container),
    (_find_pg_ctlcluster, _pg_ctlcluster),
    (_find_systemd, _systemd),
    (_find_pg_ctl, _pg_ctl),
)
