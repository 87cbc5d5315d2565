"""Gather the facts: from a stranger's server alone, or from all that a plan names.

Nothing that fails to answer keeps the rest from being looked at: it becomes an unknown fact, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from seawall.audit.facts import (
    NO_LEDGER,
    NO_PLAN,
    ClusterFacts,
    KnownBackup,
    LastDrill,
    RepositoryState,
    ServiceFacts,
)
from seawall.evidence.ledger import Ledger
from seawall.evidence.model import DrillEvidence, DrillOutcome
from seawall.model.clock import Clock
from seawall.model.errors import SeawallError
from seawall.model.fact import Fact, Unknown
from seawall.model.wal_name import SegmentName
from seawall.plan.diagnostics import Diagnostic
from seawall.plan.model import Plan
from seawall.postgres.health.facts import ServerHealth
from seawall.postgres.health.observe import observe_health
from seawall.repository.backups.catalog import Catalog
from seawall.repository.repository import Repository
from seawall.repository.verify.gaps import find_gaps
from seawall.repository.wal.archive import WalArchive

_LEDGER_LOOK_BACK = 500
"""How many entries are read for the last drill of a cluster; older ones are too old in any case."""


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """What to look at for one cluster of a plan, opened only when it is looked at.

    ``ledger`` raises where there is none; None where drills are not looked for.
    """

    name: str
    primary_dsn: str
    standby_dsns: Mapping[str, str] = field(default_factory=dict)
    repositories: Mapping[str, Callable[[], Repository]] = field(default_factory=dict)
    ledger: Callable[[], Ledger] | None = None


def observe_stranger(dsn: str, *, clock: Clock, deadline_s: float) -> ServiceFacts:
    """Return what a server that no plan knows shows of itself.

    Raises: as :func:`seawall.postgres.session.connect`.
    """
    health = observe_health(dsn, clock=clock, deadline_s=deadline_s)
    cluster = ClusterFacts(name=health.identity.server, now=clock.now(), primary=health)
    return ServiceFacts(cluster.now, NO_PLAN, (cluster,))


def observe_plan(
    plan: Plan,
    diagnostics: Sequence[Diagnostic],
    targets: Sequence[ClusterTarget],
    *,
    clock: Clock,
    deadline_s: float,
) -> ServiceFacts:
    """Return what can be seen of everything that a plan names. ``deadline_s`` bounds each server's questions."""
    clusters = tuple(_observe_cluster(plan, target, clock, deadline_s) for target in targets)
    return ServiceFacts(clock.now(), plan, clusters, tuple(diagnostics))


def _observe_cluster(plan: Plan, target: ClusterTarget, clock: Clock, deadline_s: float) -> ClusterFacts:
    primary = _observe_server(target.primary_dsn, clock, deadline_s)
    return ClusterFacts(
        name=target.name,
        now=clock.now(),
        primary=primary,
        plan=plan,
        standbys={name: _observe_server(dsn, clock, deadline_s) for name, dsn in target.standby_dsns.items()},
        repositories={
            name: _or_unknown(lambda opener=opener: observe_repository(opener(), target.name, primary))  # type: ignore[misc]
            for name, opener in target.repositories.items()
        },
        restore_drill=_observe_drill(target),
    )


def _observe_server(dsn: str, clock: Clock, deadline_s: float) -> Fact[ServerHealth]:
    try:
        return observe_health(dsn, clock=clock, deadline_s=deadline_s)
    except SeawallError as error:
        return Unknown(error.message, error.hint)


def _or_unknown(look: Callable[[], RepositoryState]) -> Fact[RepositoryState]:
    try:
        return look()
    except SeawallError as error:
        return Unknown(error.message, error.hint)


def observe_repository(repository: Repository, cluster: str, server: Fact[ServerHealth]) -> RepositoryState:
    """Return what a repository holds of a cluster: of the running server's system, else of the newest there is.

    Raises: what reading a repository raises.
    """
    catalog = Catalog(repository, cluster)
    identifier = _system_identifier(catalog, server)
    records = catalog.listing(identifier).backups if identifier is not None else ()
    return RepositoryState(
        backups=tuple(KnownBackup(item.id, item.stopped_at, item.raw_bytes) for item in records),
        archived=_archived(repository, cluster, server),
        gaps=_gaps(repository, cluster),
        lock=repository.store.object_lock(),
    )


def _system_identifier(catalog: Catalog, server: Fact[ServerHealth]) -> int | None:
    if not isinstance(server, Unknown) and not isinstance(server.system_identifier, Unknown):
        return server.system_identifier
    systems = catalog.system_identifiers()
    return systems[-1] if systems else None


def _archived(repository: Repository, cluster: str, server: Fact[ServerHealth]) -> Fact[SegmentName | None]:
    """Return the newest archived segment of the server's timeline."""
    if isinstance(server, Unknown):
        return server
    if isinstance(server.wal, Unknown):
        return server.wal
    if isinstance(server.system_identifier, Unknown):
        return server.system_identifier
    size = server.wal.segment_bytes
    archive = WalArchive(repository, cluster, server.system_identifier, segment_bytes=size)
    try:
        ranges = archive.segments(server.wal.timeline)
    except SeawallError as error:
        return Unknown(error.message, error.hint)
    last = max((item.last for item in ranges), default=None)
    return None if last is None else SegmentName(server.wal.timeline, last, size)


def _gaps(repository: Repository, cluster: str) -> Fact[tuple[str, ...]]:
    try:
        return tuple(find_gaps(repository, cluster))
    except SeawallError as error:
        return Unknown(error.message, error.hint)


def _observe_drill(target: ClusterTarget) -> Fact[LastDrill | None]:
    if target.ledger is None:
        return NO_LEDGER
    try:
        return last_drill(target.ledger(), target.name)
    except SeawallError as error:
        return Unknown(f"the ledger of drills can't be read: {error.message}", error.hint)


def last_drill(ledger: Ledger, cluster: str) -> LastDrill | None:
    """Return the newest drill of a cluster that the ledger tells of, None if there is none.

    Signatures are not proven here: `seawall evidence verify` does. Raises LedgerDamaged and what the store raises.
    """
    head = ledger.head()
    newest = head.number if head is not None else 0
    for number in range(newest, max(0, newest - _LEDGER_LOOK_BACK), -1):
        statement = ledger.read(number).statement
        if isinstance(statement, DrillEvidence) and statement.source.cluster == cluster:
            return _as_last_drill(statement)
    return None


def _as_last_drill(drill: DrillEvidence) -> LastDrill:
    reached = drill.rto.reached_ms
    technical_ms = None if reached is None else reached - (drill.rto.detection_ms or 0)
    lost_ms = drill.rpo.reached_ms
    failures = [
        f"{item.name}: {item.detail or item.outcome}" for item in drill.assertions if item.outcome == "failed"
    ]
    return LastDrill(
        ended_at=drill.ended_at,
        is_ok=drill.outcome is DrillOutcome.PASSED,
        rto_s=None if technical_ms is None else technical_ms / 1000,
        rpo_s=None if lost_ms is None else lost_ms / 1000,
        failure="; ".join(failures[:3])
        or ("" if drill.outcome is DrillOutcome.PASSED else str(drill.outcome)),
        checks_run=len(drill.assertions),
    )
