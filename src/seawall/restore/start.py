"""Start the restored server, watch it to its target, and ask whether it is really well.

"It starts" proves little: a missing locale makes single databases refuse connections, and a server can come
up before the rows that matter. So every database is connected to and the plan's checks are put, before
anybody is told that the service is back.
"""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from seawall.model.clock import Clock
from seawall.model.errors import InvalidInput
from seawall.model.lsn import Lsn
from seawall.postgres.errors import ServerNotReady, ServerStartFailed
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.server.lifecycle import (
    Launch,
    Milestone,
    run_until_stopped,
    start_server,
    wait_for_milestone,
    wait_until_stopped,
)
from seawall.postgres.server.owned import LogFile, ServerLog, owners_log, start_through_owner
from seawall.postgres.server.running import RunningServer
from seawall.postgres.server.user import server_user
from seawall.postgres.session import load_driver
from seawall.repository.backups.record import BackupRecord
from seawall.restore.asking import Answers, Questions, ask
from seawall.restore.beside import LOG_NAME, SPOOL_NAME, work_directory
from seawall.restore.directory.configure import command_line_settings, finish_recovery
from seawall.restore.directory.copy import Layout
from seawall.restore.errors import CheckFailed, RecoveryFailed, RecoveryStalled
from seawall.restore.planning.moment import AtTime, Moment, TargetAction
from seawall.restore.planning.request import Check, OnPhase, RestoreReport, RestoreRequest
from seawall.restore.serving import Serving

_TAIL_CHARACTERS = 2000
_LAST_COMMIT = re.compile(r"last completed transaction was at log time (.+)$", re.MULTILINE)
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")


def start_and_watch(
    request: RestoreRequest,
    record: BackupRecord,
    layout: Layout,
    programs: ServerPrograms,
    serving: Serving,
    moment: Moment,
    report: RestoreReport,
    clock: Clock,
    on_phase: OnPhase,
) -> None:
    """Start recovery, by the directory's owner if it has one; wait for the outcome, clean up, check; fill in
    ``report``.

    Raises:
        RecoveryFailed: the server gave up; the message ends with its log's last lines.
        RecoveryStalled: not at its target within the deadline; the server runs on.
        CheckFailed: it runs, and a check of the plan says no.
    """
    data = layout.data_directory
    log: ServerLog = (
        LogFile(work_directory(data) / LOG_NAME) if serving.is_nobodys else owners_log(serving.owner)
    )
    began = clock.monotonic()
    on_phase("recover", 0, None)
    # It takes a tenth of a second, which the server's own work covers.
    threading.Thread(target=load_driver, daemon=True).start()
    try:
        server = _recover(request, layout, programs, serving, log, clock)
    except ServerStartFailed as error:
        said = log.text()[-_TAIL_CHARACTERS:] or error.message
        raise RecoveryFailed(
            f"PostgreSQL gave up the recovery of {data}:\n{said}",
            hint=f"the whole log is in {log.where}; run the restore again after mending the cause, or choose another "
            "moment",
        ) from error
    except ServerNotReady as error:
        raise RecoveryStalled(
            f"the server in {data} did not reach {moment} within {request.deadline_s:.0f} s",
            hint=f"it goes on; watch {log.where}, and raise --deadline next time",
        ) from error
    report.seconds["recover"] = clock.monotonic() - began
    report.started = server is not None
    _read_log(log.text(), report)
    if server is None:
        return
    report.port = server.port
    report.socket_directory = str(server.socket_directory or "")
    if request.action is TargetAction.PROMOTE:
        finish_recovery(data)
        _empty_spool(data)
    on_phase("check", 0, None)
    began = clock.monotonic()
    recovered_to = _recovered_to(report, moment, record)
    checks = tuple(_about(check, recovered_to) for check in request.checks)
    answers = ask(_questions(request, server, checks), server_user(data))
    report.timeline, report.databases = answers.timeline, answers.databases
    report.checks += answers.checks
    report.seconds["check"] = clock.monotonic() - began
    _judge(report, answers)


