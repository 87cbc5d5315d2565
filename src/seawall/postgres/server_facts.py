"""What is known of one server at one moment: plain values, filled by ``observe`` and ``databases``.

None means that the role may not see it; ``ServerFacts.denied`` then says which GRANT shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from seawall.model.lsn import Lsn


@dataclass(frozen=True, slots=True)
class Tablespace:
    """A tablespace outside the defaults. ``location`` is absolute, or ``pg_tblspc/OID`` (in place)."""

    oid: int
    name: str
    location: str


@dataclass(frozen=True, slots=True)
class Locale:
    """A locale that an object was made with. ``provider`` is ``libc``, ``icu`` or ``builtin``;
    ``version`` is what the provider called it then, ``actual_version`` what it says today."""

    provider: str
    name: str
    version: str | None = None
    actual_version: str | None = None

    @property
    def has_changed(self) -> bool:
        """Whether text indexes made under ``version`` may be wrong now."""
        return None not in (self.version, self.actual_version) and self.version != self.actual_version


@dataclass(frozen=True, slots=True)
class Database:
    """One row of pg_database. ``is_valid`` is false after an interrupted DROP DATABASE."""

    oid: int
    name: str
    size_bytes: int | None
    allows_connections: bool
    is_template: bool
    is_valid: bool
    encoding: str
    collate: str
    ctype: str
    locale: Locale


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """``command`` is the configured one even while archiving is off (SHOW says "(disabled)" then);
    where ``module`` (archive_library) is set (15 and later), it is used and ``command`` is not."""

    mode: str
    command: str
    module: str
    timeout_s: int


@dataclass(frozen=True, slots=True)
class ArchiverStatus:
    """pg_stat_archiver: what ``archive_command`` claimed, never a proof that WAL is anywhere."""

    archived_count: int
    last_archived_wal: str | None
    last_archived_at: datetime | None
    failed_count: int
    last_failed_wal: str | None
    last_failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standby:
    """One row of pg_stat_replication (a standby, pg_receivewal or a base backup)."""

    application_name: str
    client_address: str | None
    state: str
    sync_state: str
    flushed: Lsn | None
    replayed: Lsn | None


@dataclass(frozen=True, slots=True)
class ReplicationSlot:
    """One row of pg_replication_slots. Slots are not in a physical backup."""

    name: str
    kind: str
    is_active: bool
    restart: Lsn | None
    wal_status: str | None
    database: str | None


@dataclass(frozen=True, slots=True)
class MissingPermission:
    """Something that stayed unknown, and the statement that would show it."""

    what: str
    grant: str


@dataclass(frozen=True, slots=True)
class FileLocations:
    """Where the server says that its files are. ``referenced`` are files that settings name
    (certificates, keys): without them the server may not start elsewhere."""

    data_directory: Path
    config_file: Path
    hba_file: Path
    ident_file: Path
    settings_files: tuple[Path, ...] = ()
    referenced: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server as it answered at ``observed_at`` (its own clock)."""

    server: str
    version_num: int
    version: str
    system_identifier: int
    observed_at: datetime
    started_at: datetime
    is_in_recovery: bool
    timeline: int
    position: Lsn
    block_bytes: int
    relation_segment_bytes: int
    wal_block_bytes: int
    wal_segment_bytes: int
    has_checksums: bool
    files: FileLocations | None
    archive: ArchiveSettings
    archiver: ArchiverStatus
    tablespaces: tuple[Tablespace, ...]
    databases: tuple[Database, ...]
    standbys: tuple[Standby, ...] | None
    slots: tuple[ReplicationSlot, ...]
    settings: Mapping[str, str]
    pending_restart: tuple[str, ...]
    denied: tuple[MissingPermission, ...]

    @property
    def major(self) -> int:
        return self.version_num // 10000

    @property
    def size_bytes(self) -> int:
        """The size of all databases that the role may measure; WAL is not in it."""
        return sum(database.size_bytes or 0 for database in self.databases)

    def preload_libraries(self, setting: str = "shared_preload_libraries") -> tuple[str, ...]:
        """Return the libraries that a ``*_preload_libraries`` setting names."""
        listed = self.settings.get(setting, "").split(",")
        return tuple(name.strip().strip('"') for name in listed if name.strip())


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension installed in a database; its files must exist where the database is restored."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """What one database said when it was connected to. ``refusal`` is empty if it let us in."""

    name: str
    refusal: str = ""
    remedy: str = ""
    is_meant_to_refuse: bool = False
    extensions: tuple[Extension, ...] = ()
    locales: tuple[Locale, ...] = ()

    @property
    def answers(self) -> bool:
        return not self.refusal


@dataclass(frozen=True, slots=True)
class RestoreNeeds:
    """What a machine must have before a copy of the server can run there.

    ``settings`` must be at least these values during recovery ("Hot Standby", administrator's
    overview); ``extensions`` come with the databases that use them.
    """

    major: int
    settings: Mapping[str, int]
    shared_preload_libraries: tuple[str, ...]
    session_preload_libraries: tuple[str, ...]
    locales: tuple[Locale, ...]
    extensions: Mapping[Extension, tuple[str, ...]]
