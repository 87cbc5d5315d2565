"""Which repository, which backup, which way through the WAL: proven from listings, before anything is changed.

Repositories are compared, not just tried: one that missed an hour of WAL would answer "latest" with an hour
less. Several backups may serve a moment; they are given newest first, for moments that only the WAL itself can
place (a transaction, a named point).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from seawall.model.clock import Clock
from seawall.model.errors import SeawallError
from seawall.model.timeline import TimelineHistory
from seawall.repository.backups.catalog import Catalog
from seawall.repository.backups.record import BackupRecord
from seawall.repository.wal.archive import WalArchive
from seawall.restore.errors import NoBackup, TargetInFuture
from seawall.restore.planning.choose import choose_history, rank_backups
from seawall.restore.planning.moment import AtTime
from seawall.restore.planning.prove import ProvenPath, check_reach, prove_path
from seawall.restore.planning.request import OpenedRepository, RestoreRequest


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What will be done, proven possible."""

    source: OpenedRepository
    record: BackupRecord
    path: ProvenPath
    histories: dict[int, TimelineHistory]
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Repositories that could not serve the moment, and why."""


def plan_restore(
    request: RestoreRequest, repositories: Sequence[OpenedRepository], clock: Clock
) -> RestorePlan:
    """Choose repository, backup and path for the moment: where the WAL reaches farthest, else the first.

    Raises what the first repository raised if none can serve it; nothing was changed.
    """
    if isinstance(request.moment, AtTime) and request.moment.time > clock.now():
        raise TargetInFuture(
            f"{request.moment} lies in the future (it is now {clock.now():%Y-%m-%d %H:%M:%S} UTC)",
            hint="--latest restores everything that the archive holds",
        )
    plans: list[RestorePlan] = []
    passed_over: dict[str, str] = {}
    first_error: SeawallError | None = None
    for opened in repositories:
        try:
            plans.append(next(plans_from(request, opened)))
        except SeawallError as error:
            first_error = first_error or error
            passed_over[opened.name] = error.message
    if plans:
        farthest = max(
            plans, key=lambda plan: (plan.path.history.timeline, plan.path.end, plan.path.whole_end)
        )
        return replace(farthest, passed_over=passed_over)
    raise first_error or NoBackup("no repository was named", hint="--repository")


def plans_from(request: RestoreRequest, opened: OpenedRepository) -> Iterator[RestorePlan]:
    """Yield a plan for every backup of one repository from which the moment may be reached, newest first.

    Raises NoBackup, TimelineUnknown, TargetBeforeBackup; and for the newest backup WalMissing and kin: an older
    one is no remedy for a hole behind it.
    """
    catalog = Catalog(opened.repository, request.cluster)
    systems = catalog.system_identifiers()
    if not systems:
        raise NoBackup(
            f"{opened.repository.store.url} has nothing of cluster {request.cluster!r}",
            hint="check --cluster and the repository's URL: seawall repository list",
        )
    record = catalog.get(request.backup_id) if request.backup_id else None
    system = record.system_identifier if record else _newest_system(catalog, systems)
    backups = [record] if record else list(catalog.listing(system).backups)
    size = backups[0].wal_segment_bytes if backups else None
    archive = WalArchive(opened.repository, request.cluster, system, segment_bytes=size)
    histories = archive.histories()
    history = choose_history(histories, request.timeline)
    for chosen in rank_backups(backups, history, request.moment):
        path = prove_path(archive, chosen, history, histories)
        check_reach(path, request.moment, archive.url)
        yield RestorePlan(opened, chosen, path, histories)


def _newest_system(catalog: Catalog, systems: Sequence[int]) -> int:
    """Return the generation that was backed up last: after pg_upgrade there are two."""
    newest = {system: catalog.listing(system).backups for system in systems}
    return max(
        systems, key=lambda system: newest[system][-1].stopped_at.timestamp() if newest[system] else 0.0
    )
