"""Ask a server everything that an audit wants to know, within a deadline, changing nothing.

Every query is valid on all supported majors, takes no lock that anybody could feel, and runs in a read-only session
whose statements the server itself ends too, in case this process dies.
"""

from __future__ import annotations

from typing import Any

from seawall.model.clock import Clock
from seawall.model.fact import Fact, Unknown
from seawall.model.lsn import Lsn
from seawall.postgres.health.databases import visit_databases
from seawall.postgres.health.facts import (
    ChecksumFailures,
    ConfigError,
    FreezeAge,
    Identity,
    OpenPrepared,
    Receiver,
    ReplayState,
    ServerHealth,
    Settings,
    SlotState,
    WalState,
)
from seawall.postgres.health.host import observe_host
from seawall.postgres.health.inquiry import Inquiry, make_read_only
from seawall.postgres.observe import observe_archiver, observe_databases, observe_position
from seawall.postgres.server.owner import HostSignals, decide_owner
from seawall.postgres.server.owner_signals import gather_host_signals, gather_server_signals
from seawall.postgres.session import ServerSession, connect

DEADLINE_S = 30.0

_HERE = (
    "CASE WHEN pg_is_in_recovery()"
    " THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    " ELSE pg_current_wal_lsn() END"
)
"""Up to where the server has WAL, from which lags are counted."""

_SHORTEST_AVERAGE_S = 600.0


def observe_health(
    dsn: str, *, clock: Clock, deadline_s: float = DEADLINE_S, password: str | None = None
) -> ServerHealth:
    """Return what the server at ``dsn`` shows of itself; questions that fail are facts, not errors.

    Raises: as :func:`seawall.postgres.session.connect`, and as its queries for the very first one.
    """
    inquiry = Inquiry(clock, deadline_s)
    limit_s = min(10.0, deadline_s)
    with connect(
        dsn, connect_timeout_s=limit_s, application_name="seawall audit", password=password
    ) as session:
        make_read_only(session)
        return _observe(session, dsn, inquiry, password)


def _observe(session: ServerSession, dsn: str, inquiry: Inquiry, password: str | None) -> ServerHealth:
    identity = _identity(session, inquiry.limit_s)
    inquiry.grant = identity.grant
    settings = _settings(session, identity, inquiry.limit_s)
    databases = inquiry.ask("databases", lambda s: observe_databases(session, deadline_s=s))
    if isinstance(databases, Unknown):
        databases = inquiry.ask(
            "databases", lambda s: observe_databases(session, deadline_s=s, with_sizes=False)
        )
    is_standby = identity.is_in_recovery
    host = observe_host(identity, settings)
    return ServerHealth(
        identity=identity,
        owner=decide_owner(gather_server_signals(session), _host_signals(settings, host)),
        settings=settings,
        system_identifier=inquiry.ask("the system identifier", lambda s: _system_identifier(session, s)),
        wal=inquiry.ask("the WAL position", lambda s: _wal(session, settings, inquiry, s)),
        slots=inquiry.ask("replication slots", lambda s: _slots(session, s)),
        receivers=_receivers(session, identity, inquiry),
        replay=inquiry.ask("replay", lambda s: _replay(session, s)) if is_standby else Unknown("no standby"),
        prepared=inquiry.ask("prepared transactions", lambda s: _prepared(session, s)),
        freeze_ages=inquiry.ask("the age of transactions", lambda s: _freeze_ages(session, s)),
        checksum_failures=inquiry.ask("checksum failures", lambda s: _checksum_failures(session, s)),
        config_errors=_config_errors(session, inquiry),
        available_extensions=inquiry.ask("available extensions", lambda s: _available_extensions(session, s)),
        databases=databases,
        visits=visit_databases(dsn, databases, inquiry, password),
        host=host,
    )


def _identity(session: ServerSession, limit_s: float) -> Identity:
    row = session.query_one(
        "SELECT version(), pg_is_in_recovery(), pg_postmaster_start_time(), clock_timestamp(),"
        " host(inet_server_addr()), quote_ident(current_user), r.rolsuper,"
        " pg_has_role('pg_read_all_settings', 'USAGE'), pg_has_role('pg_read_all_stats', 'USAGE')"
        " FROM pg_roles r WHERE r.rolname = current_user",
        deadline_s=limit_s,
    )
    return Identity(session.server, session.version_num, *row)


def _settings(session: ServerSession, identity: Identity, limit_s: float) -> Settings:
    """``reset_val`` of archive_command, whose current value reads "(disabled)" while archiving is off."""
    rows = session.query_all(
        "SELECT name, CASE WHEN name = 'archive_command' THEN reset_val ELSE setting END, pending_restart"
        " FROM pg_settings ORDER BY name",
        deadline_s=limit_s,
    )
    return Settings(
        values={name: value or "" for name, value, _ in rows},
        pending_restart=tuple(name for name, _, is_pending in rows if is_pending),
        role=identity.role,
        reads_all=identity.reads_settings,
    )


def _host_signals(settings: Settings, host: object) -> HostSignals | None:
    from pathlib import Path

    if isinstance(host, Unknown):
        return None
    config = settings.values.get("config_file")
    return gather_host_signals(
        Path(settings.values["data_directory"]), config_file=Path(config) if config else None
    )


def _system_identifier(session: ServerSession, limit_s: float) -> int:
    (found,) = session.query_one("SELECT system_identifier FROM pg_control_system()", deadline_s=limit_s)
    return int(found) % (1 << 64)


