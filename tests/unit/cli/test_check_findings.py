"""The judgements of ``seawall check``, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.cli.check_findings import (
    Finding,
    Verdict,
    judge_archived,
    judge_archiving,
    judge_clock,
    judge_databases,
    judge_lock,
    judge_repository_space,
    judge_wal_space,
    last_finished_segment,
)
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.server_facts import ArchiveSettings, DatabaseReport, Locale
from seawall.storage.protocol import LockState, ObjectLock

PLAN = Path("/etc/seawall/plan.yaml")
GOOD = f'/usr/bin/seawall wal push --plan {PLAN} --cluster main "%p"'
SEGMENT_BYTES = 16 << 20


def judged(command: str, *, mode: str = "on", library: str = "", pending: tuple[str, ...] = ()) -> Finding:
    settings = ArchiveSettings(mode, command, library, 60)
    [finding] = judge_archiving("main", settings, pending, plan=PLAN, cluster="main")
    return finding


@pytest.mark.parametrize(
    "command",
    [
        GOOD,
        GOOD.replace('"%p"', "%p"),
        f"/usr/bin/seawall wal push --plan={PLAN} %p",
        f"/usr/bin/seawall-wal push --plan {PLAN} --cluster main %p",
        f"cd /tmp && {GOOD}",
        GOOD.replace("/usr/bin", "'/opt/sea wall/100%%'"),
    ],
)
def test_a_command_that_hands_wal_to_this_plan_is_good(command: str) -> None:
    assert judged(command).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("", "does not run"),
        ("cp %p /archive/%f", "does not run"),
        ("/bin/true", "does not run"),
        (f"{GOOD} || exit 0", "'||'"),
        (f"{GOOD}; true", "';'"),
        (f"{GOOD} | logger", "'|'"),
        (f"{GOOD} &", "'&'"),
        ('seawall wal push "%p"', "no plan"),
        ('seawall wal push --plan /other.yaml "%p"', "another plan"),
        (GOOD.replace("main", "other"), "another cluster"),
        (GOOD.replace(' "%p"', ""), "%p"),
        (GOOD + " '", "quotes"),
    ],
)
def test_a_command_that_loses_wal_is_found(command: str, says: str) -> None:
    """Danger 6: pg_stat_archiver stays perfect while WAL is thrown away."""
    finding = judged(command)
    assert finding.verdict is Verdict.FAILED and says in finding.text and finding.remedy


def test_archiving_that_is_off_waiting_or_elsewhere_is_found() -> None:
    """Danger 7: archive_library wins over archive_command."""
    assert "off" in judged(GOOD, mode="off").text
    assert "restart" in judged(GOOD, mode="off", pending=("archive_mode",)).text
    assert "archive_library" in judged(GOOD, library="basic_archive").text
    assert judged(GOOD, pending=("max_connections",)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("position", "number"),
    [(0x1000028, None), (0x1FFFFFF, None), (0x2000000, 1), (0x2FFFFFF, 1), (0x3000000, 2)],
)
def test_the_last_finished_segment_ends_at_or_below_the_position(position: int, number: int | None) -> None:
    segment = last_finished_segment(1, Lsn(position), SEGMENT_BYTES)
    assert (segment.number if segment else None) == number
    assert segment is None or segment.end <= position < segment.next().end


def segment(number: int) -> SegmentName:
    return SegmentName(1, number, SEGMENT_BYTES)


@pytest.mark.parametrize(
    ("finished", "archived", "required", "verdict"),
    [
        (None, None, True, Verdict.OK),
        (5, 5, True, Verdict.OK),
        (5, 6, True, Verdict.OK),
        (5, 4, True, Verdict.FAILED),
        (5, 4, False, Verdict.WARNING),
        (5, None, True, Verdict.FAILED),
        (5, None, False, Verdict.WARNING),
    ],
)
def test_positions_are_compared_not_ages(
    finished: int | None, archived: int | None, required: bool, verdict: Verdict
) -> None:
    """Danger 4: an idle server archives nothing, and that is no fault."""
    finding = judge_archived(
        "near",
        segment(finished) if finished is not None else None,
        segment(archived) if archived is not None else None,
        is_required=required,
    )
    assert finding.verdict is verdict


def test_databases_that_refuse_and_collations_that_changed_are_found() -> None:
    changed = Locale("libc", "de_DE", "2.31", "2.36")
    findings = judge_databases(
        "main",
        [
            DatabaseReport("shop", locales=(changed,)),
            DatabaseReport("moved", refusal="no locale", remedy="install it"),
            DatabaseReport("template0", refusal="closed", is_meant_to_refuse=True),
        ],
    )
    assert [finding.verdict for finding in findings] == [Verdict.OK, Verdict.WARNING, Verdict.FAILED]
    assert findings[0].text == "1 database(s) answer"


@pytest.mark.parametrize(
    ("offset_s", "verdict"),
    [
        (0.1, Verdict.OK),
        (-1.9, Verdict.OK),
        (-2.0, Verdict.WARNING),
        (59, Verdict.WARNING),
        (-60, Verdict.FAILED),
    ],
)
def test_clocks_that_disagree_are_found(offset_s: float, verdict: Verdict) -> None:
    assert judge_clock("main", offset_s).verdict is verdict


def test_space_is_judged_by_what_would_fill_it() -> None:
    assert judge_repository_space("near", 50, 100).verdict is Verdict.OK
    assert judge_repository_space("near", 49, 100).verdict is Verdict.WARNING
    day = 86400
    assert judge_wal_space("main", 1000 * day, 1000).verdict is Verdict.OK
    short = judge_wal_space("main", 1000 * day - 1000, 1000)
    assert short.verdict is Verdict.WARNING and "after its archive does" in short.text
    assert judge_wal_space("main", 0, 0.0).verdict is Verdict.OK


DAY_S = 86_400.0
UNKNOWN = ObjectLock(LockState.UNKNOWN, "boto3 is not installed", "pip install boto3")
NONE = ObjectLock(LockState.NO, "a folder has none")
EMPTY = ObjectLock(LockState.YES)
WEEK = ObjectLock(LockState.YES, mode="COMPLIANCE", retention_s=7 * 86_400)


@pytest.mark.parametrize(
    ("lock", "declared_s", "verdict"),
    [
        (UNKNOWN, None, Verdict.OK),
        (NONE, None, Verdict.OK),
        (EMPTY, None, Verdict.OK),
        (WEEK, None, Verdict.OK),
        (UNKNOWN, DAY_S, Verdict.WARNING),
        (NONE, DAY_S, Verdict.FAILED),
        (EMPTY, DAY_S, Verdict.FAILED),
        (WEEK, DAY_S, Verdict.OK),
        (WEEK, 7 * DAY_S, Verdict.OK),
        (WEEK, 7 * DAY_S + 1, Verdict.FAILED),
    ],
)
def test_a_lock_is_judged_by_what_the_plan_declares(
    lock: ObjectLock, declared_s: float | None, verdict: Verdict
) -> None:
    found = judge_lock("far", lock, declared_s, url="s3://bucket/x")
    assert found.verdict is verdict
    assert bool(found.remedy) == (verdict is not Verdict.OK)
    assert ("cannot tell" in found.text) == (lock is UNKNOWN)


def test_a_longer_lock_keeps_the_mode_and_names_whole_days() -> None:
    found = judge_lock("far", WEEK, 7 * DAY_S + 1, url="s3://bucket/x?region=eu-west-1")
    assert "--bucket bucket " in found.remedy
    assert '"Mode": "COMPLIANCE"' in found.remedy and '"Days": 8' in found.remedy
