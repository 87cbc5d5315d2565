"""Take away what dead backups left: observe, then a pure plan that explains itself, then execute.

A backup without a commit record and without a live lease is dead, as far as anybody can know: its writer may
only be asleep. So collection first creates an ``aborted`` object *at the commit key*. One create wins there:
if the writer was faster, its backup exists and nothing is touched; if the mark was, the writer learns at
commit that its backup is gone. Only behind the mark is anything deleted, packs and manifest before leases.

Committed backups and live leases are never touched, and a commit that can't be read counts as committed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from seawall.model.errors import IntegrityError
from seawall.repository import layout
from seawall.repository.backups.catalog import Catalog, cluster_names, read_commit
from seawall.repository.backups.record import AbortedBackup, BackupRecord, encode_commit
from seawall.repository.format.frames import ObjectKind
from seawall.repository.leases import LeaseEntry, live_backups, observe_leases, observe_store_time
from seawall.repository.repository import Repository
from seawall.storage.errors import ObjectExists, ObjectMissing

_REASON = "no live lease: its writer was taken for dead and what it wrote was collected"


class CommitState(enum.StrEnum):
    """What the commit key of a backup says."""

    NONE = "uncommitted"
    COMMITTED = "committed"
    ABORTED = "aborted"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class BackupTrace:
    """What the store holds of one backup. Objects are only counted where it is not committed."""

    cluster: str
    system_identifier: int
    backup_id: str
    state: CommitState
    object_count: int = 0
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Traces:
    """All that collection decides on. ``store_now`` is the store's clock."""

    backups: tuple[BackupTrace, ...]
    leases: tuple[LeaseEntry, ...]
    store_now: datetime


@dataclass(frozen=True, slots=True)
class DeadBackup:
    """One backup whose remains are to go, and why that is safe."""

    trace: BackupTrace
    reason: str
    lease_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """What :func:`execute_collection` will do. ``spared`` says why other unfinished backups stay."""

    dead: tuple[DeadBackup, ...]
    expired_leases: tuple[LeaseEntry, ...]
    spared: tuple[tuple[BackupTrace, str], ...]

    @property
    def stored_bytes(self) -> int:
        return sum(item.trace.stored_bytes for item in self.dead)


@dataclass(slots=True)
class CollectionResult:
    """What was done. ``spared`` are backups that came back to life or were committed in the meantime."""

    collected: list[str] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)
    deleted_objects: int = 0
    deleted_bytes: int = 0


def observe_traces(repository: Repository, clusters: Iterable[str] | None = None) -> Traces:
    """Look at every unfinished backup and every lease.

    The order matters: a writer takes its lease, then writes packs, then commits, then ends its lease. Looked
    at in the order packs, leases, commits, a backup that is alive shows at least one of the last two.
    """
    names = list(clusters) if clusters is not None else cluster_names(repository)
    found = [
        (cluster, system, backup_id)
        for cluster in names
        for system in Catalog(repository, cluster).system_identifiers()
        for backup_id in repository.store.children(layout.backups_prefix(cluster, system))
        if layout.is_backup_id(backup_id)
    ]
    leases = tuple(entry for cluster in names for entry in observe_leases(repository, cluster))
    backups = tuple(_observe_backup(repository, *place) for place in found)
    return Traces(backups, leases, observe_store_time(repository.store))


def plan_collection(traces: Traces) -> CollectionPlan:
    """Decide what is dead. Pure; explains each backup that is not committed."""
    alive = live_backups(traces.leases, traces.store_now)
    expired = [entry for entry in traces.leases if not entry.is_live(traces.store_now)]
    dead: list[DeadBackup] = []
    spared: list[tuple[BackupTrace, str]] = []
    for trace in traces.backups:
        if trace.state is CommitState.COMMITTED:
            continue
        if trace.state is CommitState.UNREADABLE:
            spared.append((trace, "its commit record can't be read, so it may be a complete backup"))
        elif not trace.object_count:
            continue  # nothing to take; a folder store also lists empty folders
        elif (trace.cluster, trace.backup_id) in alive:
            spared.append((trace, "its writer's lease is live"))
        else:
            dead.append(DeadBackup(trace, _reason(trace), tuple(_keys_of(trace, expired))))
    theirs = {key for item in dead for key in item.lease_keys}
    others = tuple(entry for entry in expired if entry.key not in theirs)
    return CollectionPlan(tuple(dead), others, tuple(spared))


