"""Look at a running server and change nothing (``observe_*`` only reads).

One short query per matter, each valid on every supported major. A role that may not see something
still gets the rest: what stayed unknown is listed in ``ServerFacts.denied`` with the GRANT that would
show it. ``pg_monitor`` is enough for everything here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from seawall.model.lsn import Lsn
from seawall.postgres.errors import ServerPermissionMissing
from seawall.postgres.server_facts import (
    ArchiverStatus,
    ArchiveSettings,
    Database,
    DatabaseReport,
    Extension,
    FileLocations,
    Locale,
    MissingPermission,
    ReplicationSlot,
    RestoreNeeds,
    ServerFacts,
    Standby,
    Tablespace,
)
from seawall.postgres.session import Row, ServerSession

RECOVERY_SETTINGS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""Recovery stops if one of these is lower than on the server that wrote the WAL."""

_REFERENCING_SETTINGS = (
    "ssl_cert_file",
    "ssl_key_file",
    "ssl_ca_file",
    "ssl_crl_file",
    "ssl_dh_params_file",
    "krb_server_keyfile",
)
_FILE_SETTINGS = ("data_directory", "config_file", "hba_file", "ident_file")
# Not primary_conninfo: it may hold a password.
_OTHER_SETTINGS = (
    "archive_mode", "archive_command", "archive_library", "archive_timeout", "checkpoint_timeout",
    "cluster_name", "data_checksums", "fsync", "full_page_writes", "hot_standby", "lc_messages",
    "listen_addresses", "local_preload_libraries", "max_replication_slots", "max_wal_size", "port",
    "primary_slot_name", "recovery_target_timeline", "restore_command",
    "session_preload_libraries", "shared_preload_libraries", "ssl", "summarize_wal",
    "synchronous_standby_names", "track_commit_timestamp", "unix_socket_directories",
    "wal_keep_size", "wal_level", "wal_log_hints", "wal_summary_keep_time",
)  # fmt: skip
_HIDDEN_SETTINGS = frozenset({*_FILE_SETTINGS, "shared_preload_libraries"})
"""Only members of pg_read_all_settings see these; their absence proves the missing membership."""

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": "default"}
_SIZE_DEADLINE_S = 300.0
_INVALID_DATABASE = -2
"""pg_database.datconnlimit of a database whose DROP was interrupted (commit c66a7d75)."""


def observe_server(session: ServerSession) -> ServerFacts:
    """Return everything that Seawall wants to know of a server.

    Raises: ServerUnreachable, ServerNotReady. A missing permission is a fact, not an error.
    """
    denied: list[MissingPermission] = []
    settings, pending_restart = _observe_settings(session)
    system_identifier, in_recovery, started_at, now, version = session.query_one(
        "SELECT system_identifier, pg_is_in_recovery(), pg_postmaster_start_time(), clock_timestamp(),"
        " version() FROM pg_control_system()"
    )
    block, blocks, wal_block, wal_segment, checksums = session.query_one(
        "SELECT database_block_size, blocks_per_segment, wal_block_size, bytes_per_wal_segment,"
        " data_page_checksum_version FROM pg_control_init()"
    )
    timeline, position = observe_position(session)
    return ServerFacts(
        server=session.server,
        version_num=session.version_num,
        version=version,
        system_identifier=system_identifier % (1 << 64),
        observed_at=now,
        started_at=started_at,
        is_in_recovery=in_recovery,
        timeline=timeline,
        position=position,
        block_bytes=block,
        relation_segment_bytes=block * blocks,
        wal_block_bytes=wal_block,
        wal_segment_bytes=wal_segment,
        has_checksums=checksums > 0,
        files=_observe_files(session, settings, denied),
        archive=_archive_settings(settings),
        archiver=observe_archiver(session),
        tablespaces=_observe_tablespaces(session),
        databases=observe_databases(session, denied),
        standbys=_observe_standbys(session, denied),
        slots=_observe_slots(session),
        settings=settings,
        pending_restart=pending_restart,
        denied=tuple(denied),
    )


def observe_position(session: ServerSession, *, deadline_s: float | None = None) -> tuple[int, Lsn]:
    """Return the timeline and the position up to which WAL exists: inserted on a primary, replayed
    (or received, whichever is later) on a standby."""
    timeline, position = session.query_one(
        "SELECT CASE WHEN pg_is_in_recovery() THEN greatest(r.min_recovery_end_timeline, c.timeline_id)"
        " ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,"
        " CASE WHEN pg_is_in_recovery()"
        " THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), r.min_recovery_end_lsn)"
        " ELSE pg_current_wal_insert_lsn() END::text"
        " FROM pg_control_recovery() r, pg_control_checkpoint() c",
        deadline_s=deadline_s,
    )
    return timeline, Lsn.parse(position)


