"""Does the server hand its WAL away, and can the answer that it gets be believed?"""

from __future__ import annotations

from datetime import timedelta

from seawall.audit.facts import ClusterFacts
from seawall.audit.headline import is_elsewhere
from seawall.audit.masking import masked
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.audit.rules.scope import change, on_own_primary
from seawall.model.fact import Unknown, known
from seawall.model.units import format_bytes, format_duration
from seawall.model.wal_name import SegmentName
from seawall.postgres.health.facts import ServerHealth, WalState
from seawall.postgres.server_facts import ArchiverStatus

MANAGED_ARCHIVE = "the provider archives WAL itself, and doesn't show how"
_BEHIND_SEGMENTS = 4
"""A healthy archiver is one or two behind while it works; more means that it doesn't keep up, or hangs."""
_AT_WORK = timedelta(minutes=1)
_BURST_SEGMENTS = 64
HOW_TO_ARCHIVE = "an archiver made for it: seawall init URL prints the settings for `seawall wal push`"


def is_archiving(server: ServerHealth) -> bool:
    """Say whether the server hands segments to a command or library. Raises FactUnknown."""
    return server.settings.text("archive_mode") != "off"


def streams_away(server: ServerHealth) -> list[str]:
    """Return the WAL receivers that are no standbys: pg_receivewal, Barman, another archive."""
    if isinstance(server.receivers, Unknown):
        return []
    return [
        item.application for item in server.receivers if item.state == "streaming" and not item.is_standby
    ]


def _archive_is_off(server: ServerHealth) -> Verdict:
    mode = server.settings.text("archive_mode")
    if mode != "off":
        return passed(f"archive_mode is {mode}")
    streams = streams_away(server)
    if streams:
        return passed("WAL leaves the server by streaming instead", evidence=streams)
    return failed(
        "archive_mode is off, and nothing else takes the WAL away: a restore can reach the end of a backup, no "
        "moment after it",
        evidence=["archive_mode = off", f"wal_level = {server.settings.text('wal_level')}"],
        remedy=f"{change(server, 'archive_mode', 'on', restart=True)}; and {HOW_TO_ARCHIVE}",
    )


def _archive_has_no_target(server: ServerHealth) -> Verdict:
    if not is_archiving(server):
        return not_applicable("archive_mode is off")
    if command_of(server) or library_of(server):
        return passed("there is an archive_command or archive_library")
    return failed(
        "archiving is on without a command or library: WAL piles up in pg_wal until the disk is full",
        evidence=["archive_command = ''"],
        remedy=HOW_TO_ARCHIVE,
    )


def _library_silences_command(server: ServerHealth) -> Verdict:
    library, command = library_of(server), command_of(server)
    if not is_archiving(server) or not library:
        return not_applicable("no archive_library is set")
    shown = [f"archive_library = {library!r}", f"archive_command = {masked(command)!r}"]
    if command:
        what = (
            "archive_library wins: archive_command looks right and is never run"
            if server.identity.major == 15
            else "the server refuses to archive while both archive_library and archive_command are set"
        )
        remedy = f"keep one: {change(server, 'archive_library', '')}"
        return failed(what, evidence=shown, remedy=remedy)
    if library == "basic_archive" and not server.settings.values.get("basic_archive.archive_directory"):
        return failed(
            "basic_archive has no folder to archive into: WAL piles up",
            evidence=[*shown, "basic_archive.archive_directory = ''"],
            remedy=change(server, "basic_archive.archive_directory", "/mnt/archive"),
        )
    return passed(f"the library {library} archives, and no command stands beside it")


