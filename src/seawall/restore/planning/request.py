"""What a restore is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from seawall.model.lsn import Lsn
from seawall.repository.repository import Repository
from seawall.restore.planning.moment import Moment, TargetAction
from seawall.restore.planning.spec import RepositoryAddress

DEFAULT_SPOOL_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class OpenedRepository:
    """A repository to read from, and how a later process opens it again."""

    name: str
    repository: Repository
    address: RepositoryAddress


@dataclass(frozen=True, slots=True)
class Check:
    """A question whose answer proves the recovery: SQL that returns one true value in ``database``."""

    name: str
    database: str
    sql: str


@dataclass(frozen=True, slots=True)
class PrimaryClaim:
    """``--as primary``: who takes the cluster over, and how the new primary archives."""

    claimed_by: str
    state_directory: Path
    archive_command: str


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """Everything that was asked for; no defaults that a person should have decided."""

    cluster: str
    moment: Moment
    data_directory: Path
    seawall_command: str
    """How a shell starts this Seawall, quoted: part of ``restore_command``."""
    timeline: int | None = None
    backup_id: str | None = None
    tablespaces: Mapping[str, Path] = field(default_factory=dict)
    """New folders by the tablespaces' OIDs or old locations."""
    tablespaces_in: Path | None = None
    claim: PrimaryClaim | None = None
    """None: the result is a copy that never archives."""
    starts: bool = False
    action: TargetAction = TargetAction.PROMOTE
    pg_bin: Path | None = None
    jobs: int = 2
    moves_aside: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    deadline_s: float = 3600.0
    owner: tuple[int, int] | None = None
    login_user: Callable[[], str | None] = field(default=lambda: None)
    """The role to log in as for the checks (the plan's); None: the directory's owner."""
    spool_bytes: int = DEFAULT_SPOOL_BYTES
    """How much WAL may lie beside the directory at once; the rest is fetched as replay goes on."""
    makes_tablespace_folders: bool = True
    """False refuses WAL that creates a tablespace: its folder would lie outside the directory, as a drill must not."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Repositories that could not be opened, and why: what came back may be less than what exists."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's answer; ``detail`` is what it returned or why it could not be asked."""

    name: str
    is_ok: bool
    detail: str


@dataclass(slots=True)
class RestoreReport:
    """What came back. Fields are None while (or because) it is not known."""

    cluster: str
    repository: str
    backup_id: str
    data_directory: str
    moment: str
    is_primary: bool
    started: bool = False
    raw_bytes: int = 0
    timeline: int | None = None
    recovered_to_lsn: Lsn | None = None
    last_transaction_at: datetime | None = None
    archive_end_lsn: Lsn | None = None
    notes: list[str] = field(default_factory=list)
    databases: dict[str, str] = field(default_factory=dict)
    """``ok``, or why a database refuses connections."""
    checks: list[CheckResult] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each phase took: prove, copy, survey, configure, recover, check."""
    socket_directory: str = ""
    port: int = 0
    owner: str = "nobody"
    """Who starts and stops the server of the directory; Seawall starts what is nobody's."""
    start_command: str = ""
    """What starts it, where it was not started; "" where its owner lets nobody do that."""


OnPhase = Callable[[str, int, int | None], None]
"""Progress: phase, bytes done, bytes in all."""
