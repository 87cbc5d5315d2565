"""Gather what a status is decided from. Repositories are looked at before the server's position: what was written
meanwhile then counts as lost, and never as safe. Whatever does not answer becomes unknown, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from seawall.evidence.errors import LedgerMissing
from seawall.evidence.keys import PublicKey
from seawall.evidence.ledger import Ledger
from seawall.evidence.verify import verify_ledger
from seawall.model.clock import Clock
from seawall.model.errors import SeawallError
from seawall.model.fact import Fact, Unknown
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.plan.diagnostics import Diagnostic, Severity
from seawall.plan.model import Plan, RepositoryPlan
from seawall.postgres.health.inquiry import Inquiry, make_read_only
from seawall.postgres.observe import observe_databases, observe_position
from seawall.postgres.session import ServerSession, connect
from seawall.reporting.history import Drill, History, read_history
from seawall.reporting.sources import planned_sources
from seawall.reporting.status.facts import ClusterFacts, LiveServer, Reach, Refuge, SiteFacts
from seawall.repository.backups.catalog import Catalog
from seawall.repository.key_ring import list_slots
from seawall.repository.repository import Repository
from seawall.repository.wal.archive import WalArchive
from seawall.restore.planning.choose import choose_history, rank_backups
from seawall.restore.planning.moment import Latest
from seawall.restore.planning.prove import prove_path

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Openers:
    """How what a plan names is reached; each raises what opening raises."""

    repository: Callable[[str], Repository]
    ledger: Callable[[], Ledger]


def observe_sites(
    plan: Plan,
    diagnostics: Sequence[Diagnostic],
    openers: Openers,
    trusted: Collection[PublicKey],
    *,
    clock: Clock,
    deadline_s: float,
) -> tuple[SiteFacts, ...]:
    """Return the facts of every site that holds a primary. ``deadline_s`` bounds each server's questions."""
    history = _or_unknown(lambda: _history(openers.ledger(), trusted))
    declared = tuple(_subject(item) for item in diagnostics if item.severity is Severity.DECLARED)
    homes = {name: plan.site_of_host(cluster.primary.host) for name, cluster in plan.clusters.items()}
    sites: list[SiteFacts] = []
    for site in plan.sites:
        clusters = tuple(
            _cluster(plan, name, site, openers, history, Inquiry(clock, deadline_s))
            for name, home in homes.items()
            if home == site
        )
        if clusters:
            elsewhere = any(other.hosts for name, other in plan.sites.items() if name != site)
            sites.append(SiteFacts(site, clock.now(), plan.objectives, clusters, elsewhere, declared))
    return tuple(sites)


def _subject(diagnostic: Diagnostic) -> str:
    """Return the plan's key that a diagnostic about a declared section begins with."""
    return diagnostic.message.split()[0].rstrip(":,")


def _cluster(
    plan: Plan, name: str, site: str, openers: Openers, history: Fact[History], inquiry: Inquiry
) -> ClusterFacts:
    dsn = plan.clusters[name].primary.dsn
    system = _or_unknown(lambda: _ask(dsn, inquiry, _system_identifier))
    refuges = tuple(
        _refuge(repository, source.location, plan.repositories[repository], openers, name, system)
        for source, repository in planned_sources(plan).items()
        if source.cluster == name and plan.repositories[repository].site != site
    )
    return ClusterFacts(
        name=name,
        server=observe_server(dsn, inquiry),
        refuges=refuges,
        drills=history if isinstance(history, Unknown) else _drills_of(history, name),
        at_the_site=tuple(key for key, item in plan.repositories_of(name).items() if item.site == site),
    )


def observe_server(dsn: str, inquiry: Inquiry) -> Fact[LiveServer]:
    """Return how far a primary got, or why that is unknown: it doesn't answer, or is a standby."""
    return _or_unknown(lambda: _ask(dsn, inquiry, lambda session: _live(session, inquiry)))


def _refuge(
    name: str, location: str, settings: RepositoryPlan, openers: Openers, cluster: str, system: Fact[int]
) -> Refuge:
    repository = _or_unknown(lambda: openers.repository(name))
    reach: Fact[Reach | None]
    doubt = ""
    if isinstance(repository, Unknown):
        reach = repository
    else:
        opened = repository
        reach = _or_unknown(lambda: observe_reach(opened, cluster, system))
        doubt = _key_doubt(name, settings, opened)
    return Refuge(
        name=name,
        location=location,
        has_key_elsewhere=settings.has_key_elsewhere,
        reach=reach,
        key_doubt=doubt,
    )


def _key_doubt(name: str, settings: RepositoryPlan, repository: Repository) -> str:
    """Say so where the plan relies on escrow alone, and the repository has no more slots than the plan has keys."""
    if not settings.is_encrypted or any(key.scheme == "command" for key in settings.key_references):
        return ""
    slots = _or_unknown(lambda: list_slots(repository).slots)
    if isinstance(slots, Unknown):
        return f"the key slots of {name} can't be seen: {slots.reason}"
    if len(slots) > len(settings.key_references):
        return ""
    return (
        f"the plan calls a key of {name} kept in escrow, and {name} has no slot for one; unless "
        "`seawall key export` wrote an escrow document, its data can't be read"
    )


