"""What ``seawall check`` thinks of what it saw: pure judgements, each with the remedy.

A failure keeps the plan from holding; a warning is a person's to weigh. Positions are compared, never
ages: an idle server archives nothing, and a busy archiver that throws WAL away looks perfect in
pg_stat_archiver.
"""

from __future__ import annotations

import enum
import json
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from seawall.cli.lock_words import describe_lock
from seawall.model.errors import SeawallError
from seawall.model.lsn import Lsn
from seawall.model.units import format_bytes, format_duration
from seawall.model.wal_name import SegmentName
from seawall.postgres.server_facts import ArchiveSettings, DatabaseReport
from seawall.postgres.wal_program import WAL_PROGRAM
from seawall.storage.protocol import LockState, ObjectLock

_LOSES_STATUS = ("||", "|", ";", "&")
_CLOCK_WARNING_S = 2.0
_CLOCK_FAILURE_S = 60.0
_SPACE_WARNING_HOURS = 24.0


class Verdict(enum.Enum):
    """How much a finding weighs."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``subject`` is the cluster or repository that it is about."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    return Finding(subject, Verdict.OK, text)


def failed(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, Verdict.FAILED, text, remedy)


def warning(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, Verdict.WARNING, text, remedy)


def failed_with(subject: str, error: SeawallError) -> Finding:
    """Report an error that kept something from being looked at."""
    return failed(subject, error.message, error.hint)


def judge_archiving(
    subject: str, archive: ArchiveSettings, pending_restart: Sequence[str], *, plan: Path, cluster: str
) -> list[Finding]:
    """Judge whether the server hands its WAL to this plan's cluster and heeds the answer."""
    remedy = "seawall init prints the exact settings (and changes them with --apply)"
    waiting = [name for name in ("archive_mode", "wal_level") if name in pending_restart]
    if waiting:
        return [failed(subject, f"{' and '.join(waiting)} waits for a restart", "restart the server")]
    if archive.mode == "off":
        return [failed(subject, "archive_mode is off: no WAL is archived", remedy)]
    if archive.module:
        text = f"archive_library is {archive.module!r}, so archive_command is not used"
        return [failed(subject, text, "ALTER SYSTEM SET archive_library = ''; SELECT pg_reload_conf()")]
    trouble = _trouble_in_command(archive.command, plan=plan, cluster=cluster)
    if trouble:
        return [failed(subject, f"archive_command {trouble}: {archive.command}", remedy)]
    return [ok(subject, f"archive_command hands WAL to {plan}")]


def _trouble_in_command(command: str, *, plan: Path, cluster: str) -> str:
    """Return what is wrong with an archive_command, or "" (danger 6: failures that are thrown away)."""
    words = _words(command)
    if words is None:
        return "can't be understood (quotes)"
    pushes = (
        (words[at + 1 : at + 2] == ["push"] and Path(word).name == WAL_PROGRAM)
        or (words[at + 1 : at + 3] == ["wal", "push"] and Path(word).name == "seawall")
        for at, word in enumerate(words)
    )
    if not any(pushes):
        return "does not run `seawall wal push`"
    swallowing = [word for word in words if word in _LOSES_STATUS]
    if swallowing:
        return f"can hide a failure behind {swallowing[0]!r}"
    named = _option(words, "--plan")
    if named is None or Path(named).resolve() != plan.resolve():
        return f"names {'no plan' if named is None else 'another plan'} (this one is {plan})"
    if _option(words, "--cluster") not in (None, cluster):
        return f"names another cluster than {cluster}"
    if "%p" not in command:
        return "does not pass on %p"
    return ""


