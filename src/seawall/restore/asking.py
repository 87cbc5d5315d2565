"""Put the questions to a restored server: does every database answer, and what do the plan's checks say?

They are put as the server's user: Debian's ``pg_hba.conf``, as most, lets the superuser in by ``peer`` alone,
and the peer is whoever opens the socket. Where that is refused, they are put as whoever runs the restore,
who may have a password of the plan's role.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from seawall.model.errors import SeawallError
from seawall.postgres.errors import ServerLoginRefused, ServerNotReady
from seawall.postgres.server.user import RunAs
from seawall.restore.other_user import NoAnswer, answer_with, call_as, home_environment
from seawall.restore.planning.request import Check, CheckResult

if TYPE_CHECKING:
    from seawall.postgres.session import ServerSession

_TIMEOUT_S = 3600.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Questions:
    """Where to ask, as which role, and what. ``pause_within_s``: first wait until replay stands still."""

    host: str
    port: int
    user: str
    checks: tuple[Check, ...] = ()
    pause_within_s: float | None = None

    def dsn(self, database: str) -> str:
        quoted = database.replace("\\", "\\\\").replace("'", "\\'")
        return f"host='{self.host}' port={self.port} dbname='{quoted}' user={self.user}"

    def session(self, database: str) -> ServerSession:
        from seawall.postgres.session import connect

        return connect(self.dsn(database), search_path=None, application_name="seawall restore")


@dataclass(slots=True)
class Answers:
    """What the server said. ``databases`` has ``ok`` or why one refuses connections."""

    timeline: int
    archive_mode: str
    databases: dict[str, str] = field(default_factory=dict)
    checks: list[CheckResult] = field(default_factory=list)


def ask(questions: Questions, server_user: RunAs) -> Answers:
    """Return the server's answers.

    Raises:
        ServerNotReady: replay did not pause within the time.
        ServerLoginRefused, ServerUnreachable: nobody here is let in.
    """
    if not server_user.changes_user:
        return _ask(questions)
    environment = home_environment(server_user.uid)
    try:
        told = call_as(server_user, __name__, asdict(questions), environment, timeout_s=_TIMEOUT_S)
    except (ServerLoginRefused, NoAnswer):
        return _ask(questions)
    checks = [CheckResult(**item) for item in told.pop("checks")]
    return Answers(**told, checks=checks)


def _ask(questions: Questions) -> Answers:
    from seawall.postgres.databases import check_every_database

    with questions.session("postgres") as session:
        if questions.pause_within_s is not None:
            _wait_for_pause(session, questions.pause_within_s)
        (timeline,) = session.query_one("SELECT timeline_id FROM pg_control_checkpoint()")
        (is_recovering,) = session.query_one("SELECT pg_is_in_recovery()")
        if not is_recovering:
            # pg_control shows the new timeline only after its first checkpoint; the WAL file name at once.
            (name,) = session.query_one("SELECT pg_walfile_name(pg_current_wal_lsn())")
            timeline = int(name[:8], 16)
        (archive_mode,) = session.query_one("SELECT current_setting('archive_mode')")
    answers = Answers(timeline, archive_mode)
    for verdict in check_every_database(questions.dsn("postgres")):
        if not verdict.is_meant_to_refuse:
            answers.databases[verdict.name] = verdict.refusal or "ok"
    answers.checks += [_put(check, questions) for check in questions.checks]
    return answers


def _wait_for_pause(session: ServerSession, within_s: float) -> None:
    """Wait until replay stands still at the target: consistent is not yet there."""
    ends_at = time.monotonic() + within_s
    while session.query_one("SELECT pg_get_wal_replay_pause_state()")[0] != "paused":
        if time.monotonic() > ends_at:
            raise ServerNotReady("replay did not pause at its target", hint="look at the server's log")
        time.sleep(_POLL_S)


def _put(check: Check, questions: Questions) -> CheckResult:
    try:
        with questions.session(check.database) as session:
            rows = session.query_all(check.sql)
    except SeawallError as error:
        return CheckResult(check.name, False, error.message)
    value = rows[0][0] if rows and rows[0] else None
    return CheckResult(check.name, value is True, f"returned {value}")


def _answer(document: dict[str, Any]) -> dict[str, Any]:
    checks = tuple(Check(**item) for item in document.pop("checks"))
    return asdict(_ask(Questions(**document, checks=checks)))


if __name__ == "__main__":
    answer_with(_answer)
