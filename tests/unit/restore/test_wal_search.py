"""What the WAL says of the moment: where recovery stops, from which backup, and when it can not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory
from seawall.model.wal_name import SegmentName
from seawall.restore.errors import (
    TablespaceUnsafe,
    TargetBeforeBackup,
    TargetNotReady,
    TargetUnreachable,
    WalMissing,
)
from seawall.restore.planning.moment import AtLsn, AtName, AtTime, AtXid, Immediate, Latest, Moment
from seawall.restore.planning.plan import RestorePlan
from seawall.restore.planning.prove import ProvenPath
from seawall.restore.wal.fill import WalSurvey
from seawall.restore.wal.search import search, settle, tablespace_folders

TIME = datetime(2026, 11, 25, 10, tzinfo=UTC)
HOLE = SegmentName(1, 5, 1 << 20)


def plan(stop_lsn: int, hole: SegmentName | None = None) -> RestorePlan:
    """Return as much of a plan as a decision looks at."""
    store = SimpleNamespace(repository=SimpleNamespace(store=SimpleNamespace(url="memory:")))
    record = SimpleNamespace(id=f"b{stop_lsn}", stop_lsn=Lsn(stop_lsn))
    path = ProvenPath(TimelineHistory(1), (), Lsn(0), Lsn(1000), 1 << 20, hole)
    return cast("RestorePlan", SimpleNamespace(source=store, record=record, path=path))


def survey(moment: Moment, stops_at: int | None = None, consistent_at: int = 100) -> WalSurvey:
    found = WalSurvey(moment, Lsn(consistent_at), end_lsn=Lsn(1000))
    if stops_at is not None:
        found.stop(Lsn(stops_at))
    return found


def settled(
    found: WalSurvey, *, hole: SegmentName | None = None, has_record: bool = True
) -> tuple[Moment, list[str]]:
    notes: list[str] = []
    return settle(found, plan(100, hole), lambda lsn: has_record, notes), notes


@pytest.mark.parametrize("moment", [AtTime(TIME), AtXid(7), AtName("x")])
def test_a_moment_that_was_seen_is_told_as_it_is(moment: Moment) -> None:
    assert settled(survey(moment, 100)) == (moment, [])
    with pytest.raises(TargetBeforeBackup, match="consistent"):
        settled(survey(moment, 99))
    with pytest.raises(WalMissing):
        settled(survey(moment), hole=HOLE)


def test_danger_03_a_time_that_nothing_follows_is_everything() -> None:
    found, notes = settled(survey(AtTime(TIME)))
    assert found == Latest() and "no transaction after" in notes[0]


@pytest.mark.parametrize("moment", [AtXid(7), AtName("x")])
def test_what_is_nowhere_is_unreachable(moment: Moment) -> None:
    with pytest.raises(TargetUnreachable, match="is not in the WAL"):
        settled(survey(moment))


def test_a_position_behind_the_last_record_is_everything() -> None:
    moment = AtLsn(Lsn(900))
    assert settled(survey(moment)) == (moment, [])
    found, notes = settled(survey(moment), has_record=False)
    assert found == Latest() and "no record begins" in notes[0]


@pytest.mark.parametrize("moment", [Latest(), Immediate()])
def test_the_ends_need_no_search(moment: Moment) -> None:
    assert settled(survey(moment)) == (moment, [])


def test_the_first_stop_counts() -> None:
    found = survey(AtName("x"), 500)
    found.stop(Lsn(50))
    assert found.stops_at == 500 and found.reached


def test_a_search_goes_back_from_backup_to_backup_and_reads_nothing_twice() -> None:
    asked: list[tuple[int, int | None]] = []
    answers = {
        300: None,
        200: 150,
        100: 150,
    }  # the point is at 150: too early for the backup that ends at 200

    def read(candidate: RestorePlan, until: Lsn | None) -> WalSurvey:
        stop = int(candidate.record.stop_lsn)
        asked.append((stop, until))
        return survey(AtName("x"), answers[stop], consistent_at=stop)

    plans = [plan(300), plan(200), plan(100)]
    assert search(AtName("x"), iter(plans), read) is plans[2]
    assert asked == [(300, None), (200, 300), (100, 200)]
    with pytest.raises(TargetUnreachable, match="b200"):
        search(AtName("x"), plans[:2], read)
    with pytest.raises(WalMissing):
        search(AtXid(9), [plan(300, HOLE)], lambda candidate, until: survey(AtXid(9)))


def with_tablespace(moment: Moment, lsn: int, location: Any, stops_at: int | None = None) -> WalSurvey:
    found = survey(moment, stops_at)
    found.tablespaces.append((Lsn(lsn), 16384, str(location)))
    return found


def test_danger_01_only_what_is_replayed_can_harm(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    (live / "file").write_text("x")
    for found in (
        with_tablespace(Latest(), 500, live),
        with_tablespace(AtLsn(Lsn(500)), 500, live),
        with_tablespace(AtTime(TIME), 500, live, 501),
        with_tablespace(AtTime(TIME + timedelta(1)), 500, live),
    ):
        with pytest.raises(TablespaceUnsafe):
            tablespace_folders(found)
    for found in (
        with_tablespace(AtLsn(Lsn(499)), 500, live),
        with_tablespace(AtTime(TIME), 500, live, 499),
        with_tablespace(AtName("x"), 500, live, 499),
        with_tablespace(Immediate(), 500, live),
        with_tablespace(Latest(), 500, ""),
    ):
        assert tablespace_folders(found) == []
    assert tablespace_folders(with_tablespace(Latest(), 5, tmp_path / "new")) == [tmp_path / "new"]
    with pytest.raises(TargetNotReady, match="is a file"):
        tablespace_folders(with_tablespace(Latest(), 5, live / "file"))
