"""The plan as values: what a person declared, checked and with every default filled in.

Immutable and free of places and of YAML. Engines never take these classes; the composition root turns
them into the engines' own policies. Fields marked *declared* have no machinery behind them yet: see
:mod:`seawall.plan.definition.fields`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from seawall.plan.secrets import SecretReference

ESCROW: Literal["escrow"] = "escrow"
"""A key that is named in the repository but kept where this plan can't reach it: a safe, a notary."""

RepositoryKey = SecretReference | Literal["escrow"]


class Ack(enum.Enum):
    """What a repository's copy of a WAL segment means to ``wal push``."""

    REQUIRED = "required"
    """The segment counts as archived only once it is durable here."""
    ANY = "any"
    """Durable in at least one of the repositories with this value."""
    NONE = "none"
    """Fills up later; never holds PostgreSQL's archiving back."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """What the service promises. Detection is part of the recovery time."""

    rto_s: float
    rpo_s: float
    detection_s: float


@dataclass(frozen=True, slots=True)
class Host:
    """A machine; ``ssh`` is None for the one that Seawall runs on."""

    ssh: str | None


@dataclass(frozen=True, slots=True)
class Site:
    """A failure domain: what is lost together. ``recover_on`` and ``drill_on`` name hosts of it."""

    hosts: Mapping[str, Host]
    recover_on: str | None
    drill_on: str | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """An object store's account; without it the store's client finds one as it always does."""

    key_id: SecretReference
    secret: SecretReference
    token: SecretReference | None


@dataclass(frozen=True, slots=True)
class Retention:
    """What to keep at least: a number of fulls, a window of time, or both. Declared."""

    full: int | None
    window_s: float | None


@dataclass(frozen=True, slots=True)
class RepositoryPlan:
    """One repository: where it is, what opens it, and what its copy is worth to the archive."""

    site: str
    host: str | None
    url: str
    region: str | None
    endpoint: str | None
    credentials: Credentials | None
    coordination: str | None
    keys: tuple[RepositoryKey, ...]
    is_encrypted: bool
    retention: Retention | None
    lock_s: float | None
    ack: Ack | None
    """As declared; None leaves it to :meth:`Plan.acknowledgements`."""
    throttle_bytes_per_s: int | None

    @property
    def key_references(self) -> tuple[SecretReference, ...]:
        """The keys that can be resolved from here, in the plan's order."""
        return tuple(key for key in self.keys if isinstance(key, SecretReference))

    @property
    def has_key_elsewhere(self) -> bool:
        """Whether it can be read when the primary's machines are gone: by a key in escrow, one that a command
        fetches, or none."""
        return not self.is_encrypted or any(key == ESCROW or key.scheme == "command" for key in self.keys)


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """One PostgreSQL server. ``config`` are folders of configuration outside the data directory."""

    host: str
    dsn: str
    data: Path
    config: tuple[Path, ...]
    pg_bin: Path | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Cron expressions in the plan's time zone. Declared."""

    full: str | None
    diff: str | None
    incr: str | None
    dump: str | None


@dataclass(frozen=True, slots=True)
class WalPlan:
    """How WAL leaves the host. ``stream_s`` is declared: only ``archive_timeout_s`` counts for the RPO."""

    stream_s: float | None
    archive_timeout_s: float | None
    compression: int


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """How backups are taken. ``jobs`` None means one for each core."""

    jobs: int | None
    compression: int
    throttle_bytes_per_s: int | None
    checksums: bool


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """A PostgreSQL server with all its databases, and the repositories that receive it."""

    primary: ServerPlan
    standbys: Mapping[str, ServerPlan]
    repositories: tuple[str, ...]
    schedule: Schedule
    wal: WalPlan
    backup: BackupPlan


@dataclass(frozen=True, slots=True)
class DnsTraffic:
    """The name that clients resolve, and who answers for it. Declared."""

    name: str
    ttl_s: float
    servers: tuple[str, ...]
    tsig: SecretReference | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """How clients are moved. Declared."""

    dns: DnsTraffic | None


