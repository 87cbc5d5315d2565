"""Read everything again and prove that it is what was written, or name what is lost.

Each object authenticates under its own key, kind and place, so a flipped bit, a cut, an appended byte or a
swap shows when it is opened. What remains is to notice what is *not* there: packs by the manifest, WAL by its
numbering and by what each backup needs, terms by theirs. Two losses can't be told from an honest absence, and
are shown as what they look like: a removed commit record (an unfinished backup) and a removed key slot.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from seawall.model.errors import IntegrityError
from seawall.repository import layout
from seawall.repository.backups.catalog import Catalog, cluster_names, read_commit
from seawall.repository.backups.record import AbortedBackup, BackupRecord
from seawall.repository.errors import BackupMissing, ControlDamaged
from seawall.repository.format.control_json import parse_control
from seawall.repository.keys import parse_slot, slot_name
from seawall.repository.leases import read_lease
from seawall.repository.reading import Reading
from seawall.repository.repository import Repository
from seawall.repository.verify.backups import BackupVerifier
from seawall.repository.verify.report import Ledger, Problem, ProgressCallback, Sample, VerifyReport
from seawall.repository.verify.wal import WalVerifier
from seawall.repository.wal.archive import WalArchive
from seawall.repository.wal.terms import TermLog
from seawall.storage.errors import ObjectMissing

__all__ = ["VerifyReport", "verify"]

_TOP = {layout.HEADER_KEY, "keys", "clusters", "leases", "probe", "evidence"}
"""``evidence`` proves itself by its own signatures, without the repository's key: `seawall evidence verify`."""
_OF_SYSTEM = {"backups", "commits", "wal", "diverged"}


def verify(
    repository: Repository,
    *,
    cluster: str | None = None,
    backup: str | None = None,
    fraction: float = 1.0,
    seed: int = 0,
    threads: int = 2,
    progress: ProgressCallback | None = None,
) -> VerifyReport:
    """Verify all, one cluster, or one backup (with the WAL that makes it consistent).

    With a ``fraction``, that share of the packs and WAL files is read, chosen by ``seed``; control objects
    and manifests always are, and that no object is missing and no pack too short or long. ``progress`` is
    called from any of ``threads`` threads, one at a time.

    Raises:
        BackupMissing: ``backup`` names none that is complete.
        Unavailable: the store did not answer; nothing is known.
    """
    report = VerifyReport(repository.id, fraction, seed)
    ledger = Ledger(report, Sample(fraction, seed), progress)
    executor = ThreadPoolExecutor(threads, thread_name_prefix="verify")
    try:
        run = _Run(repository, ledger, executor, threads)
        if backup is None:
            run.check_repository(cluster)
        else:
            run.check_backup(backup, cluster)
    finally:
        # A store that is out must not be waited for again by everything that was already queued.
        executor.shutdown(wait=True, cancel_futures=True)
    report.findings.sort()
    report.stray.sort()
    return report