def _recover(
    request: RestoreRequest,
    layout: Layout,
    programs: ServerPrograms,
    serving: Serving,
    log: ServerLog,
    clock: Clock,
) -> RunningServer | None:
    """Start and wait; return the running server, None where the target action shut it down."""
    data, own_log = layout.data_directory, work_directory(layout.data_directory) / LOG_NAME
    launch = Launch(log_file=own_log, settings=command_line_settings(layout))
    deadline_s, ends_at = request.deadline_s, clock.monotonic() + request.deadline_s
    if request.action is TargetAction.SHUTDOWN:
        if serving.is_nobodys:
            is_clean = run_until_stopped(data, programs, launch, deadline_s=deadline_s, clock=clock)
        else:
            start_through_owner(serving.owner, data, deadline_s=deadline_s, clock=clock, may_end=True)
            is_clean = wait_until_stopped(data, deadline_s=ends_at - clock.monotonic(), clock=clock)
        if not is_clean or "shutdown at recovery target" not in log.text():
            raise ServerStartFailed("it ended before its target", hint=f"the whole log is in {log.where}")
        return None
    if serving.is_nobodys:
        start_server(data, programs, launch, until=Milestone.LAUNCHED, deadline_s=deadline_s, clock=clock)
    else:
        start_through_owner(serving.owner, data, deadline_s=deadline_s, clock=clock)
    wanted = Milestone.ANSWERING if request.action is TargetAction.PAUSE else Milestone.PROMOTED
    left_s = ends_at - clock.monotonic()
    server = wait_for_milestone(data, own_log, wanted, deadline_s=left_s, clock=clock)
    if request.action is TargetAction.PAUSE:
        ask(_questions(request, server, pause_within_s=deadline_s), server_user(data))
    return server


def _questions(
    request: RestoreRequest,
    server: RunningServer,
    checks: tuple[Check, ...] = (),
    pause_within_s: float | None = None,
) -> Questions:
    host = str(server.socket_directory) if server.socket_directory else "localhost"
    return Questions(host, server.port, _login_user(request, server), checks, pause_within_s)


def _login_user(request: RestoreRequest, server: RunningServer) -> str:
    """Return the role of the plan's connection string; where that says none, or nothing that can be read, the
    owner's name: by now a server waits to be asked."""
    try:
        named = request.login_user()
    except InvalidInput:
        named = None
    return named or _owner_name(server)


def _owner_name(server: RunningServer) -> str:
    """Return whom to log in as: the owner's name, which a local ``peer`` or ``trust`` rule lets in."""
    import pwd

    uid = server.data_directory.stat().st_uid
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "postgres"
    return "postgres" if name == "root" else name


def _about(check: Check, recovered_to: datetime | None) -> Check:
    """Return a check whose SQL names the moment that was reached."""
    at = recovered_to or datetime.now(UTC)
    return replace(
        check, sql=check.sql.replace(":recovered_to", f"timestamptz '{at:%Y-%m-%d %H:%M:%S.%f+00}'")
    )


def _judge(report: RestoreReport, answers: Answers) -> None:
    refused = [f"database {name}: {answer}" for name, answer in report.databases.items() if answer != "ok"]
    failed = [f"check {item.name!r}: {item.detail}" for item in report.checks if not item.is_ok]
    if not report.is_primary and answers.archive_mode != "off":
        # Only the command line of its owner's configuration can overrule postgresql.auto.conf.
        failed.append(f"it is a copy, and archives (archive_mode = {answers.archive_mode}): stop it")
    if refused or failed:
        raise CheckFailed(
            "the server was restored and runs, but: " + "; ".join(refused + failed),
            hint=f"socket {report.socket_directory or '-'}, port {report.port}: look before anybody uses it",
            report={
                "databases": report.databases,
                "checks": [item.name for item in report.checks if not item.is_ok],
            },
        )


def _read_log(text: str, report: RestoreReport) -> None:
    """Take from the server's own words (``lc_messages`` is C) where it ended."""
    done = _REDO_DONE.findall(text)
    if done:
        report.recovered_to_lsn = Lsn.parse(done[-1])
    last = _LAST_COMMIT.findall(text)
    if last:
        report.last_transaction_at = _server_time(last[-1])


def _server_time(text: str) -> datetime | None:
    """Read ``2026-11-25 10:41:07.123456+01``; None for a zone that is only a name."""
    match = re.fullmatch(r"(\S+ [\d:.]+)([+-]\d\d)(?::?(\d\d))?", text.strip())
    if match is None:
        return None
    return datetime.fromisoformat(f"{match[1]}{match[2]}:{match[3] or '00'}").astimezone(UTC)


def _recovered_to(report: RestoreReport, moment: Moment, record: BackupRecord) -> datetime | None:
    if isinstance(moment, AtTime):
        return moment.time
    return report.last_transaction_at or record.stopped_at


def _empty_spool(data: Path) -> None:
    spool = work_directory(data) / SPOOL_NAME
    for entry in spool.iterdir() if spool.exists() else ():
        entry.unlink(missing_ok=True)
