"""A whole restore, from the catalog to a directory or a running server.

Order, and why: choose the backup and prove its WAL (nothing is changed) → check the target (nothing is
changed) → copy files, while the WAL streams into the spool and is read ahead → settings → ``pg_control`` last.
Only then could any server start on the directory. With ``starts`` it is started, watched to its target, asked
whether every database answers, and the plan's checks are put to it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seawall.model.clock import Clock
from seawall.model.errors import SeawallError
from seawall.model.timeline import TimelineHistory
from seawall.postgres.control_file import CONTROL_FILE_PATH, parse_control_file, with_unusable_checkpoint
from seawall.postgres.programs import ServerPrograms, find_programs
from seawall.repository.backup_reader import BackupReader
from seawall.repository.backup_record import BackupRecord
from seawall.repository.catalog import Catalog
from seawall.repository.wal_archive import WalArchive
from seawall.restore.adopt import claim_primary
from seawall.restore.choose import choose_backup, choose_history
from seawall.restore.configure import RecoverySetup, prepare_recovery
from seawall.restore.copy import Layout, copy_files
from seawall.restore.durable import sync_folder, write_durably
from seawall.restore.errors import NoBackup, TablespaceUnsafe, TargetInFuture, TargetUnreachable
from seawall.restore.moment import AtName, AtTime, AtXid, Latest, Moment
from seawall.restore.ownership import Ownership
from seawall.restore.prove import ProvenPath, check_reach, prove_path
from seawall.restore.request import OnPhase, OpenedRepository, RestoreReport, RestoreRequest
from seawall.restore.spec import SPEC_NAME, RestoreSpec, work_directory
from seawall.restore.target import (
    check_directory,
    check_space,
    claim_directory,
    exclusive,
    finish_directory,
    lay_out,
)
from seawall.restore.wal_fill import WalSurvey, fill_and_survey, open_spool


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What will be done, proven possible."""

    source: OpenedRepository
    record: BackupRecord
    path: ProvenPath
    histories: dict[int, TimelineHistory]


def plan_restore(
    request: RestoreRequest, repositories: Sequence[OpenedRepository], clock: Clock
) -> RestorePlan:
    """Choose repository, backup and path for the moment; the first repository that can serve it is taken.

    Raises what the first one raised if none can; nothing was changed.
    """
    if isinstance(request.moment, AtTime) and request.moment.time > clock.now():
        raise TargetInFuture(
            f"{request.moment} lies in the future (it is now {clock.now():%Y-%m-%d %H:%M:%S} UTC)",
            hint="--latest restores everything that the archive holds",
        )
    first_error: SeawallError | None = None
    for opened in repositories:
        try:
            return _plan_from(request, opened)
        except SeawallError as error:
            first_error = first_error or error
    if first_error is None:
        raise NoBackup("no repository was named", hint="--repository")
    raise first_error


def _plan_from(request: RestoreRequest, opened: OpenedRepository) -> RestorePlan:
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
    chosen = choose_backup(backups, history, request.moment).backup
    path = prove_path(archive, chosen, history)
    check_reach(path, request.moment, archive.url)
    return RestorePlan(opened, chosen, path, histories)


def _newest_system(catalog: Catalog, systems: Sequence[int]) -> int:
    """Return the generation that was backed up last: after pg_upgrade there are two."""
    newest = {system: catalog.listing(system).backups for system in systems}
    return max(
        systems, key=lambda system: newest[system][-1].stopped_at.timestamp() if newest[system] else 0.0
    )


def restore(
    request: RestoreRequest,
    repositories: Sequence[OpenedRepository],
    clock: Clock,
    on_phase: OnPhase = lambda phase, done, total: None,
) -> RestoreReport:
    """Bring the cluster back to the moment; see the module docstring.

    Raises:
        InvalidInput, NotFound, Refused, Conflict leaves: before a byte was written.
        IntegrityError leaves: the backup or its WAL is damaged; the directory can't start a server.
        RecoveryFailed, RecoveryStalled, CheckFailed: the server's own part went wrong; it is left for a look.
    Crash: run the same command again; the half-written directory is recognised.
    """
    return _Restore(request, repositories, clock, on_phase).run()