def _archiver_fails(server: ServerHealth) -> Verdict:
    """Positions decide, never ages: an idle server archives nothing, and is fine."""
    if not is_archiving(server):
        return not_applicable("archive_mode is off")
    wal = known(server.wal)
    archiver = known(wal.archiver)
    failing = _last_failure_is_open(archiver)
    behind = _segments_behind(wal, archiver)
    waiting = None if isinstance(wal.ready, Unknown) else wal.ready
    shown = _archiver_evidence(archiver, wal, waiting)
    if failing and (waiting is None or waiting > 0):
        return failed(
            f"the archiver fails on {archiver.last_failed_wal}, {archiver.failed_count} times by now: "
            "WAL stays in pg_wal, no recovery gets past it, and the disk fills",
            evidence=shown,
            remedy="the reason is in the server's log: grep 'archive command failed' there, repair it, "
            "then watch last_archived_wal move: SELECT * FROM pg_stat_archiver",
        )
    if behind is not None and waiting != 0 and behind > _allowed_behind(server, archiver):
        size = format_bytes(behind * wal.segment_bytes)
        return failed(
            f"the archive is {behind} segments ({size}) behind the server: archiving hangs or can't keep up",
            evidence=shown,
            severity=Severity.HIGH,
            remedy=(
                "see what the archiver waits for: ps -C postgres -o args | grep archiver; then the archive's "
                "own log"
            ),
        )
    if (
        behind is None
        and archiver.last_archived_wal is None
        and wal.last_finished is not None
        and waiting != 0
    ):
        return cannot_tell(
            "the archiver has reported nothing since its statistics began",
            "let one segment be archived: SELECT pg_switch_wal()",
            evidence=shown,
        )
    return passed("the archiver has handed over every segment that is finished, by position", evidence=shown)


def _allowed_behind(server: ServerHealth, archiver: ArchiverStatus) -> int:
    """A burst of writes may be ahead of an archiver that is visibly at work."""
    at = archiver.last_archived_at
    is_at_work = at is not None and server.identity.observed_at - at < _AT_WORK
    return _BURST_SEGMENTS if is_at_work else _BEHIND_SEGMENTS


def _archiver_evidence(archiver: ArchiverStatus, wal: WalState, waiting: int | None) -> list[str]:
    shown = [f"the server finished {wal.last_finished or 'no segment yet'} (position {wal.position})"]
    shown.append(f"last archived: {archiver.last_archived_wal or 'nothing'}")
    if archiver.last_failed_wal:
        shown.append(f"last failed: {archiver.last_failed_wal}, {archiver.failed_count} failures in all")
    if waiting is not None:
        shown.append(f"files that wait: {waiting}")
    return shown


def _last_failure_is_open(archiver: ArchiverStatus) -> bool:
    """Whether the newest event is a failure: what failed before the last success was repeated, and went well."""
    if archiver.last_failed_at is None:
        return False
    return archiver.last_archived_at is None or archiver.last_failed_at > archiver.last_archived_at


def _segments_behind(wal: WalState, archiver: ArchiverStatus) -> int | None:
    """Return by how many segments the archive is behind; None where the two can't be compared."""
    if wal.last_finished is None:
        return 0
    try:
        archived = SegmentName.parse(archiver.last_archived_wal or "", wal.segment_bytes)
    except ValueError:
        return None
    if archived.timeline > wal.timeline:
        return None
    return wal.last_finished.number - archived.number


def _archive_timeout(facts: ClusterFacts) -> Verdict:
    server = known(facts.primary)
    if not is_archiving(server):
        return not_applicable("archive_mode is off")
    timeout_s = server.settings.number("archive_timeout")
    shown = [f"archive_timeout = {timeout_s} s"]
    plan = facts.plan
    if isinstance(plan, Unknown):
        if timeout_s:
            return passed(
                f"a segment is archived at the latest after {format_duration(timeout_s)}", evidence=shown
            )
        return failed(
            "archive_timeout is 0: on a quiet server the last commits stay in an unfinished segment for ever",
            evidence=shown,
            remedy=change(server, "archive_timeout", "60s"),
        )
    rpo_s = plan.objectives.rpo_s
    shown.append(f"objectives.rpo = {format_duration(rpo_s)}")
    if 0 < timeout_s <= rpo_s:
        return passed(f"archive_timeout ({format_duration(timeout_s)}) is within the RPO", evidence=shown)
    wait = f"{format_duration(timeout_s)}" if timeout_s else "for ever"
    return failed(
        f"WAL may wait {wait} before it is archived; the RPO is {format_duration(rpo_s)}",
        evidence=shown,
        severity=None if _has_far_standby(server) else Severity.HIGH,
        remedy=change(server, "archive_timeout", f"{max(1, int(min(rpo_s, 60)))}s"),
    )


def _has_far_standby(server: ServerHealth) -> bool:
    """Whether commits leave the machine by replication as well, so that the archive is not the only way."""
    receivers = () if isinstance(server.receivers, Unknown) else server.receivers
    return any(item.is_standby and is_elsewhere(item, server) for item in receivers)


