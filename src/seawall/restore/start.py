"""Start the restored server, watch it to its target, and ask whether it is really well.

"It starts" proves little: a missing locale makes single databases refuse connections, and a server can come
up before the rows that matter. So every database is connected to and the plan's checks are put, before
anybody is told that the service is back.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from seawall.model.clock import Clock
from seawall.model.errors import SeawallError
from seawall.model.lsn import Lsn
from seawall.postgres.errors import ServerNotReady, ServerStartFailed
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.server.lifecycle import (
    Launch,
    Milestone,
    run_until_stopped,
    start_server,
    wait_for_milestone,
)
from seawall.postgres.server.running import RunningServer
from seawall.repository.backups.record import BackupRecord
from seawall.restore.directory.configure import command_line_settings, finish_recovery
from seawall.restore.directory.copy import Layout
from seawall.restore.errors import CheckFailed, RecoveryFailed, RecoveryStalled
from seawall.restore.planning.moment import AtTime, Moment, TargetAction
from seawall.restore.planning.request import Check, CheckResult, OnPhase, RestoreReport, RestoreRequest
from seawall.restore.planning.spec import LOG_NAME, SPOOL_NAME, work_directory

if TYPE_CHECKING:
    from seawall.postgres.session import ServerSession

_LAST_COMMIT = re.compile(r"last completed transaction was at log time (.+)$", re.MULTILINE)
_STOPPED_AT = re.compile(
    r"recovery stopping (?:before|after) (?:commit|abort) of transaction \d+, time (.+)$", re.MULTILINE
)
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")


def start_and_watch(
    request: RestoreRequest,
    record: BackupRecord,
    layout: Layout,
    programs: ServerPrograms,
    moment: Moment,
    report: RestoreReport,
    clock: Clock,
    on_phase: OnPhase,
) -> None:
    """Start recovery, wait for its outcome, clean up, check; fill in ``report``.

    Raises:
        RecoveryFailed: the server gave up; the message ends with its log's last lines.
        RecoveryStalled: not at its target within the deadline; the server runs on.
        CheckFailed: it runs, and a check of the plan says no.
    """
    data = layout.data_directory
    log = work_directory(data) / LOG_NAME
    began = clock.monotonic()
    on_phase("recover", 0, None)
    try:
        server = _recover(request, layout, programs, log, clock)
    except ServerStartFailed as error:
        raise RecoveryFailed(
            f"PostgreSQL gave up the recovery of {data}:\n{error.fields.get('log', '')}",
            hint=f"the whole log is in {log}; run the restore again after mending the cause, or choose another moment",
        ) from error
    except ServerNotReady as error:
        raise RecoveryStalled(
            f"the server in {data} did not reach {moment} within {request.deadline_s:.0f} s",
            hint=f"it goes on; watch {log}, and raise --deadline next time",
        ) from error
    report.seconds["recover"] = clock.monotonic() - began
    report.started = server is not None
    _read_log(log, report)
    if server is None:
        return
    report.port = server.port
    report.socket_directory = str(server.socket_directory or "")
    if request.action is TargetAction.PROMOTE:
        finish_recovery(data)
        _empty_spool(data)
    on_phase("check", 0, None)
    began = clock.monotonic()
    _ask(request, server, report, _recovered_to(report, moment, record))
    report.seconds["check"] = clock.monotonic() - began
    _judge(report)


def _recover(
    request: RestoreRequest, layout: Layout, programs: ServerPrograms, log: Path, clock: Clock
) -> RunningServer | None:
    """Start and wait; return the running server, None where the target action shut it down."""
    launch = Launch(log_file=log, settings=command_line_settings(layout))
    data = layout.data_directory
    if request.action is TargetAction.SHUTDOWN:
        is_clean = run_until_stopped(data, programs, launch, deadline_s=request.deadline_s, clock=clock)
        if not is_clean or "shutdown at recovery target" not in _text(log):
            raise ServerStartFailed(
                "it ended before its target", hint=f"the whole log is in {log}", log=_text(log)[-2000:]
            )
        return None
    start_server(data, programs, launch, until=Milestone.LAUNCHED, deadline_s=request.deadline_s, clock=clock)
    wanted = Milestone.ANSWERING if request.action is TargetAction.PAUSE else Milestone.PROMOTED
    server = wait_for_milestone(data, log, wanted, deadline_s=request.deadline_s, clock=clock)
    if request.action is TargetAction.PAUSE:
        _wait_for_pause(request, server, request.deadline_s, clock)
    return server


def _wait_for_pause(request: RestoreRequest, server: RunningServer, deadline_s: float, clock: Clock) -> None:
    """Wait until replay stands still at the target: consistent is not yet there."""
    deadline = clock.monotonic() + deadline_s
    with _session(request, server, "postgres") as session:
        while session.query_one("SELECT pg_get_wal_replay_pause_state()")[0] != "paused":
            if clock.monotonic() > deadline:
                raise ServerNotReady("replay did not pause at its target", hint="look at the server's log")
            clock.sleep(0.05)


def _session(request: RestoreRequest, server: RunningServer, database: str) -> ServerSession:
    from seawall.postgres.session import connect

    return connect(_dsn(request, server, database), search_path=None, application_name="seawall restore")


def _dsn(request: RestoreRequest, server: RunningServer, database: str) -> str:
    host = str(server.socket_directory) if server.socket_directory else "localhost"
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"host='{host}' port={server.port} dbname='{quoted}' user={request.user or _owner_name(server)}"


def _owner_name(server: RunningServer) -> str:
    """Return whom to log in as: the owner's name, which a local ``peer`` or ``trust`` rule lets in."""
    import pwd

    uid = server.data_directory.stat().st_uid
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "postgres"
    return "postgres" if name == "root" else name


