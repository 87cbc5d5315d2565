"""Which backups can serve a moment, along which timeline: decided without any store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory, TimelineSwitch
from seawall.restore.errors import NoBackup, TargetBeforeBackup, TimelineUnknown
from seawall.restore.planning.choose import choose_history, rank_backups
from seawall.restore.planning.moment import CLOCK_DOUBT, AtLsn, AtTime, Immediate, Latest

BEGAN = datetime(2026, 11, 25, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Backup:
    id: str
    stop_lsn: int
    stopped_at: datetime
    timeline: int = 1

    @property
    def start_lsn(self) -> int:
        return self.stop_lsn - 10


def backup(number: int, timeline: int = 1) -> Backup:
    """Return backup ``number``, which ended at LSN 100 * number, ``number`` minutes after the beginning."""
    return Backup(f"b{number}-{timeline}", 100 * number, BEGAN + timedelta(minutes=number), timeline)


ONE = TimelineHistory(1)
TWO = TimelineHistory(2, (TimelineSwitch(1, Lsn(250)),))


def test_the_newest_backup_before_the_moment_comes_first() -> None:
    backups = [backup(n) for n in (1, 2, 3)]
    assert [b.id for b in rank_backups(backups, ONE, Latest())] == ["b3-1", "b2-1", "b1-1"]
    assert rank_backups(backups, ONE, AtLsn(Lsn(299)))[0].id == "b2-1"
    assert rank_backups(backups, ONE, AtLsn(Lsn(300)))[0].id == "b3-1"
    assert rank_backups(backups, ONE, AtTime(BEGAN + timedelta(minutes=2, seconds=30)))[0].id == "b2-1"


def test_a_backup_within_the_clocks_doubt_is_taken_only_where_there_is_no_earlier_one() -> None:
    at = AtTime(backup(2).stopped_at + CLOCK_DOUBT / 2)
    assert rank_backups([backup(1), backup(2)], ONE, at)[0].id == "b1-1"
    assert rank_backups([backup(2)], ONE, at)[0].id == "b2-1"
    with pytest.raises(TargetBeforeBackup):
        rank_backups([backup(2)], ONE, AtTime(backup(2).stopped_at - timedelta(microseconds=1)))


def test_a_backup_behind_the_switch_is_not_on_the_new_timeline() -> None:
    backups = [backup(1), backup(2), backup(3), backup(4, timeline=2)]
    assert [b.id for b in rank_backups(backups, TWO, Latest())] == ["b4-2", "b2-1", "b1-1"]
    assert [b.id for b in rank_backups(backups, ONE, Latest())] == ["b3-1", "b2-1", "b1-1"]


def test_no_backup_at_all_or_none_on_the_timeline() -> None:
    with pytest.raises(NoBackup, match="no complete backup"):
        rank_backups([], ONE, Latest())
    with pytest.raises(NoBackup, match="history of timeline 2"):
        rank_backups([backup(3)], TWO, Latest())


def test_a_moment_before_every_backup_names_the_earliest() -> None:
    with pytest.raises(TargetBeforeBackup, match=r"b2-1.*0/C8|b2-1"):
        rank_backups([backup(3), backup(2)], ONE, AtLsn(Lsn(150)))


@given(st.lists(st.integers(1, 50), min_size=1, unique=True), st.integers(0, 6000))
def test_whatever_is_ranked_ended_before_the_position(numbers: list[int], lsn: int) -> None:
    backups = [backup(n) for n in numbers]
    try:
        ranked = rank_backups(backups, ONE, AtLsn(Lsn(lsn)))
    except TargetBeforeBackup:
        assert all(b.stop_lsn > lsn for b in backups)
        return
    assert ranked == sorted((b for b in backups if b.stop_lsn <= lsn), key=lambda b: -b.stop_lsn)


def test_immediate_fits_every_backup() -> None:
    assert rank_backups([backup(1), backup(2)], ONE, Immediate())[0].id == "b2-1"


def test_the_newest_timeline_is_followed_unless_another_is_named() -> None:
    assert choose_history({2: TWO}, None) is TWO
    assert choose_history({}, None) == ONE
    assert choose_history({2: TWO}, 1) == ONE
    with pytest.raises(TimelineUnknown) as caught:
        choose_history({2: TWO}, 3)
    assert "1, 2" in caught.value.hint
