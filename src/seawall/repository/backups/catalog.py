"""Which backups exist: read from the commit objects, which are the only truth about that.

An object that can't be read is reported beside the others, so that one flipped bit never hides a repository
full of good backups.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from seawall.model.errors import IntegrityError
from seawall.repository.backups.record import (
    AbortedBackup,
    BackupRecord,
    CorruptFile,
    ManifestRef,
    TablespaceRecord,
    decode_commit,
)
from seawall.repository.errors import BackupMissing, FrameDamaged, NameInvalid
from seawall.repository.format.frames import ObjectKind
from seawall.repository.layout import (
    CLUSTERS_PREFIX,
    cluster_prefix,
    commit_key,
    commits_prefix,
    is_backup_id,
)
from seawall.repository.repository import Repository
from seawall.storage.errors import ObjectMissing

__all__ = [
    "AbortedBackup",
    "BackupRecord",
    "Catalog",
    "CatalogListing",
    "CorruptFile",
    "ManifestRef",
    "TablespaceRecord",
    "UnreadableCommit",
    "cluster_names",
    "read_commit",
]

_READERS = 8


@dataclass(frozen=True, slots=True)
class UnreadableCommit:
    """A commit object that is damaged: its backup may be whole, but can't be offered."""

    backup_id: str
    error: IntegrityError


@dataclass(frozen=True, slots=True)
class CatalogListing:
    """All that the commit objects of one system identifier say. ``backups`` is oldest first."""

    backups: tuple[BackupRecord, ...]
    aborted: tuple[str, ...]
    unreadable: tuple[UnreadableCommit, ...]


def cluster_names(repository: Repository) -> list[str]:
    """Return the clusters that ever wrote into the repository."""
    return repository.store.children(CLUSTERS_PREFIX)


def read_commit(
    repository: Repository, cluster: str, system_identifier: int, backup_id: str
) -> BackupRecord | AbortedBackup:
    """Return what the commit object of one backup says.

    Raises:
        ObjectMissing: it is neither complete nor aborted.
        FrameDamaged: the object is not what was written, or speaks of another backup.
    """
    key = commit_key(cluster, system_identifier, backup_id)
    outcome = decode_commit(repository.read_object(key, ObjectKind.COMMIT), key)
    if isinstance(outcome, BackupRecord):
        said = (outcome.cluster, outcome.system_identifier, outcome.id)
        if said != (cluster, system_identifier, backup_id):
            raise FrameDamaged(f"{key} speaks of another backup: {said}", object=key)
    return outcome


class Catalog:
    """The backups of one cluster, over all its system identifiers."""

    def __init__(self, repository: Repository, cluster: str) -> None:
        self._repository = repository
        self.cluster = cluster

    def system_identifiers(self) -> list[int]:
        """Return the generations of the cluster: one, unless there was an initdb or pg_upgrade."""
        names = self._repository.store.children(cluster_prefix(self.cluster))
        return sorted(int(name) for name in names if name.isascii() and name.isdecimal())

    def listing(self, system_identifier: int) -> CatalogListing:
        """Read every commit object of one system identifier."""
        names = self._repository.store.children(commits_prefix(self.cluster, system_identifier))
        ids = [name for name in names if is_backup_id(name)]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="catalog") as readers:
            outcomes = list(readers.map(lambda backup_id: self._outcome(system_identifier, backup_id), ids))
        pairs = list(zip(ids, outcomes, strict=True))
        backups = [outcome for _, outcome in pairs if isinstance(outcome, BackupRecord)]
        return CatalogListing(
            tuple(sorted(backups, key=recovery_order)),
            tuple(backup_id for backup_id, outcome in pairs if isinstance(outcome, AbortedBackup)),
            tuple(
                UnreadableCommit(backup_id, outcome)
                for backup_id, outcome in pairs
                if isinstance(outcome, IntegrityError)
            ),
        )

    def backups(self, system_identifier: int) -> list[BackupRecord]:
        """Return the complete backups of one system identifier, in recovery order."""
        return list(self.listing(system_identifier).backups)

    def get(self, name: str = "latest", system_identifier: int | None = None) -> BackupRecord:
        """Return one backup by its id, an unambiguous beginning of it, or ``latest``.

        ``latest`` is the newest of the generation that was written last.

        Raises:
            BackupMissing: there is none; says which commits can't be read.
            NameInvalid: several ids begin so.
        """
        systems = self.system_identifiers() if system_identifier is None else [system_identifier]
        listings = [self.listing(system) for system in systems]
        if name == "latest":
            newest = [listing.backups[-1] for listing in listings if listing.backups]
            if newest:
                return max(newest, key=lambda backup: backup.stopped_at)
            raise self._none(name, listings)
        found = [backup for listing in listings for backup in listing.backups if backup.id.startswith(name)]
        if len(found) > 1:
            ids = ", ".join(backup.id for backup in found)
            raise NameInvalid(f"several backups begin with {name!r}", hint=f"name one of: {ids}")
        if not found or not name:
            raise self._none(name, listings)
        return found[0]

    def _outcome(
        self, system_identifier: int, backup_id: str
    ) -> BackupRecord | AbortedBackup | IntegrityError | None:
        try:
            return read_commit(self._repository, self.cluster, system_identifier, backup_id)
        except IntegrityError as error:
            return error
        except ObjectMissing:
            return None  # expired while we looked

    def _none(self, name: str, listings: Sequence[CatalogListing]) -> BackupMissing:
        damaged = [item.backup_id for listing in listings for item in listing.unreadable]
        what = "no complete backup" if name == "latest" else f"no complete backup {name!r}"
        hint = "seawall list shows what there is"
        if damaged:
            hint = f"damaged commits: {', '.join(damaged)}; try another repository, or `seawall verify`"
        return BackupMissing(
            f"there is {what} of {self.cluster!r} in {self._repository.store.url}", hint=hint
        )


def recovery_order(backup: BackupRecord) -> tuple[int, int, int, str]:
    """Return the sort key of backups of one system: later epochs and timelines descend from earlier ones, and
    positions only compare along them. Names and clocks decide nothing."""
    return backup.epoch, backup.timeline, backup.stop_lsn, backup.id