def observe_reach(repository: Repository, cluster: str, system: Fact[int]) -> Reach | None:
    """Return what a restore of the latest moment is proven to bring back; None where there is no backup of the
    server's system (or, if that is unknown, of any).

    Raises: what reading a repository raises; WalMissing where not even the newest backup is whole.
    """
    catalog = Catalog(repository, cluster)
    systems = catalog.system_identifiers() if isinstance(system, Unknown) else [system]
    listings = [(each, catalog.listing(each).backups) for each in systems]
    found = [(each, backups) for each, backups in listings if backups]
    if not found:
        return None
    chosen, backups = max(found, key=lambda item: item[1][-1].stopped_at)
    archive = WalArchive(repository, cluster, chosen, segment_bytes=backups[0].wal_segment_bytes)
    histories = archive.histories()
    history = choose_history(histories, None)
    record = rank_backups(backups, history, Latest())[0]
    path = prove_path(archive, record, history, histories)
    end = path.whole_end
    return Reach(
        backup=record.id,
        backup_at=record.stopped_at,
        raw_bytes=record.raw_bytes,
        timeline=history.timeline,
        end=end,
        last_segment=str(SegmentName.ending_at(history.timeline, end, path.segment_bytes)),
        hole=str(path.hole) if path.hole is not None else None,
    )


def _history(ledger: Ledger, trusted: Collection[PublicKey]) -> Fact[History]:
    try:
        report = verify_ledger(ledger.place, trusted=trusted)
    except LedgerMissing:
        return History(())
    if report.findings:
        return Unknown(
            f"it is not as it was written: {report.findings[0].message}", "seawall evidence verify"
        )
    return read_history(report)


def _drills_of(history: History, cluster: str) -> tuple[Drill, ...]:
    return tuple(drill for drill in history.drills if drill.source.cluster == cluster)


def _ask(dsn: str, inquiry: Inquiry, question: Callable[[ServerSession], Fact[T]]) -> Fact[T]:
    limit_s = min(10.0, max(2.0, inquiry.left_s))
    with connect(dsn, connect_timeout_s=limit_s, application_name="seawall status") as session:
        make_read_only(session)
        return question(session)


def _system_identifier(session: ServerSession) -> int:
    (found,) = session.query_one("SELECT system_identifier FROM pg_control_system()")
    return int(found) % (1 << 64)


def _live(session: ServerSession, inquiry: Inquiry) -> Fact[LiveServer]:
    """Ask for sizes first, which may take long, and for the position and the time last."""
    (is_standby,) = session.query_one("SELECT pg_is_in_recovery()")
    if is_standby:
        return Unknown("the plan's primary is a standby", "name the primary's dsn in the plan")
    size = inquiry.ask("the databases' sizes", lambda limit_s: _size(session, limit_s))
    written = inquiry.ask("pg_wal", lambda limit_s: _written_at(session, limit_s))
    settled = _settled_at(session)
    timeline, position = observe_position(session)
    (now,) = session.query_one("SELECT clock_timestamp()")
    return LiveServer(timeline, position, now, settled, written, size)


def _size(session: ServerSession, limit_s: float) -> int:
    databases = observe_databases(session, deadline_s=limit_s)
    return sum(item.size_bytes or 0 for item in databases)


def _written_at(session: ServerSession, limit_s: float) -> dict[str, datetime]:
    rows = session.query_all(
        "SELECT name, modification FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'", deadline_s=limit_s
    )
    return dict(rows)


def _settled_at(session: ServerSession) -> Lsn | None:
    """Return the last checkpoint's redo position if no transaction ended since.

    So it is if none ran when the checkpoint began (its oldest active one is its next one; none is recorded by a
    shutdown checkpoint) and none ended that was begun later (xlog.c, CreateCheckPoint; procarray.c, xmax is the
    latest completed one and 1). What an idle server then writes are snapshots of running transactions.
    """
    redo, next_xid, oldest_active, xmax = session.query_one(
        "SELECT redo_lsn::text, next_xid, oldest_active_xid::text::bigint,"
        " pg_snapshot_xmax(pg_current_snapshot())::text::numeric FROM pg_control_checkpoint()"
    )
    epoch, xid = (int(part) for part in next_xid.split(":"))
    ran_none = oldest_active in (0, xid)
    return Lsn.parse(redo) if ran_none and int(xmax) <= (epoch << 32) + xid else None


def _or_unknown(look: Callable[[], Fact[T]]) -> Fact[T]:
    try:
        return look()
    except SeawallError as error:
        return Unknown(error.message, error.hint)