def observe_archiver(session: ServerSession) -> ArchiverStatus:
    """Return what the archiver says of itself."""
    row = session.query_one(
        "SELECT archived_count, last_archived_wal, last_archived_time, failed_count, last_failed_wal,"
        " last_failed_time FROM pg_stat_archiver"
    )
    return ArchiverStatus(*row)


def observe_databases(
    session: ServerSession,
    denied: list[MissingPermission] | None = None,
    *,
    deadline_s: float = _SIZE_DEADLINE_S,
    with_sizes: bool = True,
) -> tuple[Database, ...]:
    """Return all databases by name; sizes, which may take long, only where they are wanted and may be seen."""
    rows = session.query_all(_databases_sql(session.major, with_sizes=with_sizes), deadline_s=deadline_s)
    databases = tuple(_database(row) for row in rows)
    if denied is not None and any(d.size_bytes is None and d.is_valid for d in databases):
        denied.append(MissingPermission("the size of some databases", "GRANT pg_read_all_stats TO the role"))
    return databases


def facts_for_restore(facts: ServerFacts, reports: Iterable[DatabaseReport]) -> RestoreNeeds:
    """Reduce what was observed to what another machine must offer to run a copy. Pure."""
    extensions: dict[Extension, tuple[str, ...]] = {}
    locales = {database.locale for database in facts.databases if database.is_valid}
    for report in reports:
        locales.update(report.locales)
        for extension in report.extensions:
            extensions[extension] = (*extensions.get(extension, ()), report.name)
    return RestoreNeeds(
        major=facts.major,
        settings={name: int(facts.settings[name]) for name in RECOVERY_SETTINGS},
        shared_preload_libraries=facts.preload_libraries("shared_preload_libraries"),
        session_preload_libraries=facts.preload_libraries("session_preload_libraries"),
        locales=tuple(sorted(locales, key=lambda item: (item.provider, item.name, item.version or ""))),
        extensions=dict(sorted(extensions.items(), key=lambda item: (item[0].name, item[0].version))),
    )