def _ask(
    request: RestoreRequest, server: RunningServer, report: RestoreReport, recovered_to: datetime | None
) -> None:
    from seawall.postgres.databases import check_every_database

    with _session(request, server, "postgres") as session:
        (report.timeline,) = session.query_one("SELECT timeline_id FROM pg_control_checkpoint()")
        (is_recovering,) = session.query_one("SELECT pg_is_in_recovery()")
        if not is_recovering:
            # pg_control shows the new timeline only after its first checkpoint; the WAL file name at once.
            (name,) = session.query_one("SELECT pg_walfile_name(pg_current_wal_lsn())")
            report.timeline = int(name[:8], 16)
    for verdict in check_every_database(_dsn(request, server, "postgres")):
        if not verdict.is_meant_to_refuse:
            report.databases[verdict.name] = verdict.refusal or "ok"
    report.checks += [_put(check, request, server, recovered_to) for check in request.checks]


def _put(
    check: Check, request: RestoreRequest, server: RunningServer, recovered_to: datetime | None
) -> CheckResult:
    sql = check.sql
    if ":recovered_to" in sql:
        at = recovered_to or datetime.now(UTC)
        sql = sql.replace(":recovered_to", f"timestamptz '{at:%Y-%m-%d %H:%M:%S.%f+00}'")
    try:
        with _session(request, server, check.database) as session:
            rows = session.query_all(sql)
    except SeawallError as error:
        return CheckResult(check.name, False, error.message)
    value = rows[0][0] if rows and rows[0] else None
    return CheckResult(check.name, value is True, f"returned {value}")


def _judge(report: RestoreReport) -> None:
    refused = [f"database {name}: {answer}" for name, answer in report.databases.items() if answer != "ok"]
    failed = [f"check {item.name!r}: {item.detail}" for item in report.checks if not item.is_ok]
    if refused or failed:
        raise CheckFailed(
            "the server was restored and runs, but: " + "; ".join(refused + failed),
            hint=f"socket {report.socket_directory or '-'}, port {report.port}: look before anybody uses it",
            report={
                "databases": report.databases,
                "checks": [item.name for item in report.checks if not item.is_ok],
            },
        )


def _read_log(log: Path, report: RestoreReport) -> None:
    """Take from the server's own words (``lc_messages`` is C) where it ended."""
    text = _text(log)
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


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _empty_spool(data: Path) -> None:
    spool = work_directory(data) / SPOOL_NAME
    for entry in spool.iterdir() if spool.exists() else ():
        entry.unlink(missing_ok=True)