class CheckWhen(enum.Enum):
    """On which occasion a check is asked."""

    ALWAYS = "always"
    RECOVERY = "recovery"
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """A question whose answer proves a recovery: SQL that must return true, or a page that must answer."""

    name: str
    cluster: str | None
    database: str | None
    sql: str | None
    http: str | None
    expect: int
    when: CheckWhen


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """A rehearsal on a timetable, or a reminder to hold one. Declared."""

    schedule: str | None
    remind_s: float | None


@dataclass(frozen=True, slots=True)
class Drills:
    """The rehearsals. Declared."""

    restore: DrillPlan | None
    failover: DrillPlan | None


@dataclass(frozen=True, slots=True)
class Person:
    """Who may approve, and how to reach them. ``ssh_key`` is a public key's file."""

    ssh_key: SecretReference | None
    contact: str | None


@dataclass(frozen=True, slots=True)
class Approval:
    """How many of whom must agree before an action, and how long they are waited for. Declared."""

    people: tuple[str, ...]
    required: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Approvals:
    """The actions that need people's consent. Declared."""

    failover: Approval | None
    switchover: Approval | None
    failback: Approval | None
    recover: Approval | None


@dataclass(frozen=True, slots=True)
class Waiver:
    """A finding of ``seawall audit`` that is accepted: why, and through which day. ``subject`` None: all of the
    rule's findings."""

    rule: str
    subject: str | None
    reason: str
    until: date


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What ``seawall audit`` has to know of people's decisions."""

    waive: tuple[Waiver, ...]


@dataclass(frozen=True, slots=True)
class PlanContent:
    """What the file says, before it is known which file that was."""

    version: int
    service: str
    timezone: str
    state: Path
    objectives: Objectives
    sites: Mapping[str, Site]
    repositories: Mapping[str, RepositoryPlan]
    clusters: Mapping[str, ClusterPlan]
    traffic: Traffic
    checks: tuple[CheckPlan, ...]
    drills: Drills
    people: Mapping[str, Person]
    approvals: Approvals
    audit: AuditPlan


@dataclass(frozen=True, slots=True)
class Plan(PlanContent):
    """A valid plan, with its file and that file's text (which every backup carries along)."""

    path: Path
    text: str

    def repositories_of(self, cluster: str) -> dict[str, RepositoryPlan]:
        """Return the repositories that receive ``cluster``, in the plan's order."""
        return {name: self.repositories[name] for name in self.clusters[cluster].repositories}

    def is_off_host(self, cluster: str, repository: str) -> bool:
        """Say whether the repository survives the loss of the cluster's host."""
        return self.repositories[repository].host != self.clusters[cluster].primary.host

    def acknowledgements(self, cluster: str) -> dict[str, Ack]:
        """Return what each of the cluster's repositories means to ``wal push``.

        Where none is declared, one is required: the first off the host, in another site than the primary's if
        there is one. Requiring more would let any one store's outage fill the primary's disk; requiring one
        on the host would call WAL safe that dies with it.
        """
        repositories = self.repositories_of(cluster)
        chosen = {name: repository.ack or Ack.NONE for name, repository in repositories.items()}
        if all(ack is Ack.NONE for ack in chosen.values()):
            unspoken = [name for name, repository in repositories.items() if repository.ack is None]
            if unspoken:
                chosen[min(unspoken, key=lambda name: self._distance_rank(cluster, name))] = Ack.REQUIRED
        return chosen

    def _distance_rank(self, cluster: str, repository: str) -> int:
        home = self.site_of_host(self.clusters[cluster].primary.host)
        if not self.is_off_host(cluster, repository):
            return 2
        return 1 if self.repositories[repository].site == home else 0

    def site_of_host(self, host: str) -> str | None:
        """Return the site that a host belongs to."""
        return next((name for name, site in self.sites.items() if host in site.hosts), None)
