"""A full physical backup of a local data directory.

Source: backup.sgml, "Making a Base Backup Using the Low Level API". Order, and why: look for unreadable
files → start (the server checkpoints) → copy while the server works → stop → read ``pg_control`` last →
wait until each repository has the WAL → commit in each repository. A repository that fails is dropped and
the others go on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from seawall import __version__
from seawall.backup.errors import AllRepositoriesFailed, ArchivingOff, WrongServer
from seawall.backup.fan_out import FanOut, Target
from seawall.backup.needs import observe_needs
from seawall.backup.page_guard import PageGuard, name_relations
from seawall.backup.pipeline import FileResult, ItemResult, Worker, run
from seawall.backup.server_side import ServerInsertPosition, ServerSide
from seawall.backup.source_files import SourceTree, require_data_directory
from seawall.backup.wal.binding import bind
from seawall.backup.wal.wait import wait_for_wal
from seawall.model.clock import Clock
from seawall.model.errors import IntegrityError, NotFound, SeawallError, Unavailable
from seawall.postgres.backup_session import BackupSession, StartedBackup, StoppedBackup
from seawall.postgres.files.checksums import PageChecksummer
from seawall.postgres.files.control_file import (
    ControlFile,
    parse_control_file,
    read_control_bytes,
    read_control_file,
)
from seawall.repository.backups.file_entry import FileEntry
from seawall.repository.backups.record import BackupRecord, ClusterNeeds, CorruptFile, TablespaceRecord
from seawall.repository.backups.writer import BackupWriter
from seawall.repository.format.codec import CompressionPolicy
from seawall.repository.format.extents import pack_extents
from seawall.repository.layout import new_backup_id
from seawall.repository.repository import Repository
from seawall.repository.wal.archive import WalArchive
from seawall.repository.wal.writers import writer_fingerprint


@dataclass(frozen=True, slots=True)
class BackupPolicy:
    """How to take a backup; every number has its unit in its name."""

    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    compression: CompressionPolicy = field(default_factory=CompressionPolicy)
    throttle: Callable[[int], None] | None = None
    wal_timeout_s: float = 300.0
    is_fast: bool = True
    """Ask for an immediate checkpoint instead of one that is spread out."""
    checks_pages: bool = True


@dataclass(frozen=True, slots=True)
class ClusterSource:
    """The cluster to back up, and where its parts are on this machine."""

    name: str
    dsn: str
    data_directory: Path
    state_directory: Path
    config_directories: tuple[Path, ...] = ()
    plan_text: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the copy is. ``total_bytes`` is the size of what will be read."""

    done_bytes: int
    total_bytes: int
    phase: str


@dataclass(frozen=True, slots=True)
class BackupOutcome:
    """What was achieved, per repository. At least one record exists, or an error was raised."""

    backup_id: str
    records: dict[str, BackupRecord]
    failures: dict[str, SeawallError]
    corrupt_blocks: dict[str, tuple[int, ...]]
    """Damaged pages by file: relation-wide block numbers."""
    relations: dict[str, str]
    """The relations that these files belong to, ``database.schema.table``, where they could be named."""
    seconds: float


def take_full_backup(
    source: ClusterSource,
    repositories: dict[str, Repository],
    policy: BackupPolicy,
    clock: Clock,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    open_session: Callable[[str], ServerSide] = BackupSession.open,
) -> BackupOutcome:
    """Copy the cluster into every repository with one read, and commit where its WAL is complete.

    Raises:
        SourceUnreadable, SourceUnsafe, SourceMissing: before anything was started.
        WrongServer, WriterNotBound: the server doesn't belong to the repository's lineage.
        WalNotArchived: in no repository did the WAL arrive in time.
        AllRepositoriesFailed, BackupSessionLost: nothing was committed.
    Crash: no commit record exists, so no backup does; the leases run out and the packs are collected.
    """
    return _FullBackup(source, repositories, policy, clock, on_progress, open_session).take()


