"""The session that a base backup lives in (backup.sgml, "Making a Base Backup Using the Low Level API").

Between start and stop the server forces full-page writes and remembers the backup in *this* session
alone: when it ends, the backup never happened. PostgreSQL 14 names the functions ``pg_start_backup``
and ``pg_stop_backup`` (of which only the non-exclusive form is used), 15 and later
``pg_backup_start`` and ``pg_backup_stop``. Several backups may run at once.

Stop never waits for the archive (``wait_for_archive := false``): the server would wait for ever, and
what counts is what a repository holds, not what ``archive_command`` says. Waiting is the caller's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from seawall.model.errors import SeawallError
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.errors import BackupSessionLost, ServerUnreachable, StatementRefused
from seawall.postgres.session import ServerSession, connect

_LABEL = re.compile(r"[ -~]{1,512}")
_NOT_IN_PREREQUISITE_STATE = "55000"
_LABEL_TIMELINE = re.compile(rb"^START TIMELINE: (\d+)$", re.MULTILINE)
_LABEL_START = re.compile(rb"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StartedBackup:
    """What the server said at the start. Recovery will begin at ``start_lsn``, in
    ``start_wal_segment``. From a standby the backup ends by other rules (see ``is_standby`` users)."""

    label: str
    start_lsn: Lsn
    timeline: int
    start_wal_segment: SegmentName
    started_at: datetime
    is_standby: bool


@dataclass(frozen=True, slots=True)
class StoppedBackup:
    """What the server said at the end: replay to ``stop_lsn`` makes the copy consistent.

    ``backup_label`` and ``tablespace_map`` are the files' content, byte for byte, whatever the
    database's encoding; an empty map means that there is no such file.
    """

    stop_lsn: Lsn
    timeline: int
    stop_wal_segment: SegmentName
    backup_label: bytes
    tablespace_map: bytes
    stopped_at: datetime


class BackupSession:
    """One backup, from start to stop, on one connection.

    Leaving the context without :meth:`stop` aborts the backup. Crash: the server notices the lost
    connection and ends its side by itself; nothing is left to clean up.
    """

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._started: StartedBackup | None = None
        self._segment_bytes = 0

    @classmethod
    def open(cls, dsn: str, *, connect_timeout_s: float = 10.0, password: str | None = None) -> Self:
        """Connect for one backup. Raises as :func:`seawall.postgres.session.connect`."""
        return cls(
            connect(
                dsn, connect_timeout_s=connect_timeout_s, application_name="seawall backup", password=password
            )
        )

    def start(self, label: str, *, fast: bool = True, deadline_s: float = 3600.0) -> StartedBackup:
        """Begin the backup; returns after the checkpoint that it starts from.

        ``fast`` asks for that checkpoint at once; otherwise it is spread out and may take as long as
        ``checkpoint_timeout``.

        Raises: ValueError for a label that isn't printable ASCII; StatementRefused
        (``wal_level=minimal``, a standby that lacks full-page images), ServerPermissionMissing,
        ServerUnreachable; no backup is then in progress.
        """
        if not _LABEL.fullmatch(label):
            raise ValueError(f"a backup label is 1 to 512 printable ASCII characters, not {label!r}")
        if self._started is not None:
            raise RuntimeError("one session holds one backup")
        if self._session.major >= 15:
            call = "pg_backup_start(%s, %s)"
        else:
            call = "pg_start_backup(%s, %s, false)"
        (is_standby,) = self._session.query_one("SELECT pg_is_in_recovery()")
        try:
            (start,) = self._session.query_one(f"SELECT {call}::text", (label, fast), deadline_s=deadline_s)
        except StatementRefused as error:
            raise _explain_refusal(error) from error
        # The start checkpoint is now in pg_control, on a primary as on a standby.
        timeline, self._segment_bytes, now = self._session.query_one(
            "SELECT c.timeline_id, i.bytes_per_wal_segment, clock_timestamp()"
            " FROM pg_control_checkpoint() c, pg_control_init() i"
        )
        start_lsn = Lsn.parse(start)
        self._started = StartedBackup(
            label=label,
            start_lsn=start_lsn,
            timeline=timeline,
            start_wal_segment=SegmentName.containing(timeline, start_lsn, self._segment_bytes),
            started_at=now,
            is_standby=is_standby,
        )
        return self._started

    def archives_wal(self) -> bool:
        """Say whether the server archives at all: without it no backup is ever complete. (What
        ``archive_command`` does with the WAL is another question; the repositories answer it.)"""
        (mode,) = self._session.query_one("SELECT setting FROM pg_settings WHERE name = 'archive_mode'")
        return bool(mode != "off")

    def system_identifier(self) -> int:
        """Return who the server is, to be compared with the data directory that is about to be read."""
        (identifier,) = self._session.query_one("SELECT system_identifier FROM pg_control_system()")
        # The column is a signed bigint; the identifier isn't.
        return int(identifier) & 0xFFFFFFFFFFFFFFFF

    @property
    def version_num(self) -> int:
        """The server's version, 150018 for 15.18."""
        return self._session.version_num

    def upper_lsn(self) -> Lsn:
        """Return a position that no page written until now can be beyond: a page with a later LSN is
        damaged, not new. Read the page first, then ask.

        On a primary it is the insert position. On a standby it is the later of received and
        replayed; one that replays from an archive alone can be one record short, so ask again
        before calling a page damaged. It also proves that the session lives.

        Raises: BackupSessionLost.
        """
        sql = (
            "SELECT CASE WHEN pg_is_in_recovery()"
            " THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
            " ELSE pg_current_wal_insert_lsn() END::text"
        )
        try:
            (position,) = self._session.query_one(sql)
        except ServerUnreachable as error:
            raise self._lost(error) from error
        return Lsn.parse(position)

    def stop(self, *, deadline_s: float = 300.0) -> StoppedBackup:
        """End the backup and return what recovery needs. On a primary the server then switches to a
        new segment; on a standby it doesn't.

        Raises: BackupSessionLost: the connection broke, the deadline passed, or the standby was
        promoted; the copied files are worthless.
        """
        started = self._require_started()
        try:
            self._refuse_promoted(started)
            # Under SQL_ASCII the server converts nothing, and our sessions keep every byte of any text:
            # tablespace_map holds paths, which need not be text in the database's encoding.
            self._session.execute("SET client_encoding = 'SQL_ASCII'")
            stop, label, tablespace_map = self._session.query_one(self._stop_sql(), deadline_s=deadline_s)
            timeline, now = self._session.query_one(
                "SELECT CASE WHEN pg_is_in_recovery() THEN r.min_recovery_end_timeline"
                " ELSE c.timeline_id END, clock_timestamp()"
                " FROM pg_control_recovery() r, pg_control_checkpoint() c"
            )
        except (ServerUnreachable, StatementRefused) as error:
            raise self._lost(error) from error
        finally:
            self._session.close()
        label_bytes, map_bytes = (text.encode("utf-8", "surrogateescape") for text in (label, tablespace_map))
        return self._stopped(started, stop, label_bytes, map_bytes, timeline, now)

    def abort(self) -> None:
        """Give the backup up by ending its session; the server cleans up by itself."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _stop_sql(self) -> str:
        call = "pg_backup_stop(false)" if self._session.major >= 15 else "pg_stop_backup(false, false)"
        return f"SELECT lsn::text, labelfile, spcmapfile FROM {call}"

    def _stopped(
        self,
        started: StartedBackup,
        stop: str,
        label: bytes,
        tablespace_map: bytes,
        timeline: int,
        now: datetime,
    ) -> StoppedBackup:
        timeline_line, start_line = _LABEL_TIMELINE.search(label), _LABEL_START.search(label)
        if (
            timeline_line is None
            or start_line is None
            or int(timeline_line[1]) != started.timeline
            or Lsn.parse(start_line[1].decode()) != started.start_lsn
        ):
            raise BackupSessionLost(
                f"{self._session.server}: backup_label does not describe the backup that was started",
                hint="take the backup again",
                label=label.decode("ascii", "replace"),
            )
        stop_lsn = Lsn.parse(stop)
        return StoppedBackup(
            stop_lsn=stop_lsn,
            timeline=timeline,
            stop_wal_segment=SegmentName.ending_at(timeline, stop_lsn, self._segment_bytes),
            backup_label=label,
            tablespace_map=tablespace_map,
            stopped_at=now,
        )

    def _require_started(self) -> StartedBackup:
        if self._started is None:
            raise RuntimeError("no backup was started in this session")
        return self._started

    def _refuse_promoted(self, started: StartedBackup) -> None:
        (is_standby,) = self._session.query_one("SELECT pg_is_in_recovery()")
        if started.is_standby and not is_standby:
            raise BackupSessionLost(
                f"{self._session.server} was promoted during the backup, which can't be used",
                hint="take the backup again, from the new primary",
            )

    def _lost(self, error: SeawallError) -> BackupSessionLost:
        if isinstance(error, BackupSessionLost):
            return error
        return BackupSessionLost(
            f"the backup's session was lost: {error.message}",
            hint="take the backup again; the server needs no cleaning up",
            cause=error.code,
        )


def _explain_refusal(error: StatementRefused) -> StatementRefused:
    """Replace the remedy where the server's reason is one of the known ones."""
    if error.fields.get("sqlstate") != _NOT_IN_PREREQUISITE_STATE:
        return error
    if "full_page_writes" in error.message:
        hint = "set full_page_writes = on at the primary and let the standby pass a restartpoint"
    else:
        hint = "ALTER SYSTEM SET wal_level = 'replica', then restart the server"
    return StatementRefused(error.message, hint=hint, **error.fields)
