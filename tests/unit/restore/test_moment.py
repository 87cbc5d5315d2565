"""Moments as people say them: every time is one instant in UTC, or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.model.lsn import Lsn
from seawall.restore.errors import TargetInvalid
from seawall.restore.planning.moment import (
    AtLsn,
    AtName,
    AtTime,
    AtXid,
    Immediate,
    Latest,
    Moment,
    parse_time,
    recovery_settings,
)

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-25 10:41:07+00", datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)),
        ("2026-11-25 10:41:07.25+01", datetime(2026, 11, 25, 9, 41, 7, 250000, tzinfo=UTC)),
        ("2026-11-25 10:41:07-05:30", datetime(2026, 11, 25, 16, 11, 7, tzinfo=UTC)),
        ("2026-11-25T10:41:07Z", datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)),
        ("2026-11-25 10:41:07 UTC", datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)),
        ("2026-11-25 10:41:07 utc", datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)),
        ("2026-11-25 10:41:07 +02", datetime(2026, 11, 25, 8, 41, 7, tzinfo=UTC)),
        ("2026-11-25 10:41:07", datetime(2026, 11, 25, 9, 41, 7, tzinfo=UTC)),
        ("2026-07-25 10:41", datetime(2026, 7, 25, 8, 41, tzinfo=UTC)),
        ("  2026-07-25  ", datetime(2026, 7, 24, 22, 0, tzinfo=UTC)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    assert parse_time(text, BERLIN) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "yesterday", "2026-13-01", "2026-11-25 25:00", "10:41", "+00", "Z", "0001-01-01 00:00+14"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TargetInvalid, match="is not a time"):
        parse_time(text, BERLIN)


def test_a_local_time_that_the_clocks_skipped_is_refused() -> None:
    with pytest.raises(TargetInvalid, match="did not exist"):
        parse_time("2026-03-29 02:30:00", BERLIN)


def test_a_local_time_that_came_twice_is_refused_with_both_offsets() -> None:
    with pytest.raises(TargetInvalid, match="happened twice") as caught:
        parse_time("2026-10-25 02:30:00", BERLIN)
    assert "+02:00" in caught.value.hint and "+01:00" in caught.value.hint
    assert parse_time("2026-10-25 02:30:00+02", BERLIN) != parse_time("2026-10-25 02:30:00+01", BERLIN)


def test_a_year_of_no_backup_is_refused() -> None:
    with pytest.raises(TargetInvalid, match="no time of any backup"):
        parse_time("0001-01-01 00:00", BERLIN)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(TargetInvalid, match="unknown time zone"):
        parse_time("2026-10-25 02:30:00", "Europe/Atlantis")


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)),
    st.sampled_from([BERLIN, "America/New_York", "UTC"]),
)
def test_every_local_time_is_one_instant_or_refused(local: datetime, zone: str) -> None:
    try:
        instant = parse_time(str(local), zone)
    except TargetInvalid:
        early, late = (local.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
        assert early.utcoffset() != late.utcoffset()
        return
    assert instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)),
    st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters)),
)
def test_a_written_offset_wins_over_the_zone(local: datetime, offset: timedelta) -> None:
    minutes = int(offset.total_seconds()) // 60
    sign = "-" if minutes < 0 else "+"
    text = f"{local}{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    assert parse_time(text, BERLIN) == (local - offset).replace(tzinfo=UTC)


@given(st.text(max_size=40))
def test_no_text_is_anything_but_a_time_or_refused(text: str) -> None:
    try:
        assert parse_time(text, BERLIN).tzinfo is UTC
    except TargetInvalid:
        pass


def test_settings_name_one_target() -> None:
    at = datetime(2026, 11, 25, 10, 41, 7, 5, tzinfo=ZoneInfo(BERLIN))
    cases: dict[Moment, dict[str, str]] = {
        Latest(): {},
        Immediate(): {"recovery_target": "immediate"},
        AtTime(at): {
            "recovery_target_time": "2026-11-25 09:41:07.000005+00",
            "recovery_target_inclusive": "on",
        },
        AtLsn(Lsn(0x5000028), False): {
            "recovery_target_lsn": "0/5000028",
            "recovery_target_inclusive": "off",
        },
        AtXid(77): {"recovery_target_xid": "77", "recovery_target_inclusive": "on"},
        AtName("it's"): {"recovery_target_name": "it's"},
    }
    for moment, settings in cases.items():
        assert recovery_settings(moment) == settings
        assert str(moment)