class _FullBackup:
    """The state of one run; its methods are the steps in order."""

    def __init__(
        self,
        source: ClusterSource,
        repositories: dict[str, Repository],
        policy: BackupPolicy,
        clock: Clock,
        on_progress: Callable[[Progress], None] | None,
        open_session: Callable[[str], ServerSide],
    ) -> None:
        self.open_session = open_session
        self.source = source
        self.repositories = repositories
        self.policy = policy
        self.clock = clock
        self.on_progress = on_progress
        require_data_directory(source.data_directory)
        self.control: ControlFile = read_control_file(source.data_directory)
        self.tree = SourceTree(source.data_directory, self.control, source.config_directories)
        self.corrupt: dict[str, tuple[int, ...]] = {}
        self.relations: dict[str, str] = {}
        self.failures: dict[str, SeawallError] = {}
        self.version_num = self.control.major * 10000
        self.needs = ClusterNeeds()
        self.notes: tuple[str, ...] = ()
        self.done_bytes = self.file_count = self.raw_bytes = 0

    def take(self) -> BackupOutcome:
        began = self.clock.monotonic()
        self.tree.refuse_unreadable()
        epochs = self._bind()
        backup_id = new_backup_id(self.clock.now())
        with self.open_session(self.source.dsn) as session:
            self._refuse_unfit(session)
            self._tell("checkpoint")
            started = session.start(f"seawall {backup_id}", fast=self.policy.is_fast)
            self.tree.observe_tablespaces()
            fan_out = FanOut(self._begin(backup_id))
            try:
                with ThreadPoolExecutor(1, thread_name_prefix="needs") as aside:
                    needs = aside.submit(observe_needs, self.source.dsn)
                    self._copy(fan_out, session, started)
                    self.needs, self.notes = needs.result()
                self.relations = name_relations(self.source.dsn, self.corrupt)
                stopped = session.stop()
                records = self._finish(fan_out, backup_id, epochs, started, stopped)
            except BaseException:
                _abort_all(fan_out)
                raise
        for target in fan_out.targets:
            if target.error is not None:
                self.failures[target.name] = target.error
        seconds = self.clock.monotonic() - began
        return BackupOutcome(backup_id, records, self.failures, self.corrupt, self.relations, seconds)

    def _refuse_unfit(self, session: ServerSide) -> None:
        """Refuse a server that is not the directory's, or that archives nothing."""
        self.version_num = session.version_num
        identifier = session.system_identifier()
        if identifier != self.control.system_identifier:
            raise WrongServer(
                f"the server that the plan connects to is system {identifier}, but {self.source.data_directory} "
                f"is system {self.control.system_identifier}",
                hint="correct `dsn:` or `data:` of the cluster in the plan",
            )
        if not session.archives_wal():
            raise ArchivingOff(
                f"archive_mode is off: the WAL that completes a backup of {self.source.name!r} would never arrive",
                hint="seawall init --apply sets it up; or ALTER SYSTEM SET archive_mode = on, then restart the server",
            )

    def _bind(self) -> dict[str, int]:
        """Return each repository's epoch; refuse a server that may not write there."""
        fingerprint = writer_fingerprint(self.source.state_directory, self.source.data_directory)
        epochs: dict[str, int] = {}
        for name, repository in self.repositories.items():
            with self._dropping(name):
                binding = bind(
                    repository,
                    cluster=self.source.name,
                    system_identifier=self.control.system_identifier,
                    fingerprint=fingerprint,
                    data_directory=self.source.data_directory,
                )
                if binding.is_superseded:
                    raise WrongServer(
                        f"cluster {self.source.name!r} has a newer primary than {self.source.data_directory}: "
                        f"its epoch {binding.epoch} is over",
                        hint="back up the new primary; `seawall list` shows who holds the current epoch",
                    )
                epochs[name] = binding.epoch
        return epochs

    def _begin(self, backup_id: str) -> list[Target]:
        targets: list[Target] = []
        for name, repository in self.repositories.items():
            if name in self.failures:
                continue
            with self._dropping(name):
                writer = BackupWriter.begin(
                    repository,
                    cluster=self.source.name,
                    system_identifier=self.control.system_identifier,
                    backup_id=backup_id,
                )
                targets.append(Target(name, writer))
        return targets

    @contextlib.contextmanager
    def _dropping(self, name: str) -> Iterator[None]:
        """Drop a repository that does not answer or is damaged, unless it is the last one.

        A repository that says that this server may not write (a Conflict) ends the backup for all.
        """
        try:
            yield
        except (Unavailable, IntegrityError, NotFound) as error:
            self.failures[name] = error
            if len(self.failures) == len(self.repositories):
                raise

    def _copy(self, fan_out: FanOut, session: ServerSide, started: StartedBackup) -> None:
        position = ServerInsertPosition(session, started.start_lsn)
        workers = [self._worker(fan_out, position, started) for _ in range(self.policy.jobs)]
        try:
            for result in run(self.tree.files(), workers, on_item=self._count):
                self._record(fan_out, result)
            for worker in workers:
                worker.seal()
            for worker in workers:
                worker.close()
        except BaseException:
            for worker in workers:
                worker.abandon()
            raise

    def _worker(self, fan_out: FanOut, position: ServerInsertPosition, started: StartedBackup) -> Worker:
        guard = None
        if self.policy.checks_pages and self.control.has_checksums:
            guard = PageGuard(PageChecksummer(self.control.block_bytes), started.start_lsn, position)
        return Worker(fan_out, guard, self.policy.compression, self.policy.throttle)

    def _count(self, item: ItemResult) -> None:
        self.done_bytes += item.raw_bytes
        self._tell("copy")

    def _tell(self, phase: str) -> None:
        if self.on_progress:
            self.on_progress(Progress(self.done_bytes, self.tree.total_bytes, phase))

    def _record(self, fan_out: FanOut, result: FileResult) -> None:
        if result.is_gone:
            return
        self.file_count += 1
        self.raw_bytes += result.size_bytes if result.file.has_content else 0
        if result.corrupt_blocks:
            self.corrupt[result.file.path] = tuple(result.corrupt_blocks)
        for target, extents in zip(fan_out.targets, result.extents, strict=True):
            entry = result.file.entry(
                size_bytes=result.size_bytes,
                extents=pack_extents(extents),
                corrupt_blocks=tuple(result.corrupt_blocks),
            )
            fan_out.attempt(target, _adder(target, entry))

    def _finish(
        self,
        fan_out: FanOut,
        backup_id: str,
        epochs: dict[str, int],
        started: StartedBackup,
        stopped: StoppedBackup,
    ) -> dict[str, BackupRecord]:
        # pg_control last: on a primary any copy would do, on a standby only one younger than all data.
        control = read_control_bytes(self.source.data_directory)
        records: dict[str, BackupRecord] = {}
        self._tell("wal")
        for target in fan_out.alive:
            record = self._describe(backup_id, epochs[target.name], control, started, stopped)
            fan_out.attempt(target, self._committer(target, record, started, stopped, records))
        _abort_all(fan_out)
        if not records:
            raise AllRepositoriesFailed(
                "no repository holds the backup",
                hint="; ".join(f"{target.name}: {target.error}" for target in fan_out.targets),
            )
        return records

    def _committer(
        self,
        target: Target,
        record: BackupRecord,
        started: StartedBackup,
        stopped: StoppedBackup,
        records: dict[str, BackupRecord],
    ) -> Callable[[], None]:
        def commit() -> None:
            archive = WalArchive(
                self.repositories[target.name], self.source.name, self.control.system_identifier
            )
            wait_for_wal(
                archive,
                epoch=record.epoch,
                first=started.start_wal_segment,
                last=stopped.stop_wal_segment,
                timeout_s=self.policy.wal_timeout_s,
                clock=self.clock,
            )
            records[target.name] = target.writer.commit(record)

        return commit

    def _describe(
        self,
        backup_id: str,
        epoch: int,
        control_bytes: bytes,
        started: StartedBackup,
        stopped: StoppedBackup,
    ) -> BackupRecord:
        control = parse_control_file(control_bytes)
        return BackupRecord(
            id=backup_id,
            cluster=self.source.name,
            system_identifier=control.system_identifier,
            type="full",
            epoch=epoch,
            started_at=started.started_at,
            stopped_at=stopped.stopped_at,
            start_lsn=started.start_lsn,
            stop_lsn=stopped.stop_lsn,
            timeline=started.timeline,
            start_wal=str(started.start_wal_segment),
            stop_wal=str(stopped.stop_wal_segment),
            pg_version_num=self.version_num,
            catalog_version=control.catalog_version,
            page_bytes=control.block_bytes,
            segment_bytes=control.relation_segment_bytes,
            wal_segment_bytes=control.wal_segment_bytes,
            has_checksums=control.has_checksums,
            backup_label=stopped.backup_label,
            tablespace_map=stopped.tablespace_map,
            control_file=control_bytes,
            data_directory=os.path.realpath(self.source.data_directory),
            tablespaces=tuple(
                TablespaceRecord(oid=oid, name="", location=str(location))
                for oid, location in self.tree.tablespaces.items()
            ),
            external_paths=tuple(str(path) for path in self.source.config_directories),
            raw_bytes=self.raw_bytes,
            file_count=self.file_count,
            corrupt=tuple(
                CorruptFile(path=path, relation=self.relations.get(path, ""), block_count=len(blocks))
                for path, blocks in self.corrupt.items()
            ),
            timeline_history=self._history(started.timeline),
            needs=self.needs,
            notes=(*self.notes, *(f"left out: {path}" for path in self.tree.left_out)),
            plan=self.source.plan_text,
            seawall_version=__version__,
        )

    def _history(self, timeline: int) -> str:
        if timeline == 1:
            return ""
        path = self.source.data_directory / "pg_wal" / f"{timeline:08X}.history"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _abort_all(fan_out: FanOut) -> None:
    """Give up every target that isn't committed. What a dead store keeps is collected later: the lease ends."""
    for target in fan_out.targets:
        with contextlib.suppress(SeawallError):
            target.writer.abort()


def _adder(target: Target, entry: FileEntry) -> Callable[[], None]:
    return lambda: target.writer.manifest.add(entry)
