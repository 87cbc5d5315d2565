"""What an audit knows of a server. Whatever a role may not see, or a version can't tell, is ``Unknown``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from seawall.model.fact import Fact, Unknown, known
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.server.owner import ServerOwner
from seawall.postgres.server_facts import ArchiverStatus, Database, DatabaseReport


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers, and as whom we asked. ``address`` is the server's end of a TCP connection, None for a socket."""

    server: str
    version_num: int
    version: str
    is_in_recovery: bool
    started_at: datetime
    observed_at: datetime
    address: str | None
    role: str
    is_superuser: bool
    reads_settings: bool
    reads_stats: bool

    @property
    def major(self) -> int:
        return self.version_num // 10000

    @property
    def grant(self) -> str:
        """The statement that lets the role see everything that an audit looks at."""
        return f"GRANT pg_monitor TO {self.role}"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings that the role sees, in their base units (``pg_settings``)."""

    values: Mapping[str, str]
    pending_restart: tuple[str, ...]
    role: str
    reads_all: bool

    def fact(self, name: str) -> Fact[str]:
        """Return a setting, or why it is not seen."""
        if name in self.values:
            return self.values[name]
        if self.reads_all:
            return Unknown(f"this server has no setting {name}")
        return Unknown(f"the role may not see {name}", f"GRANT pg_read_all_settings TO {self.role}")

    def text(self, name: str) -> str:
        """Return a setting. Raises FactUnknown."""
        return known(self.fact(name))

    def number(self, name: str) -> int:
        """Return a number in the setting's base unit. Raises FactUnknown."""
        return int(self.text(name))

    def is_on(self, name: str) -> bool:
        """Return a switch. Raises FactUnknown."""
        return self.text(name) == "on"

    def has(self, name: str) -> bool:
        return name in self.values


@dataclass(frozen=True, slots=True)
class WalState:
    """How far the server's WAL has got, and what the archiver says of it. ``ready`` counts the files that wait."""

    timeline: int
    position: Lsn
    segment_bytes: int
    archiver: Fact[ArchiverStatus]
    ready: Fact[int]
    bytes_per_s: Fact[float]

    @property
    def last_finished(self) -> SegmentName | None:
        """The newest segment that is complete; there is no segment 0 (BootStrapXLOG)."""
        number = self.position // self.segment_bytes - 1
        return SegmentName(self.timeline, number, self.segment_bytes) if number >= 1 else None


@dataclass(frozen=True, slots=True)
class SlotState:
    """One permanent replication slot. ``inactive_since`` and ``invalidation`` are of 17 and later."""

    name: str
    kind: str
    is_active: bool
    retained_bytes: int | None
    wal_status: str | None
    inactive_since: datetime | None
    invalidation: str | None
    database: str | None


@dataclass(frozen=True, slots=True)
class Receiver:
    """One row of pg_stat_replication: who takes WAL, how far behind in bytes and (while busy) in seconds."""

    application: str
    address: str | None
    state: str
    sync_state: str
    flush_lag_bytes: int | None
    replay_lag_bytes: int | None
    replay_lag_s: float | None

    @property
    def is_standby(self) -> bool:
        """A standby replays; pg_receivewal and Barman only keep (they report no replay position)."""
        return self.state == "streaming" and self.replay_lag_bytes is not None


@dataclass(frozen=True, slots=True)
class ReplayState:
    """How a standby is doing. ``sender`` is whom it streams from; None: it does not stream now."""

    sender: str | None
    received: Lsn | None
    replayed: Lsn | None
    pause_state: str
    last_commit_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenPrepared:
    """A transaction that was prepared and neither committed nor rolled back."""

    gid: str
    database: str
    owner: str
    prepared_at: datetime
    age_xids: int


@dataclass(frozen=True, slots=True)
class FreezeAge:
    """How old a database's oldest transaction and multixact are, in ids; the end of the world is 2**31."""

    database: str
    xids: int
    multixacts: int


@dataclass(frozen=True, slots=True)
class ChecksumFailures:
    """Pages of a database that failed their checksum since the statistics began."""

    database: str
    count: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConfigError:
    """A line of a configuration file that the server can't apply (pg_file_settings)."""

    file: str
    line: int | None
    setting: str
    error: str


@dataclass(frozen=True, slots=True)
class UnloggedTables:
    """Tables whose content is not in the WAL: empty after a crash, on standbys and in restored copies."""

    names: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DatabaseHealth:
    """What one database showed. ``report`` says whether it let us in, its extensions and collations."""

    name: str
    report: Fact[DatabaseReport]
    invalid_indexes: Fact[tuple[str, ...]]
    unlogged: Fact[UnloggedTables]


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: where, from what, of which type."""

    path: Path
    source: str
    kind: str


@dataclass(frozen=True, slots=True)
class HostState:
    """The machine of a server that runs on this one."""

    data_directory: Path
    wal_directory: Path
    mounts: tuple[Mount, ...]
    wal_free_bytes: int | None

    def mount_of(self, path: Path) -> Mount | None:
        """Return the file system that ``path`` is on, by the longest mount point above it."""
        above = [mount for mount in self.mounts if path.is_relative_to(mount.path)]
        return max(above, key=lambda mount: len(mount.path.parts), default=None)


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """Everything that an audit sees of one server."""

    identity: Identity
    owner: ServerOwner
    settings: Settings
    system_identifier: Fact[int]
    wal: Fact[WalState]
    slots: Fact[tuple[SlotState, ...]]
    receivers: Fact[tuple[Receiver, ...]]
    replay: Fact[ReplayState]
    prepared: Fact[tuple[OpenPrepared, ...]]
    freeze_ages: Fact[tuple[FreezeAge, ...]]
    checksum_failures: Fact[tuple[ChecksumFailures, ...]]
    config_errors: Fact[tuple[ConfigError, ...]]
    available_extensions: Fact[frozenset[str]]
    databases: Fact[tuple[Database, ...]]
    visits: Fact[tuple[DatabaseHealth, ...]]
    host: Fact[HostState]
