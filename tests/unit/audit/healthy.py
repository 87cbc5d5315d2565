"""Facts of a service that is in order, from which each test breaks one thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from seawall.audit.facts import ClusterFacts, KnownBackup, LastDrill, RepositoryState, ServiceFacts
from seawall.model.fact import Unknown
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.plan.load import diagnose
from seawall.plan.model import Plan
from seawall.postgres.health.facts import (
    DatabaseHealth,
    FreezeAge,
    HostState,
    Identity,
    Mount,
    Receiver,
    ServerHealth,
    Settings,
    SlotState,
    UnloggedTables,
    WalState,
)
from seawall.postgres.server.owner import OwnerKind, ServerOwner
from seawall.postgres.server_facts import ArchiverStatus, Database, DatabaseReport, Extension, Locale
from seawall.storage.protocol import LockState, ObjectLock

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SEGMENT = 16 << 20
SETTINGS = {
    "archive_command": "/usr/bin/pgbackrest archive-push %p",
    "archive_library": "",
    "archive_mode": "on",
    "archive_timeout": "60",
    "data_checksums": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "ignore_checksum_failure": "off",
    "ignore_invalid_pages": "off",
    "max_connections": "100",
    "max_locks_per_transaction": "64",
    "max_prepared_transactions": "0",
    "max_slot_wal_keep_size": "51200",
    "max_wal_senders": "10",
    "max_worker_processes": "8",
    "restore_command": "",
    "ssl": "on",
    "summarize_wal": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "wal_writer_delay": "200",
    "zero_damaged_pages": "off",
}
LOCALE = Locale("libc", "en_US.utf8", "2.36", "2.36")
PLAN = """\
version: 1
service: shop
state: /var/lib/seawall
objectives: {rto: 15m, rpo: 5m, detection: 3m}
sites:
  west: {hosts: {db1: {}}}
  central: {hosts: {db2: {}}}
repositories:
  near: {site: west, host: db1, url: "file:///srv/near", keys: ["file:/etc/k", escrow]}
  far: {site: central, url: "s3://shop-dr", keys: ["file:/etc/k", escrow], retention: {window: 35d}}
clusters:
  main:
    primary: {host: db1, dsn: "postgresql:///postgres", data: /pg}
    standbys: {two: {host: db2, dsn: "postgresql://db2/postgres", data: /pg}}
    schedule: {full: "0 2 * * sun"}
    wal: {archive_timeout: 1m}
traffic: {dns: {name: db.shop.example, ttl: 30s, servers: [192.0.2.53]}}
checks:
  - {name: orders are fresh, database: shop, sql: "select true"}
people: {ada: {ssh_key: "file:/a.pub", contact: "tel:+49"}, grace: {ssh_key: "file:/g.pub", contact: "tel:+1"}}
approvals: {failover: {from: [ada, grace], required: 1, timeout: 2m}}
"""


def plan(*changes: tuple[str, str], text: str = PLAN) -> Plan:
    """Return the plan of a service in order, with pieces of its text replaced."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    found, diagnostics = diagnose(text, Path("plan.yaml"))
    assert found is not None, [str(item) for item in diagnostics]
    return found


def settings(
    pending_restart: tuple[str, ...] = (), without: tuple[str, ...] = (), **changed: str
) -> Settings:
    """Return the settings of a server in order; ``__`` in a name stands for a dot."""
    values = {**SETTINGS, **{name.replace("__", "."): value for name, value in changed.items()}}
    for name in without:
        del values[name]
    return Settings(values, pending_restart, "auditor", reads_all=not without)


def owner(kind: OwnerKind = OwnerKind.SYSTEMD, name: str = "systemd") -> ServerOwner:
    may = kind is OwnerKind.SYSTEMD
    return ServerOwner(
        kind, name, ("seen",), may_alter_system=may, settings_advice="" if may else "elsewhere"
    )


def archiver(**changed: Any) -> ArchiverStatus:
    fields = {
        "archived_count": 90,
        "last_archived_wal": "000000010000000000000063",
        "last_archived_at": NOW - timedelta(days=9),
        "failed_count": 0,
        "last_failed_wal": None,
        "last_failed_at": None,
    }
    return ArchiverStatus(**{**fields, **changed})


def wal(**changed: Any) -> WalState:
    """Position in segment 100 (hex 64): the last finished is 63, and that is archived."""
    fields = {
        "timeline": 1,
        "position": Lsn(100 * SEGMENT + 4096),
        "segment_bytes": SEGMENT,
        "archiver": archiver(),
        "ready": 0,
        "bytes_per_s": 1000.0,
    }
    return WalState(**{**fields, **changed})


def standby(**changed: Any) -> Receiver:
    fields = {
        "application": "two",
        "address": "10.0.0.2",
        "state": "streaming",
        "sync_state": "async",
        "flush_lag_bytes": 0,
        "replay_lag_bytes": 0,
        "replay_lag_s": 0.02,
    }
    return Receiver(**{**fields, **changed})


def slot(**changed: Any) -> SlotState:
    fields = {
        "name": "two",
        "kind": "physical",
        "is_active": True,
        "retained_bytes": 0,
        "wal_status": "reserved",
        "inactive_since": None,
        "invalidation": None,
        "database": None,
    }
    return SlotState(**{**fields, **changed})


