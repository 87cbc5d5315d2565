"""What a drill decides without a server: moments, what is due, which backup, what is lost, a forecast, holes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from seawall.drill.errors import DrillMissing, DrillSourceMissing
from seawall.drill.isolation import JOB_LIBRARIES, without_jobs
from seawall.drill.ledger import drills_in, find_drill, judge_due
from seawall.drill.measure import Goals, SourceMark, forecast, lost_s
from seawall.drill.moments import MomentWish
from seawall.drill.sources.archived import ForeignBackup, choose_backup, hole_before
from seawall.evidence.keys import SigningKey
from seawall.evidence.ledger import Ledger
from seawall.evidence.model import Assertion, AssertionOutcome, DrillEvidence, Note, Phase, Source, judge
from seawall.evidence.places import place_in
from seawall.model.clock import SystemClock
from seawall.model.lsn import Lsn
from seawall.plan.crosscheck.due import last_start, next_start
from seawall.storage.memory import MemoryStore

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SEGMENT = 16 << 20


def test_a_random_moment_lies_in_its_window_and_follows_its_seed() -> None:
    drawn = [MomentWish.random(seed).within(NOON, NOON + HOUR) for seed in range(200)]
    assert drawn == [MomentWish.random(seed).within(NOON, NOON + HOUR) for seed in range(200)]
    assert len(set(drawn)) > 150
    assert all(at is not None and NOON < at <= NOON + HOUR for at in drawn)
    assert MomentWish.latest().within(NOON, NOON + HOUR) is None
    assert MomentWish.random().seed != MomentWish.random().seed
    assert MomentWish.random(7).words(NOON) == "2026-11-25 12:00:00 UTC (random, seed 7)"
    assert MomentWish.random(7).within(NOON, NOON) is None, "no other moment is there yet"
    assert MomentWish.random(7).words(None) == "latest (random, seed 7)"


def test_timetables_are_read_in_the_plans_zone() -> None:
    monday_5 = "0 5 * * mon"
    before, after = last_start(monday_5, "Europe/Berlin", NOON), next_start(monday_5, "Europe/Berlin", NOON)
    assert before == datetime(2026, 11, 23, 4, tzinfo=UTC)
    assert after == datetime(2026, 11, 30, 4, tzinfo=UTC)


def _drill(cluster: str, at: datetime, outcome: AssertionOutcome = AssertionOutcome.PASSED) -> DrillEvidence:
    assertions = (Assertion(name="restored and started", outcome=outcome),)
    return DrillEvidence(
        drill=f"{cluster}-{at:%H}",
        scenario="a test",
        source=Source(tool="seawall", location="here", cluster=cluster),
        outcome=judge(assertions),
        started_at=at,
        ended_at=at + timedelta(minutes=1),
        assertions=assertions,
    )


def _ledger(*drills: DrillEvidence) -> Ledger:
    ledger, key = Ledger(place_in(MemoryStore()), clock=SystemClock()), SigningKey.generate()
    for drill in drills:
        ledger.append(drill, key)
    ledger.append(Note(text="looked at"), key)
    return ledger


@pytest.mark.parametrize(
    ("drills", "is_due", "reason"),
    [
        ([], True, "none was ever held"),
        ([_drill("main", NOON)], False, "passed"),
        ([_drill("main", NOON, AssertionOutcome.FAILED)], False, "failed"),
        ([_drill("main", NOON, AssertionOutcome.COULD_NOT_RUN)], True, "none was ever held"),
        ([_drill("other", NOON)], True, "none was ever held"),
        ([_drill("main", NOON - 2 * HOUR)], True, "scheduled for 2026-11-25 11:00 UTC"),
        ([_drill("main", NOON - 2 * HOUR), _drill("main", NOON)], False, "12:00"),
    ],
)
def test_a_drill_is_due_until_one_was_held_to_its_end(
    drills: list[DrillEvidence], is_due: bool, reason: str
) -> None:
    due = judge_due(
        _ledger(*drills),
        "main",
        last_start=NOON - HOUR,
        next_start=NOON + HOUR,
        remind_s=None,
        now=NOON + timedelta(minutes=5),
    )
    assert due.is_due is is_due and reason in due.reason
    assert due.next_at == NOON + HOUR


def test_a_reminder_counts_from_the_last_drill_and_no_timetable_is_none() -> None:
    ledger = _ledger(_drill("main", NOON))
    for now, remind_s, is_due in ((HOUR, 3601.0, False), (2 * HOUR, 3601.0, True), (2 * HOUR, None, False)):
        due = judge_due(ledger, "main", last_start=None, next_start=None, remind_s=remind_s, now=NOON + now)
        assert due.is_due is is_due


def test_drills_are_found_by_id_and_number() -> None:
    ledger = _ledger(_drill("main", NOON), _drill("main", NOON + HOUR))
    assert [item.number for item in drills_in(ledger)] == [3, 2]
    assert find_drill(ledger, None).number == 3
    assert find_drill(ledger, "2").evidence.drill == find_drill(ledger, "main-12").evidence.drill == "main-12"
    for wanted in ("4", "main-14"):
        with pytest.raises(DrillMissing):
            find_drill(ledger, wanted)


@pytest.mark.parametrize(
    ("primary_xid", "at", "expected"),
    [
        (100, NOON - HOUR, 0.0),  # nothing was begun since, however long ago that was
        (101, NOON - HOUR, 3600.0),
        (None, NOON - HOUR, 3600.0),
        (101, None, None),
        (101, NOON + HOUR, 0.0),  # a clock that runs ahead loses nothing
    ],
)
def test_what_is_lost(primary_xid: int | None, at: datetime | None, expected: float | None) -> None:
    primary = None if primary_xid is None else SourceMark(primary_xid, 1, 0)
    assert lost_s(NOON, at, primary, SourceMark(100, 2, 0), is_physical=True) == expected


def test_a_dump_has_other_transactions_than_its_source() -> None:
    newer = SourceMark(5, 1, 0)
    assert lost_s(NOON, NOON - HOUR, newer, SourceMark(100, 1, 0), is_physical=False) == 3600.0


def test_a_forecast_is_in_proportion_and_only_for_what_is_larger() -> None:
    phases = [Phase(name="decide", elapsed_ms=100), Phase(name="restore", elapsed_ms=2000)]
    phases.append(Phase(name="check", elapsed_ms=9000))
    found = forecast(Goals(detection_s=3.0, full_bytes=10_000), None, phases, 1000)
    assert found is not None and found.rto_ms == 3000 + 100 + 20_000
    assert forecast(Goals(full_bytes=1050), None, phases, 1000) is None
    assert forecast(Goals(), SourceMark(1, 1, 3000), phases, 1000) is not None
    assert forecast(Goals(full_bytes=5), None, phases, 0) is None


def test_the_newest_backup_before_the_moment_is_chosen() -> None:
    backups = [ForeignBackup(str(n), NOON + n * HOUR, 1, 15, "1") for n in range(3)]
    assert choose_backup(backups, None).id == "2"
    assert choose_backup(backups, NOON + timedelta(minutes=90)).id == "1"
    assert choose_backup(backups, NOON + HOUR).id == "0", "clocks are not trusted to the second"
    with pytest.raises(DrillSourceMissing):
        choose_backup(backups, NOON)


def test_a_hole_is_where_replay_ended_before_the_archive_does() -> None:
    last = "00000001000000000000000A"
    assert hole_before(last, Lsn(0x0A000028), SEGMENT) == ""
    assert hole_before(last, Lsn(0x0B000028), SEGMENT) == "", "more was archived since the drill began"
    assert last in hole_before(last, Lsn(0x09FFFFF8), SEGMENT)


def test_libraries_that_run_jobs_are_left_out() -> None:
    assert without_jobs("") == ("", [])
    assert without_jobs("pg_stat_statements, pg_cron") == ("pg_stat_statements", ["pg_cron"])
    assert without_jobs('"$libdir/pg_cron.so",timescaledb') == ("timescaledb", ["$libdir/pg_cron.so"])
    assert "pg_stat_statements" not in JOB_LIBRARIES