class _Restore:
    """One run; its methods are the steps in order."""

    def __init__(
        self,
        request: RestoreRequest,
        repositories: Sequence[OpenedRepository],
        clock: Clock,
        on_phase: OnPhase,
    ) -> None:
        self.request = request
        self.repositories = repositories
        self.clock = clock
        self.on_phase = on_phase
        self.work = work_directory(request.data_directory)
        self._cancelled = threading.Event()

    def run(self) -> RestoreReport:
        request = self.request
        began = self.clock.monotonic()
        self.on_phase("prove", 0, None)
        plan = plan_restore(request, self.repositories, self.clock)
        record = plan.record
        programs = find_programs(record.pg_version_num // 10000, request.pg_bin)
        check_directory(request.data_directory, moves_aside=request.moves_aside)
        layout = lay_out(record, request.data_directory, request.tablespaces, request.tablespaces_in)
        check_space(layout, record.raw_bytes, self._wal_bytes(plan))
        report = RestoreReport(
            cluster=request.cluster,
            repository=plan.source.name,
            backup_id=record.id,
            data_directory=str(request.data_directory),
            moment=str(request.moment),
            is_primary=request.claim is not None,
            raw_bytes=record.raw_bytes,
            archive_end_lsn=plan.path.end,
        )
        report.seconds["prove"] = self.clock.monotonic() - began
        with exclusive(self.work):
            moved = claim_directory(
                request.data_directory, moves_aside=request.moves_aside, now=self.clock.now()
            )
            if moved is not None:
                report.notes.append(f"what was in {request.data_directory} is now in {moved}")
            moment = self._fill(plan, layout, programs, report)
            self._configure(plan, layout, programs, moment, report)
            finish_directory(request.data_directory)
            if request.starts:
                from seawall.restore.start import start_and_watch

                start_and_watch(request, record, layout, programs, moment, report, self.clock, self.on_phase)
        return report

    def _wal_bytes(self, plan: RestorePlan) -> int:
        segments = sum(folder.last - folder.first + 1 for folder in plan.path.folders)
        return segments * plan.path.segment_bytes

    def _fill(
        self, plan: RestorePlan, layout: Layout, programs: ServerPrograms, report: RestoreReport
    ) -> Moment:
        """Copy the files while the WAL is fetched and read; return the moment as recovery is to be told it."""
        began = self.clock.monotonic()
        spec = self._write_spec(plan)
        with ThreadPoolExecutor(1, thread_name_prefix="survey") as pool:
            surveying = pool.submit(self._survey, plan, programs, spec)
            try:
                self._copy(plan, layout)
                report.seconds["copy"] = self.clock.monotonic() - began
                self.on_phase("wal", 0, None)
                survey = self._await(surveying)
            except BaseException:
                self._cancelled.set()
                raise
        report.seconds["survey"] = self.clock.monotonic() - began
        self._refuse_tablespaces(survey, plan)
        return self._settle(survey, plan, report)

    def _await(self, surveying: Future[WalSurvey]) -> WalSurvey:
        return surveying.result()

    def _copy(self, plan: RestorePlan, layout: Layout) -> None:
        reader = BackupReader(plan.source.repository, plan.record)
        done = 0

        def count(written: int) -> None:
            nonlocal done
            done += written
            self.on_phase("copy", done, plan.record.raw_bytes)

        self.on_phase("copy", 0, plan.record.raw_bytes)
        ownership = Ownership.for_this_process(self.request.owner)
        copy_files(reader, layout, jobs=self.request.jobs, ownership=ownership, on_bytes=count)

    def _survey(self, plan: RestorePlan, programs: ServerPrograms, spec: RestoreSpec) -> WalSurvey:
        archives = [
            WalArchive(
                opened.repository,
                spec.cluster,
                spec.system_identifier,
                segment_bytes=spec.wal_segment_bytes,
            )
            for opened in self._sources(plan)
        ]
        return fill_and_survey(
            plan.path,
            open_spool(self.work),
            _first_that_gives(archives),
            programs,
            self.request.moment,
            stop_lsn=plan.record.stop_lsn,
            is_cancelled=self._cancelled.is_set,
        )

    def _sources(self, plan: RestorePlan) -> list[OpenedRepository]:
        """Return the repositories to read WAL from: the chosen one first."""
        return [plan.source, *[item for item in self.repositories if item.name != plan.source.name]]

    def _write_spec(self, plan: RestorePlan) -> RestoreSpec:
        record = plan.record
        archive = WalArchive(
            plan.source.repository,
            record.cluster,
            record.system_identifier,
            segment_bytes=record.wal_segment_bytes,
        )
        spec = RestoreSpec(
            cluster=record.cluster,
            system_identifier=record.system_identifier,
            wal_segment_bytes=record.wal_segment_bytes,
            repositories=tuple(item.address for item in self._sources(plan)),
            path=plan.path.folders,
            histories={
                timeline: archive.fetch(f"{timeline:08X}.history").decode("utf-8", "replace")
                for timeline in plan.histories
            },
        )
        path = self.work / SPEC_NAME
        write_durably(path, spec.encode())
        self._give_to_owner(path)
        return spec

    def _give_to_owner(self, *paths: Path) -> None:
        """Let ``restore_command``, which runs as the server's owner, read what root wrote."""
        if self.request.owner is not None:
            for path in (self.work, *paths):
                shutil.chown(path, *self.request.owner)

    def _refuse_tablespaces(self, survey: WalSurvey, plan: RestorePlan) -> None:
        """Refuse to replay a CREATE TABLESPACE into a folder that exists here: it may be a live server's."""
        for lsn, oid, location in survey.tablespaces:
            place = Path(location)
            if place.exists() and any(place.iterdir()):
                raise TablespaceUnsafe(
                    f"the WAL at {lsn} creates tablespace {oid} at {location}, where there is something: replaying "
                    "it would link this copy to that folder, and a later DROP in the copy would empty it",
                    hint=f"restore to a moment before {lsn} (--to-lsn), from a newer backup, or on another machine",
                )

    def _settle(self, survey: WalSurvey, plan: RestorePlan, report: RestoreReport) -> Moment:
        """Turn the asked moment into one that recovery can reach, or say why there is none."""
        moment = self.request.moment
        if isinstance(moment, AtTime) and not survey.reached:
            return self._end_of_archive_instead(moment, survey, report)
        if isinstance(moment, AtName | AtXid) and not survey.reached:
            raise TargetUnreachable(
                f"{moment} is not in the WAL from backup {plan.record.id} to the end of the archive ({plan.path.end})",
                hint="check the name or number; or choose another moment: --to, --to-lsn, --latest",
            )
        return moment

    def _end_of_archive_instead(self, moment: AtTime, survey: WalSurvey, report: RestoreReport) -> Moment:
        """Serve a time after the last archived commit by everything that the archive holds.

        PostgreSQL would give up with "recovery ended before configured recovery target was reached", although
        nothing that committed by then is missing from what it replayed.
        """
        last = (
            f"{survey.last_commit_at:%Y-%m-%d %H:%M:%S} UTC" if survey.last_commit_at else "before the backup"
        )
        report.notes.append(
            f"no transaction after {moment} is in the archive (the last one: {last}); everything up to the "
            f"archive's end, {survey.end_lsn}, was recovered instead"
        )
        return Latest()

    def _configure(
        self,
        plan: RestorePlan,
        layout: Layout,
        programs: ServerPrograms,
        moment: Moment,
        report: RestoreReport,
    ) -> None:
        began = self.clock.monotonic()
        request, record = self.request, plan.record
        control = parse_control_file(record.control_file)
        claim = request.claim
        if claim is not None:
            claim_primary(claim, [item.repository for item in self.repositories], request, plan.path)
        setup = RecoverySetup(
            moment=moment,
            timeline=plan.path.history.timeline,
            action=request.action,
            restore_command=f"{request.seawall_command} wal get --restore {_shell(self.work / SPEC_NAME)} %f %p",
            is_primary=claim is not None,
            archive_command=claim.archive_command if claim else "",
            extra_settings=request.settings,
            source_settings={
                "max_connections": control.max_connections,
                "max_worker_processes": control.max_worker_processes,
                "max_wal_senders": control.max_wal_senders,
                "max_prepared_transactions": control.max_prepared_xacts,
                "max_locks_per_transaction": control.max_locks_per_xact,
            },
        )
        prepare_recovery(layout, record, setup, programs.major)
        target = layout.data_directory / CONTROL_FILE_PATH
        # Whoever deletes backup_label now gets an error instead of a silently broken cluster.
        write_durably(target, with_unusable_checkpoint(record.control_file))
        sync_folder(layout.data_directory)
        self._own(layout, target)
        report.seconds["configure"] = self.clock.monotonic() - began

    def _own(self, layout: Layout, control: Path) -> None:
        if self.request.owner is None:
            return
        for path in (control, *layout.data_directory.iterdir()):
            if path.is_file() and not path.is_symlink():
                shutil.chown(path, *self.request.owner)
        shutil.chown(layout.data_directory, *self.request.owner)
        spool = self.work / "spool"
        self._give_to_owner(spool, *spool.iterdir())


def _first_that_gives(archives: Sequence[WalArchive]) -> Callable[[int, str], bytes]:
    def fetch(epoch: int, name: str) -> bytes:
        first_error: SeawallError | None = None
        for archive in archives:
            try:
                return archive.fetch(name, epoch=epoch)
            except SeawallError as error:
                first_error = first_error or error
        if first_error is None:
            raise NoBackup("there is no repository to read WAL from")
        raise first_error

    return fetch


def _shell(path: Path) -> str:
    """Quote a path for ``restore_command``: for the shell, and ``%`` for PostgreSQL."""
    import shlex

    return shlex.quote(str(path)).replace("%", "%%")