def database(name: str = "shop", **changed: Any) -> Database:
    fields = {
        "oid": 5,
        "name": name,
        "size_bytes": 1 << 30,
        "allows_connections": True,
        "is_template": False,
        "is_valid": True,
        "encoding": "UTF8",
        "collate": "en_US.utf8",
        "ctype": "en_US.utf8",
        "locale": LOCALE,
    }
    return Database(**{**fields, **changed})


def visit(name: str = "shop", **changed: Any) -> DatabaseHealth:
    fields = {
        "report": DatabaseReport(name, extensions=(Extension("postgis", "3.5"),), locales=(LOCALE,)),
        "invalid_indexes": (),
        "unlogged": UnloggedTables((), 0),
    }
    return DatabaseHealth(name, **{**fields, **changed})


def host(**changed: Any) -> HostState:
    fields = {
        "data_directory": Path("/pg"),
        "wal_directory": Path("/pg/pg_wal"),
        "mounts": (
            Mount(Path("/"), "/dev/sda1", "ext4"),
            Mount(Path("/run"), "tmpfs", "tmpfs"),
            Mount(Path("/mnt/nas"), "nas:/wal", "nfs4"),
            Mount(Path("/second"), "/dev/sdb1", "xfs"),
        ),
        "wal_free_bytes": 100 << 30,
    }
    return HostState(**{**fields, **changed})


def identity(**changed: Any) -> Identity:
    fields = {
        "server": "postgresql://db1/postgres",
        "version_num": 170002,
        "version": "PostgreSQL 17.2 on x86_64",
        "is_in_recovery": False,
        "started_at": NOW - timedelta(days=30),
        "observed_at": NOW,
        "address": "10.0.0.1",
        "role": "auditor",
        "is_superuser": False,
        "reads_settings": True,
        "reads_stats": True,
    }
    return Identity(**{**fields, **changed})


def server(**changed: Any) -> ServerHealth:
    """Return a server in order, with some of its parts replaced."""
    fields: dict[str, Any] = {
        "identity": identity(),
        "owner": owner(),
        "settings": settings(),
        "system_identifier": 7,
        "wal": wal(),
        "slots": (slot(),),
        "receivers": (standby(),),
        "replay": Unknown("no standby"),
        "prepared": (),
        "freeze_ages": (FreezeAge("shop", 50_000_000, 1000),),
        "checksum_failures": (),
        "config_errors": (),
        "available_extensions": frozenset({"plpgsql", "postgis"}),
        "databases": (database(),),
        "visits": (visit(),),
        "host": host(),
    }
    return ServerHealth(**{**fields, **changed})


def repository(**changed: Any) -> RepositoryState:
    fields: dict[str, Any] = {
        "backups": (KnownBackup("20261122-020000F", NOW - timedelta(days=3), 1 << 30),),
        "archived": SegmentName(1, 99, SEGMENT),
        "gaps": (),
        "lock": ObjectLock(LockState.NO, reason="a folder has none", expiring=()),
    }
    return RepositoryState(**{**fields, **changed})


def locked(days: int = 35, mode: str = "COMPLIANCE") -> ObjectLock:
    return ObjectLock(LockState.YES, mode=mode, retention_s=days * 86400, is_versioned=True, expiring=())


def drill(**changed: Any) -> LastDrill:
    fields: dict[str, Any] = {
        "ended_at": NOW - timedelta(days=3),
        "is_ok": True,
        "rto_s": 400.0,
        "rpo_s": 20.0,
    }
    return LastDrill(**{**fields, **changed})


def cluster(repositories: Mapping[str, Any] | None = None, **changed: Any) -> ClusterFacts:
    """Return a cluster in order under the plan, with some of its parts replaced."""
    far = repository(lock=locked())
    fields: dict[str, Any] = {
        "name": "main",
        "now": NOW,
        "primary": server(),
        "plan": plan(),
        "standbys": {"two": server(identity=identity(is_in_recovery=True))},
        "repositories": {"near": repository(), "far": far} if repositories is None else repositories,
        "restore_drill": drill(),
    }
    return ClusterFacts(**{**fields, **changed})


def service(of: ClusterFacts | None = None, **changed: Any) -> ServiceFacts:
    """Return the service around a cluster."""
    inner = of or cluster()
    fields: dict[str, Any] = {"now": NOW, "plan": inner.plan, "clusters": (inner,)}
    return ServiceFacts(**{**fields, **changed})


def with_server(**changed: Any) -> ClusterFacts:
    """Return a cluster in order but for its server."""
    return cluster(primary=server(**changed))


def with_settings(**changed: str) -> ClusterFacts:
    """Return a cluster in order but for settings of its server."""
    return with_server(settings=settings((), (), **changed))


def with_plan(*changes: tuple[str, str]) -> ClusterFacts:
    """Return a cluster in order but for its plan."""
    return cluster(plan=plan(*changes))


def stranger(**changed: Any) -> ClusterFacts:
    """Return a server that no plan knows."""
    found = server(**changed)
    return ClusterFacts(name=found.identity.server, now=NOW, primary=found)


def replaced(facts: ServerHealth, **changed: Any) -> ServerHealth:
    return dataclasses.replace(facts, **changed)