def _waits_for_restart(server: ServerHealth) -> Verdict:
    names = {"archive_mode", "wal_level", "max_wal_senders", "max_slot_wal_keep_size"}
    waiting = [name for name in server.settings.pending_restart if name in names]
    if not waiting:
        return passed("no setting of the archive waits for a restart")
    return failed(
        f"{' and '.join(waiting)} was changed and waits for a restart: what is in the file protects nothing yet",
        evidence=[f"{name} = {server.settings.values.get(name, 'not shown')} (in force)" for name in waiting],
    )


def command_of(server: ServerHealth) -> str:
    return server.settings.text("archive_command").strip()


def library_of(server: ServerHealth) -> str:
    return server.settings.values.get("archive_library", "").strip()


def _own_archive_timeout(facts: ClusterFacts) -> Verdict:
    judged = on_own_primary(MANAGED_ARCHIVE, lambda _: _archive_timeout(facts))(facts)
    assert isinstance(judged, Verdict)
    return judged


RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "wal-archive-off",
        Severity.CRITICAL,
        "No WAL leaves the server",
        "A backup without WAL brings back one moment: its own end. Whatever was committed since is gone.",
        Story(
            "GitLab lost six hours of data in January 2017. There was no archive of WAL, so the newest snapshot, "
            "taken by chance, "
            "could not be rolled forward.",
            "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
        ),
        "seawall init URL   # prints the settings for archiving, and changes nothing",
        on_own_primary(MANAGED_ARCHIVE, _archive_is_off),
    ),
    Rule(
        "wal-archive-without-target",
        Severity.CRITICAL,
        "Archiving is on, but goes nowhere",
        "PostgreSQL keeps every segment that was not archived. The disk fills, and then the server stops.",
        Story(
            "pgBackRest issue 2629: WAL that could not be archived filled the disk of a production server until it "
            "stopped.",
            "https://github.com/pgbackrest/pgbackrest/issues/2629",
        ),
        "seawall init URL   # prints an archive_command",
        on_own_primary(MANAGED_ARCHIVE, _archive_has_no_target),
    ),
    Rule(
        "wal-archive-library-silences-command",
        Severity.CRITICAL,
        "archive_library keeps archive_command from running",
        "In PostgreSQL 15 a library silently wins over a command; from 16 on the archiver refuses to work with both. "
        "Either way the command that everybody looks at is not what archives.",
        Story(
            "In PostgreSQL 15 the library overrode the command silently; 16 made it an error to set both "
            "(release notes of 16).",
            "https://www.postgresql.org/docs/16/release-16.html",
        ),
        "ALTER SYSTEM RESET archive_library; SELECT pg_reload_conf()",
        on_own_primary(MANAGED_ARCHIVE, _library_silences_command),
    ),
    Rule(
        "wal-archive-failing",
        Severity.CRITICAL,
        "The archiver fails or is behind",
        "Segments wait in pg_wal: they are lost with the server, and when the disk is full the server stops.",
        Story(
            "pgBackRest issue 2629: one segment that could not be archived blocked all that came after it, and pg_wal "
            "filled the disk.",
            "https://github.com/pgbackrest/pgbackrest/issues/2629",
        ),
        "SELECT * FROM pg_stat_archiver; and the server's log",
        on_own_primary(MANAGED_ARCHIVE, _archiver_fails),
    ),
    Rule(
        "wal-archive-timeout",
        Severity.MEDIUM,
        "Commits may wait in an unfinished segment longer than may be lost",
        "Only whole segments are archived. On a quiet server 16 MiB of WAL can take hours, and all of it is lost with "
        "the machine.",
        Story(
            "The documentation's own warning under archive_timeout: \"there could be a long delay between the "
            "completion "
            'of a transaction and its safe recording in archive storage".',
            "https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-ARCHIVE-TIMEOUT",
        ),
        "ALTER SYSTEM SET archive_timeout = '60s'; SELECT pg_reload_conf()",
        _own_archive_timeout,
    ),
    Rule(
        "wal-settings-wait-for-restart",
        Severity.HIGH,
        "Settings of the archive wait for a restart",
        "The configuration file shows archiving, the running server doesn't have it. Whoever reads the file "
        "believes it.",
        Story(
            "PostgreSQL shows such settings in pg_settings.pending_restart since 9.5, because a reload that changes "
            "nothing looks like one that did.",
            "https://www.postgresql.org/docs/current/view-pg-settings.html",
        ),
        "restart the server",
        on_own_primary(MANAGED_ARCHIVE, _waits_for_restart),
    ),
)
