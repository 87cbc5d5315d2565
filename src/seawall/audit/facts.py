"""What the rules over a server and its plan read. Plain values; ``observe`` fills them in, tests write them down.

Every part may be unknown: a stranger's server has no plan, a plan's repository may not answer, a drill may never have
been held. Rules read parts through :func:`seawall.model.fact.known`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from seawall.model.fact import Fact, Unknown, known
from seawall.model.wal_name import SegmentName
from seawall.plan.diagnostics import Diagnostic
from seawall.plan.model import ClusterPlan, Plan
from seawall.postgres.health.facts import ServerHealth
from seawall.storage.protocol import ObjectLock

NO_PLAN = Unknown("there is no plan", "write one: seawall init URL, then: seawall audit --plan plan.yaml")

NO_LEDGER = Unknown("no record of drills is known for this server", "seawall drill restore")


@dataclass(frozen=True, slots=True)
class KnownBackup:
    """A complete backup in a repository."""

    id: str
    stopped_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """One repository as it answered, for one cluster. ``archived`` is the newest whole segment of the server's
    timeline; ``gaps`` are missing segments between the oldest backup and it."""

    backups: tuple[KnownBackup, ...]
    archived: Fact[SegmentName | None]
    gaps: Fact[tuple[str, ...]]
    lock: Fact[ObjectLock]


@dataclass(frozen=True, slots=True)
class LastDrill:
    """The newest rehearsal of a restore. ``rto_s`` and ``rpo_s`` are what it measured, None where it failed."""

    ended_at: datetime
    is_ok: bool
    rto_s: float | None
    rpo_s: float | None
    failure: str = ""
    checks_run: int = 0


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """One cluster: a server, and what the plan and its repositories say of it.

    ``name`` is the plan's, or the server as it is shown. ``restore_drill`` is None where it is known that there
    never was one.
    """

    name: str
    now: datetime
    primary: Fact[ServerHealth]
    plan: Fact[Plan] = NO_PLAN
    standbys: Mapping[str, Fact[ServerHealth]] = field(default_factory=dict)
    repositories: Mapping[str, Fact[RepositoryState]] = field(default_factory=dict)
    restore_drill: Fact[LastDrill | None] = NO_LEDGER

    @property
    def cluster_plan(self) -> ClusterPlan:
        """The cluster's part of the plan. Raises FactUnknown."""
        return known(self.plan).clusters[self.name]

    @property
    def has_plan(self) -> bool:
        return not isinstance(self.plan, Unknown)


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What holds for the service as a whole: people, objectives, traffic."""

    now: datetime
    plan: Fact[Plan]
    clusters: tuple[ClusterFacts, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    """What the plan's own check says of it: above all what is declared and not active."""
