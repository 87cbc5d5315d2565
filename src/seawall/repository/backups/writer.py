"""Write one backup: packs and manifest in any order, the commit record last.

Until the commit record is there the backup does not exist for anybody, and whatever was written is garbage
that collection takes once the lease has expired. The commit key is the point where a writer that was thought
dead and the collector meet: both create it, and the store lets one of them win.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import msgspec

from seawall.model.errors import SeawallError
from seawall.repository import layout
from seawall.repository.backups.catalog import read_commit
from seawall.repository.backups.manifest import ManifestWriter
from seawall.repository.backups.packs import PackPolicy, PackTable, PackWriter
from seawall.repository.backups.record import AbortedBackup, BackupRecord, encode_commit
from seawall.repository.errors import BackupCollected
from seawall.repository.format.frames import ObjectKind
from seawall.repository.leases import Heartbeat, LeasePolicy
from seawall.repository.repository import Repository
from seawall.storage.errors import ObjectExists

_CLOSERS = 4
"""Threads that make full packs durable; they wait for disks and networks, not for a processor."""


class BackupWriter:
    """One backup being written. As a context manager it aborts unless it was committed.

    ``manifest`` and ``commit`` belong to one thread; each pack writer to its own.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        cluster: str,
        system_identifier: int,
        backup_id: str,
        heartbeat: Heartbeat,
        policy: PackPolicy,
    ) -> None:
        """Use :meth:`begin`."""
        self.repository = repository
        self.cluster = cluster
        self.system_identifier = system_identifier
        self.backup_id = backup_id
        self.manifest = ManifestWriter(repository, layout.manifest_key(cluster, system_identifier, backup_id))
        self._heartbeat = heartbeat
        self._policy = policy
        self._table = PackTable()
        self._executor = ThreadPoolExecutor(_CLOSERS, thread_name_prefix="pack-close")
        self._pack_writers: list[PackWriter] = []
        self._lock = threading.Lock()
        self._is_over = False

    @classmethod
    def begin(
        cls,
        repository: Repository,
        *,
        cluster: str,
        system_identifier: int,
        backup_id: str,
        policy: PackPolicy | None = None,
        lease: LeasePolicy | None = None,
    ) -> BackupWriter:
        """Take a lease on ``backup_id`` and start. The lease is renewed until commit or abort.

        Raises:
            NameInvalid: the cluster's name or the id can't be part of a key.
        """
        heartbeat = Heartbeat.start(repository, cluster=cluster, backup_id=backup_id, policy=lease)
        try:
            return cls(
                repository,
                cluster=cluster,
                system_identifier=system_identifier,
                backup_id=backup_id,
                heartbeat=heartbeat,
                policy=policy or PackPolicy(),
            )
        except BaseException:
            heartbeat.stop()
            raise

    @property
    def stored_bytes(self) -> int:
        """What the packs that are durable take up so far."""
        return self._table.stored_bytes

    def new_pack_writer(self) -> PackWriter:
        """Return a pack writer for one thread."""
        writer = PackWriter(
            self.repository,
            self._table,
            self.backup_id,
            key_of=self._pack_key,
            executor=self._executor,
            policy=self._policy,
        )
        with self._lock:
            self._pack_writers.append(writer)
        return writer

    def commit(self, record: BackupRecord) -> BackupRecord:
        """Make the backup exist; return the record as stored, with manifest, pack count and bytes filled in.

        All pack writers must be closed.

        Raises:
            BackupCollected: the lease had expired and a collector took the backup for dead.
            ValueError: a pack is not closed.
        Crash: the backup exists whole or not at all. After Unavailable that is unknown until the commit
            key is read; ``abort`` does that and never harms a backup that exists.
        """
        self._heartbeat.check()
        packs = self._table.entries()
        manifest = self.manifest.finish(packs)
        stored = sum(pack.size_bytes for pack in packs) + manifest.size
        complete = msgspec.structs.replace(
            record, manifest=manifest, pack_count=len(packs), stored_bytes=stored
        )
        key = layout.commit_key(self.cluster, self.system_identifier, self.backup_id)
        try:
            self.repository.write_object(key, ObjectKind.COMMIT, encode_commit(complete))
        except ObjectExists:
            raise self._collected() from None
        self._end()
        return complete

    def abort(self, reason: str = "the backup failed") -> bool:
        """Give the backup up and delete what was written. Return False if it turns out to be committed.

        Harmless after commit. The lease ends in any case, also where this raises because the store is out;
        collection then does the rest.
        Crash: what is left is collected later.
        """
        if self._is_over:
            return False
        try:
            for writer in self._pack_writers:
                writer.abort()
            self.manifest.abort()
            return self._mark_and_delete(reason)
        finally:
            self._end()

    def _mark_and_delete(self, reason: str) -> bool:
        key = layout.commit_key(self.cluster, self.system_identifier, self.backup_id)
        mark = AbortedBackup(self.repository.clock.now(), reason)
        try:
            self.repository.write_object(key, ObjectKind.COMMIT, encode_commit(mark))
        except ObjectExists:
            if isinstance(self._outcome(), BackupRecord):
                return False  # a commit whose answer was lost did arrive
        # Only behind the mark: from here on no commit can name what is deleted.
        prefix = layout.backup_prefix(self.cluster, self.system_identifier, self.backup_id)
        for info in list(self.repository.store.scan(prefix)):
            self.repository.store.delete(info.key)
        return True

    def _pack_key(self, name: str) -> str:
        return layout.pack_key(self.cluster, self.system_identifier, self.backup_id, name)

    def _outcome(self) -> BackupRecord | AbortedBackup:
        return read_commit(self.repository, self.cluster, self.system_identifier, self.backup_id)

    def _collected(self) -> SeawallError:
        outcome = self._outcome()
        if isinstance(outcome, AbortedBackup):
            return BackupCollected(
                f"backup {self.backup_id} was given up at {outcome.at:%Y-%m-%d %H:%M:%SZ}: {outcome.reason}",
                hint="this writer did not renew its lease in time; run the backup again",
            )
        return ObjectExists(
            f"another writer committed a backup with the id {self.backup_id}", hint="run the backup again"
        )

    def _end(self) -> None:
        self._is_over = True
        self._executor.shutdown(wait=True)
        self._heartbeat.stop()

    def __enter__(self) -> BackupWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.abort(type(error).__name__ if error is not None else "it was never committed")
        except SeawallError as second:
            if error is None:
                raise
            # What made the backup fail is the news; its remains are collected later.
            error.add_note(f"giving up backup {self.backup_id} failed as well: {second}")
