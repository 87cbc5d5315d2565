"""A whole restore, from the catalog to a directory or a running server.

Order, and why: choose the backup and prove its WAL (nothing is changed) → check the target (nothing is
changed) → copy files, while the WAL streams into the spool and is read ahead → settings → ``pg_control`` last.
Only then could any server start on the directory. With ``starts`` it is started, watched to its target, asked
whether every database answers, and the plan's checks are put to it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from seawall.model.clock import Clock
from seawall.model.errors import InvalidInput, Refused
from seawall.model.lsn import Lsn
from seawall.postgres.files.control_file import (
    CONTROL_FILE_PATH,
    parse_control_file,
    with_unusable_checkpoint,
)
from seawall.postgres.programs import ServerPrograms, find_programs
from seawall.repository.backups.catalog import Catalog
from seawall.repository.backups.reader import BackupReader
from seawall.repository.reading import Reading
from seawall.repository.wal.archive import WalArchive
from seawall.repository.wal.terms import Term
from seawall.restore.adopt import claim_primary, observe_heads
from seawall.restore.beside import SPEC_NAME, SPOOL_NAME, work_directory
from seawall.restore.directory.configure import RecoverySetup, prepare_recovery
from seawall.restore.directory.copy import Layout, copy_files
from seawall.restore.directory.durable import sync_folder, write_durably
from seawall.restore.directory.ownership import Ownership, hand_over, owner_to_serve
from seawall.restore.directory.target import (
    check_directory,
    check_space,
    claim_directory,
    clear_work,
    exclusive,
    explain_os_error,
    finish_directory,
    give_up,
    lay_out,
)
from seawall.restore.errors import TargetNotReady, WalMissing
from seawall.restore.planning.moment import AtName, AtXid, Moment, TargetAction
from seawall.restore.planning.plan import RestorePlan, plan_restore, plans_from
from seawall.restore.planning.request import OnPhase, OpenedRepository, RestoreReport, RestoreRequest
from seawall.restore.planning.spec import RestoreSpec
from seawall.restore.readiness import check_readiness
from seawall.restore.server_user import check_server_user
from seawall.restore.serving import Serving, notes_on, observe_serving, refuse_start, run_as
from seawall.restore.wal.feed import SpoolFeed
from seawall.restore.wal.fill import WalSurvey, fill_and_survey, has_record_from, open_spool
from seawall.restore.wal.get import Fetch, first_that_gives, planned_command, with_partial
from seawall.restore.wal.ready import write_histories
from seawall.restore.wal.search import refine_end, search, settle, tablespace_folders
from seawall.restore.wal.spool import Spool
from seawall.restore.wal.window import WalWindow, spool_need_bytes, wanted_segments


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
    labels = {f"repository {item.name}": item.repository for item in repositories}
    try:
        with Reading(labels, request.cluster) as reading:
            return _Restore(request, repositories, clock, on_phase, reading).run()
    except BrokenPipeError:
        raise  # who watched the progress has gone
    except OSError as error:
        raise explain_os_error(error, request.data_directory) from error


class _Restore:
    """One run; its methods are the steps in order."""

    def __init__(
        self,
        request: RestoreRequest,
        repositories: Sequence[OpenedRepository],
        clock: Clock,
        on_phase: OnPhase,
        reading: Reading,
    ) -> None:
        self.request = request
        self.reading = reading
        self.repositories = repositories
        self.clock = clock
        self.on_phase = on_phase
        self.work = work_directory(request.data_directory)
        self.heads: dict[str, Term] = {}
        self.owner = request.owner
        self._cancelled = threading.Event()
        self._survey_done: WalSurvey | None = None

    def run(self) -> RestoreReport:
        request = self.request
        began = self.clock.monotonic()
        self.on_phase("prove", 0, None)
        if request.claim is not None:
            self.heads = observe_heads([item.repository for item in self.repositories], request.cluster)
        plan = plan_restore(request, self.repositories, self.clock)
        programs = find_programs(plan.record.pg_version_num // 10000, request.pg_bin)
        check_readiness(plan.record.needs, programs)
        serving = observe_serving(request.data_directory, major=programs.major)
        if request.starts:
            refuse_start(serving, request.data_directory)
        check_directory(request.data_directory, moves_aside=request.moves_aside)
        self.owner = request.owner or serving.required_user
        with exclusive(self.work):
            clear_work(self.work)
            self._hold(plan)
            if isinstance(request.moment, AtName | AtXid):
                plan = self._search(plan, programs)
            record = plan.record
            layout = lay_out(record, request.data_directory, request.tablespaces, request.tablespaces_in)
            wal_bytes = spool_need_bytes(plan.path, request.moment, record.stop_lsn, self._window(plan))
            check_space(layout, record.raw_bytes, wal_bytes)
            report = self._report(plan, serving)
            report.notes += self._check_server_user(plan, serving)
            report.seconds["prove"] = self.clock.monotonic() - began
            moved = claim_directory(layout, moves_aside=request.moves_aside, now=self.clock.now())
            if moved is not None:
                report.notes.append(f"what was in {request.data_directory} is now in {moved}")
            try:
                plan, moment = self._fill(plan, layout, programs, report)
            except (Refused, InvalidInput, WalMissing):
                give_up(layout, moved)  # found in the WAL; whoever asks again shall find all as it was
                raise
            self._configure(plan, layout, programs, serving, moment, report)
            finish_directory(request.data_directory)
            if request.starts:
                from seawall.restore.start import start_and_watch

                with self._feed(plan):
                    start_and_watch(
                        request, record, layout, programs, serving, moment, report, self.clock, self.on_phase
                    )
                if request.action is TargetAction.PROMOTE:
                    Spool(self.work / SPOOL_NAME).keep(())
            report.notes += self.reading.notes()
        return report

    def _hold(self, plan: RestorePlan) -> None:
        """Keep an expire from what is about to be read, and make sure that none was first."""
        self.reading.hold(plan.record.id)
        Catalog(plan.source.repository, self.request.cluster).get(plan.record.id)

    def _check_server_user(self, plan: RestorePlan, serving: Serving) -> list[str]:
        """Where root restores for somebody else: try as that user what its server will need."""
        root_folder = next(BackupReader(plan.source.repository, plan.record).entries())
        user = Ownership.for_this_process(self.owner).ids(root_folder)
        if user is None or user[0] == 0:
            return []
        return check_server_user(
            run_as(user), self.request.seawall_command, self._sources(plan), serving.environment()
        )

    def _report(self, plan: RestorePlan, serving: Serving) -> RestoreReport:
        request = self.request
        report = RestoreReport(
            cluster=request.cluster,
            repository=plan.source.name,
            backup_id=plan.record.id,
            data_directory=str(request.data_directory),
            moment=str(request.moment),
            is_primary=request.claim is not None,
            raw_bytes=plan.record.raw_bytes,
            archive_end_lsn=plan.path.whole_end,
            owner=serving.name,
            start_command=serving.next_command(request.data_directory),
        )
        report.notes += notes_on(serving, request.data_directory, self._sources(plan), starts=request.starts)
        still = "; it still takes the old primary for the writer" if request.claim is not None else ""
        for name, why in request.left_out.items():
            report.notes.append(f"repository {name} was not asked, and may hold more{still}: {why}")
        for name, why in plan.passed_over.items():
            report.notes.append(f"repository {name} could not serve this restore: {why}")
        if request.claim is not None:
            report.notes.append(
                "this is the primary on a timeline of its own: name it in the plan (primary: data, dsn), "
                "and take a full backup now: seawall backup"
            )
        if plan.record.corrupt:
            names = ", ".join(item.path for item in plan.record.corrupt[:5])
            report.notes.append(f"the source had damaged pages when it was backed up, in: {names}")
        return report

    def _search(self, plan: RestorePlan, programs: ServerPrograms) -> RestorePlan:
        """Find the backup after which a transaction or a named point lies."""
        self.on_phase("search", 0, None)

        def read(candidate: RestorePlan, until: Lsn | None) -> WalSurvey:
            self._hold(candidate)
            self._survey_done = self._survey(candidate, programs, until)
            return self._survey_done

        try:
            return search(self.request.moment, plans_from(self.request, plan.source), read)
        except BaseException:
            clear_work(self.work)  # nothing was begun, so nothing may be left beside the target
            raise

    def _window(self, plan: RestorePlan) -> WalWindow:
        return WalWindow.within(self.request.spool_bytes, plan.path.segment_bytes)

    def _fill(
        self, plan: RestorePlan, layout: Layout, programs: ServerPrograms, report: RestoreReport
    ) -> tuple[RestorePlan, Moment]:
        """Copy the files while the WAL is fetched and read; return the plan, its end now known, and the moment
        as recovery is to be told it."""
        began = self.clock.monotonic()
        self._write_spec(plan)
        with ThreadPoolExecutor(1, thread_name_prefix="survey") as pool:
            # A search ends with the survey of the very plan that it found.
            surveying = pool.submit(lambda: self._survey_done or self._survey(plan, programs))
            try:
                self._copy(plan, layout)
                self.owner = self.owner or owner_to_serve(layout.data_directory)
                report.seconds["copy"] = self.clock.monotonic() - began
                self.on_phase("wal", 0, None)
                survey = self._survey_done = self._await(surveying)
            except BaseException:
                self._cancelled.set()
                raise
        report.seconds["survey"] = self.clock.monotonic() - began
        self._make_tablespace_folders(survey)
        spool = Spool(self.work / SPOOL_NAME)
        moment = settle(
            survey, plan, lambda lsn: has_record_from(programs, plan.path, spool, lsn), report.notes
        )
        path = refine_end(plan.path, survey, report.notes)
        report.archive_end_lsn = path.end if survey.is_complete else path.whole_end
        return replace(plan, path=path), moment

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
        ownership = Ownership.for_this_process(self.owner)
        copy_files(reader, layout, jobs=self.request.jobs, ownership=ownership, on_bytes=count)

    def _survey(self, plan: RestorePlan, programs: ServerPrograms, until: Lsn | None = None) -> WalSurvey:
        return fill_and_survey(
            plan.path,
            open_spool(self.work),
            self._fetcher(plan),
            programs,
            self.request.moment,
            stop_lsn=plan.record.stop_lsn,
            window=self._window(plan),
            until=until,
            is_cancelled=self._cancelled.is_set,
        )

    def _fetcher(self, plan: RestorePlan) -> Fetch:
        record = plan.record
        sources = [
            partial(
                WalArchive,
                opened.repository,
                record.cluster,
                record.system_identifier,
                segment_bytes=record.wal_segment_bytes,
            )
            for opened in self._sources(plan)
        ]
        return with_partial(first_that_gives(sources), plan.path.folders, record.wal_segment_bytes)

    def _feed(self, plan: RestorePlan) -> SpoolFeed:
        """Return what keeps the spool filled while the server recovers, as far as it will read."""
        survey = self._survey_done
        stops_at = survey.stops_at if survey is not None else None
        segments = wanted_segments(plan.path, self.request.moment, plan.record.stop_lsn)
        if stops_at is not None:
            segments = [item for item in segments if item[1].start <= stops_at]
        spool = Spool(self.work / SPOOL_NAME, owner=self.owner)
        return SpoolFeed(segments, spool, self._fetcher(plan), ahead=self._window(plan).ahead)

    def _sources(self, plan: RestorePlan) -> list[OpenedRepository]:
        """Return the repositories to read WAL from: the chosen one first."""
        return [plan.source, *[item for item in self.repositories if item.name != plan.source.name]]

    def _write_spec(self, plan: RestorePlan) -> None:
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
            ahead=self._window(plan).ahead,
        )
        histories = [f"{timeline:08X}.history" for timeline in plan.histories]
        write_histories(os.fspath(self.work), {name: archive.fetch(name) for name in histories})
        write_durably(self.work / SPEC_NAME, spec.encode())

    def _make_tablespace_folders(self, survey: WalSurvey) -> None:
        """Make the folders of tablespaces that the WAL creates: replaying does not, and gives up without."""
        for place in tablespace_folders(survey, may_make=self.request.makes_tablespace_folders):
            try:
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise TargetNotReady(
                    f"the WAL creates a tablespace at {place}, which can't be made here: {error.strerror}",
                    hint=f"as root: install -d -m 700 -o OWNER {place}; then run the restore again",
                ) from error
            if self.owner is not None:
                os.chown(place, *self.owner)

    def _configure(
        self,
        plan: RestorePlan,
        layout: Layout,
        programs: ServerPrograms,
        serving: Serving,
        moment: Moment,
        report: RestoreReport,
    ) -> None:
        began = self.clock.monotonic()
        request, record = self.request, plan.record
        control = parse_control_file(record.control_file)
        claim = request.claim
        if claim is not None:
            claim_primary(
                claim, [item.repository for item in self.repositories], self.heads, request, plan.path
            )
        setup = RecoverySetup(
            moment=moment,
            timeline=plan.path.history.timeline,
            action=request.action,
            restore_command=planned_command(request.seawall_command, _shell(self.work / SPEC_NAME)),
            is_primary=claim is not None,
            has_configuration=serving.config_file is not None,
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
        if self.owner is not None:
            hand_over(layout.data_directory, self.work, self.owner)
        report.seconds["configure"] = self.clock.monotonic() - began


def _shell(path: Path) -> str:
    """Quote a path for ``restore_command``: for the shell, and ``%`` for PostgreSQL."""
    import shlex

    return shlex.quote(str(path)).replace("%", "%%")