def execute_collection(repository: Repository, plan: CollectionPlan) -> CollectionResult:
    """Do what the plan says, looking again at each backup's lease and commit key first.

    Crash: marks are there and some objects still are; the next run deletes the rest.
    """
    result = CollectionResult()
    for item in plan.dead:
        if _claim_death(repository, item.trace):
            _delete_remains(repository, item, result)
            result.collected.append(item.trace.backup_id)
        else:
            result.spared.append(item.trace.backup_id)
    for entry in plan.expired_leases:
        _delete_expired(repository, entry)
    return result


def _claim_death(repository: Repository, trace: BackupTrace) -> bool:
    """Make sure that the backup can never be committed. Return False if it is, or if its writer lives."""
    if trace.state is CommitState.ABORTED:
        return True
    leases = [
        entry for entry in observe_leases(repository, trace.cluster) if entry.backup_id == trace.backup_id
    ]
    if live_backups(leases, observe_store_time(repository.store)):
        return False
    key = layout.commit_key(trace.cluster, trace.system_identifier, trace.backup_id)
    mark = encode_commit(AbortedBackup(repository.clock.now(), _REASON))
    try:
        repository.write_object(key, ObjectKind.COMMIT, mark)
    except ObjectExists:
        return _commit_state(repository, trace.cluster, trace.system_identifier, trace.backup_id) is (
            CommitState.ABORTED
        )
    return True


def _delete_remains(repository: Repository, item: DeadBackup, result: CollectionResult) -> None:
    trace = item.trace
    prefix = layout.backup_prefix(trace.cluster, trace.system_identifier, trace.backup_id)
    for info in repository.store.scan(prefix):
        repository.store.delete(info.key)
        result.deleted_objects += 1
        result.deleted_bytes += info.size_bytes
    for key in item.lease_keys:
        repository.store.delete(key)


def _delete_expired(repository: Repository, entry: LeaseEntry) -> None:
    info = repository.store.stat(entry.key)
    if info is not None and info.modified == entry.stored_at:  # else the number went to a new holder
        repository.store.delete(entry.key)


def _observe_backup(
    repository: Repository, cluster: str, system_identifier: int, backup_id: str
) -> BackupTrace:
    state = _commit_state(repository, cluster, system_identifier, backup_id)
    if state in (CommitState.COMMITTED, CommitState.UNREADABLE):
        return BackupTrace(cluster, system_identifier, backup_id, state)
    count = stored = 0
    for info in repository.store.scan(layout.backup_prefix(cluster, system_identifier, backup_id)):
        count += 1
        stored += info.size_bytes
    return BackupTrace(cluster, system_identifier, backup_id, state, count, stored)


def _commit_state(
    repository: Repository, cluster: str, system_identifier: int, backup_id: str
) -> CommitState:
    try:
        outcome = read_commit(repository, cluster, system_identifier, backup_id)
    except ObjectMissing:
        return CommitState.NONE
    except IntegrityError:
        return CommitState.UNREADABLE
    return CommitState.COMMITTED if isinstance(outcome, BackupRecord) else CommitState.ABORTED


def _reason(trace: BackupTrace) -> str:
    if trace.state is CommitState.ABORTED:
        return f"it was aborted; {trace.object_count} objects are left"
    return f"it was never committed and its writer holds no live lease; {trace.object_count} objects"


def _keys_of(trace: BackupTrace, expired: Sequence[LeaseEntry]) -> Iterator[str]:
    for entry in expired:
        if (entry.cluster, entry.backup_id) == (trace.cluster, trace.backup_id):
            yield entry.key