def _words(command: str) -> list[str] | None:
    lexer = shlex.shlex(command.replace("%%", "%"), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return None


def _option(words: Sequence[str], name: str) -> str | None:
    for index, word in enumerate(words):
        if word == name and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return None


def last_finished_segment(timeline: int, position: Lsn, segment_bytes: int) -> SegmentName | None:
    """Return the newest segment that is complete at ``position``; None if none is yet.

    initdb begins with segment 1; there is no segment 0 (BootStrapXLOG).
    """
    number = position // segment_bytes - 1
    return SegmentName(timeline, number, segment_bytes) if number >= 1 else None


def judge_archived(
    subject: str, finished: SegmentName | None, archived: SegmentName | None, *, is_required: bool
) -> Finding:
    """Judge how far a repository's WAL is behind the server, in segments."""
    grade = failed if is_required else warning
    remedy = "see the server's log and pg_stat_archiver for the reason, then: seawall check"
    if finished is None:
        return ok(subject, "the server has not finished a WAL segment yet")
    if archived is None:
        return grade(subject, f"no WAL of timeline {finished.timeline} is here; {finished} should be", remedy)
    behind = finished.number - archived.number
    if behind <= 0:
        return ok(subject, f"WAL is here up to {archived}, all that the server has finished")
    size = format_bytes(behind * finished.segment_bytes)
    text = f"WAL is {behind} segment(s) ({size}) behind: here is {archived}, the server finished {finished}"
    return grade(subject, text, remedy)


def judge_databases(subject: str, reports: Iterable[DatabaseReport]) -> list[Finding]:
    """Judge which databases can be used at all, and which collations changed under their indexes."""
    findings: list[Finding] = []
    answering = 0
    for report in reports:
        if report.answers:
            answering += 1
        elif not report.is_meant_to_refuse:
            text = f"database {report.name} refuses: {report.refusal}"
            findings.append(failed(subject, text, report.remedy))
        changed = sorted({locale.name for locale in report.locales if locale.has_changed})
        if changed:
            text = f"database {report.name}: the collation {', '.join(changed)} changed since it was made"
            remedy = "REINDEX what uses it, then ALTER COLLATION … REFRESH VERSION"
            findings.append(warning(subject, text, remedy))
    return [ok(subject, f"{answering} database(s) answer"), *findings]


def judge_clock(subject: str, offset_s: float) -> Finding:
    """Judge how far the server's clock is from this machine's: targets in time depend on both."""
    text = f"the server's clock is {format_duration(abs(offset_s))} {'ahead' if offset_s > 0 else 'behind'}"
    remedy = "let both machines follow the same time servers (chrony, systemd-timesyncd)"
    if abs(offset_s) >= _CLOCK_FAILURE_S:
        return failed(subject, text, remedy)
    if abs(offset_s) >= _CLOCK_WARNING_S:
        return warning(subject, text, remedy)
    return ok(subject, "the server's clock agrees with this machine's")


def judge_lock(
    subject: str, lock: ObjectLock, declared_s: float | None, *, url: str, endpoint: str | None = None
) -> Finding:
    """Judge the store's lock by what the plan declares; a question without an answer is never a yes."""
    said = describe_lock(lock)
    if declared_s is None:
        return ok(subject, said + (", and the plan asks for none" if lock.state is not LockState.YES else ""))
    wanted = f"the plan declares a lock of {format_duration(declared_s)}"
    if lock.state is LockState.UNKNOWN:
        return warning(subject, f"{said} ({wanted})", lock.remedy)
    if lock.state is LockState.NO:
        return failed(subject, f"{said}, but {wanted}", lock.remedy or "take `lock:` out of the plan")
    if (lock.retention_s or 0) < declared_s:
        return failed(subject, f"{said}, but {wanted}", _longer_lock(url, endpoint, lock, declared_s))
    if lock.mode == "GOVERNANCE":
        return ok(subject, f"{said}; a special permission bypasses it")
    return ok(subject, said)


def _longer_lock(url: str, endpoint: str | None, lock: ObjectLock, declared_s: float) -> str:
    """Return the command that sets a bucket's default retention to at least what the plan declares."""
    rule = {"Mode": lock.mode or "COMPLIANCE", "Days": math.ceil(declared_s / 86_400)}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": rule}}
    server = f"--endpoint-url {shlex.quote(endpoint)} " if endpoint else ""
    return (
        f"aws s3api put-object-lock-configuration {server}--bucket {urlsplit(url).netloc} "
        f"--object-lock-configuration {shlex.quote(json.dumps(configuration))}"
    )


def judge_repository_space(subject: str, free_bytes: int, cluster_bytes: int) -> Finding:
    """Judge whether the next full backup fits beside those that are there."""
    text = f"{format_bytes(free_bytes)} free for a cluster of {format_bytes(cluster_bytes)}"
    if free_bytes < cluster_bytes // 2:
        return warning(
            subject, text, "make room: a full backup may need as much as the cluster, uncompressed"
        )
    return ok(subject, text)


def judge_wal_space(subject: str, free_bytes: int, wal_bytes_per_s: float) -> Finding:
    """Judge how long the server can run while no repository takes its WAL."""
    if wal_bytes_per_s <= 0:
        return ok(subject, f"{format_bytes(free_bytes)} free beside the WAL")
    seconds = free_bytes / wal_bytes_per_s
    text = (
        f"{format_bytes(free_bytes)} free beside the WAL: at its average rate the server stops "
        f"{format_duration(seconds)} after its archive does"
    )
    if seconds < _SPACE_WARNING_HOURS * 3600:
        return warning(subject, text, "make room on the file system of pg_wal")
    return ok(subject, text)