class _Run:
    """One verification under way."""

    def __init__(self, repository: Repository, ledger: Ledger, executor: Executor, threads: int) -> None:
        self._repository = repository
        self._ledger = ledger
        self._executor = executor
        self._threads = threads

    def check_repository(self, cluster: str | None) -> None:
        """Check the control objects, then each cluster."""
        self._check_header()
        self._check_slots()
        for name in self._repository.store.children(""):
            if name not in _TOP:
                self._stray(name)
        for name in cluster_names(self._repository) if cluster is None else [cluster]:
            self._check_cluster(name)
            self._check_leases(name)

    def check_backup(self, backup: str, cluster: str | None) -> None:
        """Check one backup and its WAL."""
        clusters = [cluster] if cluster is not None else cluster_names(self._repository)
        record = self._find_backup(backup, clusters)
        with self._reading(record.cluster) as reading:
            self._hold(reading, record)
            self._find_backup(backup, [record.cluster])  # an expire may have been first
            self._check_content(record)
            self._wal_of(record.cluster, record.system_identifier, [record]).run_for_backups(
                self._executor, threads=self._threads
            )

    def _reading(self, cluster: str) -> Reading:
        return Reading({self._repository.store.url: self._repository}, cluster)

    def _hold(self, reading: Reading, record: BackupRecord) -> None:
        """Keep the backup from being deleted while it is checked, which would look like damage."""
        reading.hold(record.id)
        self._ledger.report.notes += [
            note for note in reading.notes() if note not in self._ledger.report.notes
        ]

    def _find_backup(self, backup: str, clusters: list[str]) -> BackupRecord:
        missing: BackupMissing | None = None
        for name in clusters:
            try:
                return Catalog(self._repository, name).get(backup)
            except BackupMissing as error:
                missing = error
        raise missing or BackupMissing(f"there is no backup {backup!r} in {self._repository.store.url}")

    def _check_header(self) -> None:
        key = layout.HEADER_KEY

        def read() -> None:
            fields = parse_control(self._repository.store.get(key), key)
            if fields.get("repository") != self._repository.id:
                raise ControlDamaged(f"it is the header of repository {fields.get('repository')}")

        self._check(key, read, "the whole repository can't be opened without it")

    def _check_slots(self) -> None:
        def read(key: str) -> None:
            slot = parse_slot(self._repository.store.get(key), key)
            if slot.repository_id.hex() != self._repository.id:
                self._stray(key)

        for info in self._repository.store.scan(layout.KEYS_PREFIX):
            affects = f"key slot {slot_name(info.key)}: its holder can't open the repository"
            self._check(info.key, partial(read, info.key), affects)

    def _check_cluster(self, cluster: str) -> None:
        epochs = self._check_terms(cluster)
        for name in self._repository.store.children(layout.cluster_prefix(cluster)):
            if name.isascii() and name.isdecimal():
                self._check_system(cluster, int(name), epochs)
            elif name != "term":
                self._stray(layout.cluster_prefix(cluster) + name)

    def _check_terms(self, cluster: str) -> set[int] | None:
        """Check each term; return the epochs that they claim, or None if that isn't known in full."""
        log = TermLog(self._repository, cluster)
        prefix = layout.term_prefix(cluster)
        names = self._repository.store.children(prefix)
        numbers = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
        for name in set(names) - {f"{number:0{layout.ENTRY_DIGITS}d}" for number in numbers}:
            self._stray(prefix + name)
        epochs: set[int] = set()
        is_whole = True

        def read(number: int) -> None:
            epochs.add(log.read(number).epoch)

        for number in range(1, max(numbers, default=0) + 1):
            is_whole &= self._check(
                layout.term_key(cluster, number),
                partial(read, number),
                f"who may write cluster {cluster} can't be told past term {number}",
            )
        return epochs if is_whole else None

    def _check_system(self, cluster: str, system_identifier: int, epochs: set[int] | None) -> None:
        prefix = layout.system_prefix(cluster, system_identifier)
        for name in self._repository.store.children(prefix):
            if name not in _OF_SYSTEM:
                self._stray(prefix + name)
        with self._reading(cluster) as reading:
            self._check_backups(cluster, system_identifier, reading, epochs)

    def _check_backups(
        self, cluster: str, system_identifier: int, reading: Reading, epochs: set[int] | None
    ) -> None:
        records = self._check_commits(cluster, system_identifier)
        for record in records:
            self._hold(reading, record)
            self._check_content(record)
        if records:
            self._hold(reading, min(records, key=lambda record: record.start_lsn))  # and so all of their WAL
        archive = WalArchive(self._repository, cluster, system_identifier)
        for epoch in sorted({folder.epoch for folder in archive.folders()}):
            if epochs is not None and epoch not in epochs:
                self._ledger.find(
                    f"{layout.term_prefix(cluster)}*",
                    Problem.MISSING,
                    f"WAL of epoch {epoch} is archived, but no term claims that epoch",
                    [f"which WAL of cluster {cluster} counts from epoch {epoch} on"],
                )
        self._wal_of(cluster, system_identifier, records).run(self._executor, threads=self._threads)

    def _check_commits(self, cluster: str, system_identifier: int) -> list[BackupRecord]:
        """Check each commit object; return what is committed, oldest first."""
        store = self._repository.store
        begun = self._begun(cluster, system_identifier)
        prefix = layout.commits_prefix(cluster, system_identifier)
        committed = store.children(prefix)
        records: list[BackupRecord] = []

        def read(backup_id: str) -> None:
            outcome = read_commit(self._repository, cluster, system_identifier, backup_id)
            if isinstance(outcome, AbortedBackup):
                self._ledger.report.unfinished += [backup_id] if backup_id in begun else []
            else:
                records.append(outcome)

        for name in committed:
            if not layout.is_backup_id(name):
                self._stray(prefix + name)
            elif not self._check(prefix + name, partial(read, name), f"backup {name}"):
                self._ledger.lose(name, "its commit record is damaged")
        self._ledger.report.unfinished += sorted(set(begun) - set(committed))
        return sorted(records, key=lambda record: record.id)

    def _begun(self, cluster: str, system_identifier: int) -> list[str]:
        """Return the ids of which any object is there; a folder store also lists empty folders."""
        names = self._repository.store.children(layout.backups_prefix(cluster, system_identifier))
        return [
            name
            for name in names
            if layout.is_backup_id(name)
            and any(self._repository.store.scan(layout.backup_prefix(cluster, system_identifier, name)))
        ]

    def _check_content(self, record: BackupRecord) -> None:
        self._ledger.report.backups.append(record.id)
        BackupVerifier(self._repository, record, self._ledger).run(self._executor, threads=self._threads)

    def _check_leases(self, cluster: str) -> None:
        for info in self._repository.store.scan(f"{layout.LEASES_PREFIX}{cluster}/"):
            self._check(
                info.key,
                partial(read_lease, self._repository, info.key),
                "nothing for long: this lease counts as live for a day",
                may_vanish=True,
            )

    def _wal_of(self, cluster: str, system_identifier: int, records: list[BackupRecord]) -> WalVerifier:
        return WalVerifier(self._repository, cluster, system_identifier, self._ledger, records)

    def _check(self, key: str, read: Callable[[], object], affects: str, *, may_vanish: bool = False) -> bool:
        """Read one small control object; record what is wrong with it."""
        is_good = True
        try:
            read()
        except IntegrityError as error:
            self._ledger.find(key, Problem.DAMAGED, error.message, [affects])
            is_good = False
        except ObjectMissing as error:
            if not may_vanish:
                self._ledger.find(key, Problem.MISSING, error.message, [affects])
                is_good = False
        self._ledger.count(objects=1)
        return is_good

    def _stray(self, key: str) -> None:
        self._ledger.find(key, Problem.STRAY, "no object of this format has such a key")