def _wal(session: ServerSession, settings: Settings, inquiry: Inquiry, limit_s: float) -> WalState:
    timeline, position = observe_position(session, deadline_s=limit_s)
    return WalState(
        timeline=timeline,
        position=position,
        segment_bytes=int(settings.values["wal_segment_size"]),
        archiver=inquiry.ask("the archiver", lambda _: observe_archiver(session)),
        ready=inquiry.ask("the files that wait to be archived", lambda s: _ready(session, s)),
        bytes_per_s=inquiry.ask("the rate of WAL", lambda s: _wal_rate(session, s)),
    )


def _ready(session: ServerSession, limit_s: float) -> int:
    (count,) = session.query_one(
        "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'", deadline_s=limit_s
    )
    return int(count)


def _wal_rate(session: ServerSession, limit_s: float) -> Fact[float]:
    """Average since the statistics began: too kind to a server with quiet nights, and all there is. Of the first
    minutes, in which a server is filled or starts, it says nothing."""
    total, age_s = session.query_one(
        "SELECT wal_bytes::float8, extract(epoch FROM clock_timestamp() - stats_reset)::float8 FROM pg_stat_wal",
        deadline_s=limit_s,
    )
    if age_s is None or age_s < _SHORTEST_AVERAGE_S:
        return Unknown(
            "the server's statistics are too young to tell how much WAL it writes", "ask again later"
        )
    return float(total) / float(age_s)


def _slots(session: ServerSession, limit_s: float) -> tuple[SlotState, ...]:
    since, invalidation = "NULL::timestamptz", "NULL"
    if session.major >= 17:
        since, invalidation = "inactive_since", "invalidation_reason"
    rows = session.query_all(
        f"SELECT slot_name, slot_type, active, pg_wal_lsn_diff({_HERE}, restart_lsn)::bigint, wal_status,"
        f" {since}, {invalidation}, database FROM pg_replication_slots WHERE NOT temporary ORDER BY slot_name",
        deadline_s=limit_s,
    )
    return tuple(SlotState(*row) for row in rows)


def _receivers(session: ServerSession, identity: Identity, inquiry: Inquiry) -> Fact[tuple[Receiver, ...]]:
    rows = inquiry.ask("standbys and their lag", lambda s: _receiver_rows(session, s))
    if isinstance(rows, Unknown):
        return rows
    if any(state is None for _, _, state, *_ in rows):
        return Unknown("the role may not see standbys and their lag", identity.grant)
    return tuple(Receiver(*row) for row in rows)


def _receiver_rows(session: ServerSession, limit_s: float) -> list[tuple[Any, ...]]:
    return session.query_all(
        "SELECT application_name, host(client_addr), state, sync_state,"
        f" pg_wal_lsn_diff({_HERE}, flush_lsn)::bigint, pg_wal_lsn_diff({_HERE}, replay_lsn)::bigint,"
        " extract(epoch FROM replay_lag)::float8 FROM pg_stat_replication ORDER BY application_name, pid",
        deadline_s=limit_s,
    )


def _replay(session: ServerSession, limit_s: float) -> ReplayState:
    sender, received, replayed, pause, last = session.query_one(
        "SELECT (SELECT sender_host || ':' || sender_port FROM pg_stat_wal_receiver WHERE status = 'streaming'),"
        " pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text, pg_get_wal_replay_pause_state(),"
        " pg_last_xact_replay_timestamp()",
        deadline_s=limit_s,
    )
    return ReplayState(sender, _lsn(received), _lsn(replayed), pause, last)


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else Lsn.parse(text)


def _prepared(session: ServerSession, limit_s: float) -> tuple[OpenPrepared, ...]:
    rows = session.query_all(
        "SELECT gid, database, owner, prepared, age(transaction) FROM pg_prepared_xacts ORDER BY prepared",
        deadline_s=limit_s,
    )
    return tuple(OpenPrepared(*row) for row in rows)


def _freeze_ages(session: ServerSession, limit_s: float) -> tuple[FreezeAge, ...]:
    rows = session.query_all(
        "SELECT datname, age(datfrozenxid), mxid_age(datminmxid) FROM pg_database ORDER BY 2 DESC",
        deadline_s=limit_s,
    )
    return tuple(FreezeAge(*row) for row in rows)


def _checksum_failures(session: ServerSession, limit_s: float) -> tuple[ChecksumFailures, ...]:
    rows = session.query_all(
        "SELECT coalesce(datname, 'shared tables'), checksum_failures, checksum_last_failure"
        " FROM pg_stat_database WHERE checksum_failures > 0 ORDER BY 2 DESC",
        deadline_s=limit_s,
    )
    return tuple(ChecksumFailures(*row) for row in rows)


def _available_extensions(session: ServerSession, limit_s: float) -> frozenset[str]:
    """Return the extensions whose files the server's machine has, in any version."""
    rows = session.query_all("SELECT name FROM pg_available_extensions", deadline_s=limit_s)
    return frozenset(name for (name,) in rows)


def _config_errors(session: ServerSession, inquiry: Inquiry) -> Fact[tuple[ConfigError, ...]]:
    """A setting that waits for a restart is listed with an error too, and is no mistake."""
    rows = inquiry.ask(
        "mistakes in the configuration files",
        lambda s: session.query_all(
            "SELECT coalesce(sourcefile, ''), sourceline, coalesce(name, ''), error FROM pg_file_settings"
            " WHERE error IS NOT NULL AND error <> 'setting could not be applied'",
            deadline_s=s,
        ),
    )
    if isinstance(rows, Unknown):
        # pg_monitor does not include it (system_views.sql revokes it from everybody).
        grant = inquiry.grant.partition(" TO ")[2]
        return Unknown(
            rows.reason,
            f"GRANT SELECT ON pg_file_settings TO {grant};"
            f" GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO {grant}",
        )
    return tuple(ConfigError(*row) for row in rows)