def _observe_settings(session: ServerSession) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return settings in their base units. ``reset_val``, since it has no show hook: the current
    value of archive_command reads "(disabled)" while archiving is off."""
    names = [*RECOVERY_SETTINGS, *_FILE_SETTINGS, *_REFERENCING_SETTINGS, *_OTHER_SETTINGS]
    rows = session.query_all(
        "SELECT name, CASE WHEN name = 'archive_command' THEN reset_val ELSE setting END, pending_restart"
        " FROM pg_settings WHERE name = ANY(%s) OR pending_restart ORDER BY name",
        (names,),
    )
    values = {name: value or "" for name, value, _ in rows}
    return values, tuple(name for name, _, is_pending in rows if is_pending)


def _observe_files(
    session: ServerSession, settings: Mapping[str, str], denied: list[MissingPermission]
) -> FileLocations | None:
    if not settings.keys() >= _HIDDEN_SETTINGS:
        what = "the server's folders, configuration files and preloaded libraries"
        denied.append(MissingPermission(what, "GRANT pg_read_all_settings TO the role"))
        return None
    data_directory = Path(settings["data_directory"])
    return FileLocations(
        data_directory=data_directory,
        config_file=_absolute(settings["config_file"], data_directory),
        hba_file=_absolute(settings["hba_file"], data_directory),
        ident_file=_absolute(settings["ident_file"], data_directory),
        settings_files=_observe_settings_files(session),
        referenced=_referenced_files(settings, data_directory),
    )


def _observe_settings_files(session: ServerSession) -> tuple[Path, ...]:
    """Return the files that settings come from, as far as the role sees them: all for a superuser,
    those of settings in force for others."""
    queries = (
        "SELECT DISTINCT sourcefile FROM pg_settings WHERE sourcefile IS NOT NULL",
        "SELECT DISTINCT sourcefile FROM pg_file_settings WHERE sourcefile IS NOT NULL",
    )
    found: set[Path] = set()
    for query in queries:
        try:
            found.update(Path(name) for (name,) in session.query_all(query))
        except ServerPermissionMissing:
            continue  # the first query's answer stands; includes are also followed on the host itself
    return tuple(sorted(found))


def _referenced_files(settings: Mapping[str, str], data_directory: Path) -> tuple[tuple[str, Path], ...]:
    wanted = [name for name in _REFERENCING_SETTINGS if not name.startswith("ssl_")]
    if settings.get("ssl") == "on":
        wanted = list(_REFERENCING_SETTINGS)
    named = ((name, settings.get(name, "")) for name in wanted)
    # krb_server_keyfile may carry the keytab type in front, and its default rarely exists.
    return tuple(
        (name, _absolute(value, data_directory))
        for name, value in named
        if value and not value.upper().startswith("FILE:")
    )


def _absolute(name: str, data_directory: Path) -> Path:
    return Path(os.path.normpath(data_directory / name))


def _archive_settings(settings: Mapping[str, str]) -> ArchiveSettings:
    return ArchiveSettings(
        mode=settings.get("archive_mode", "off"),
        command=settings.get("archive_command", ""),
        module=settings.get("archive_library", ""),
        timeout_s=int(settings.get("archive_timeout", "0")),
    )


def _observe_tablespaces(session: ServerSession) -> tuple[Tablespace, ...]:
    rows = session.query_all(
        "SELECT oid::bigint, spcname, pg_tablespace_location(oid) FROM pg_tablespace"
        " WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid"
    )
    return tuple(Tablespace(*row) for row in rows)


def _databases_sql(major: int, *, with_sizes: bool) -> str:
    """The catalog grew: providers came in 15, one locale column for all of them in 17."""
    if major >= 17:
        provider, locale = "datlocprovider", "datlocale"
    elif major >= 15:
        provider, locale = "datlocprovider", "daticulocale"
    else:
        provider, locale = "'c'", "NULL"
    versions = "datcollversion, pg_database_collation_actual_version(oid)" if major >= 15 else "NULL, NULL"
    size = (
        f"CASE WHEN datconnlimit <> {_INVALID_DATABASE}"
        " AND (has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))"
        " THEN pg_database_size(oid) END"
    )
    return (
        f"SELECT oid::bigint, datname, {size if with_sizes else 'NULL::bigint'},"
        " datallowconn, datistemplate, datconnlimit, pg_encoding_to_char(encoding), datcollate, datctype,"
        f" {provider}::text, {locale}, {versions} FROM pg_database ORDER BY datname"
    )


def _database(row: Row) -> Database:
    oid, name, size, allows, is_template, limit, encoding, collate, ctype, code, locale, *versions = row
    version, actual = versions
    return Database(
        oid=oid,
        name=name,
        size_bytes=size,
        allows_connections=allows,
        is_template=is_template,
        is_valid=limit != _INVALID_DATABASE,
        encoding=encoding,
        collate=collate,
        ctype=ctype,
        locale=Locale(provider_name(code), locale or collate, version, actual),
    )


def provider_name(code: str) -> str:
    """Return the name of a collation provider's one-letter code (pg_collation.h)."""
    return _PROVIDERS.get(code, code)


def _observe_standbys(session: ServerSession, denied: list[MissingPermission]) -> tuple[Standby, ...] | None:
    rows = session.query_all(
        "SELECT application_name, client_addr::text, state, sync_state, flush_lsn::text, replay_lsn::text"
        " FROM pg_stat_replication ORDER BY application_name, pid"
    )
    if any(state is None for _, _, state, *_ in rows):
        denied.append(MissingPermission("standbys and their lag", "GRANT pg_monitor TO the role"))
        return None
    return tuple(Standby(n, a, state, sync, _lsn(f), _lsn(r)) for n, a, state, sync, f, r in rows)


def _observe_slots(session: ServerSession) -> tuple[ReplicationSlot, ...]:
    rows = session.query_all(
        "SELECT slot_name, slot_type, active, restart_lsn::text, wal_status, database"
        " FROM pg_replication_slots WHERE NOT temporary ORDER BY slot_name"
    )
    return tuple(
        ReplicationSlot(name, kind, active, _lsn(restart), status, database)
        for name, kind, active, restart, status, database in rows
    )


def _lsn(text: Any) -> Lsn | None:
    return None if text is None else Lsn.parse(text)


def clock_offset_s(session: ServerSession, now: datetime) -> float:
    """Return how far the server's clock is ahead of ``now`` (read just before), in seconds."""
    (theirs,) = session.query_one("SELECT clock_timestamp()")
    return (theirs - now).total_seconds()  # type: ignore[no-any-return]
