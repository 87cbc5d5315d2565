"""Durations and sizes: what people write is read exactly, what we show is short and never in e-notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.model.units import format_bytes, format_duration, parse_duration_s, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("1h30m", 5400),
        ("35d", 3_024_000),
        ("2w", 1_209_600),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("0s", 0),
    ],
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "1 h", "1h 30m", "15min", "1y", "1e3s", "1.s", "٣s", "m15"]
)
def test_refuses_other_durations_and_says_how_to_write_them(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and a unit: 30s, 15m"):
        parse_duration_s(text)


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59))
def test_parts_of_a_duration_add_up(days: int, hours: int, minutes: int) -> None:
    assert parse_duration_s(f"{days}d{hours}h{minutes}m") == days * 86400 + hours * 3600 + minutes * 60


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("512", 512),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("20GiB", 20 << 30),
        ("1.5 TiB", 3 << 39),
        ("4.35GB", 4_350_000_000),
        (" 16MiB ", 16 << 20),
    ],
)
def test_sizes_as_people_write_them(text: str, count: int) -> None:
    assert parse_size_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "-1GB", "1gb", "1 G", "1e9", "1,5GB", "٣GB", "1.5.5GB"])
def test_refuses_other_sizes_and_says_how_to_write_them(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and a unit: 512MiB"):
        parse_size_bytes(text)


@given(st.integers(0, 2**80))
def test_whole_sizes_are_exact_however_large(count: int) -> None:
    assert parse_size_bytes(str(count)) == count
    assert parse_size_bytes(f"{count}TiB") == count << 40


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1000 * 1024, "1000 KiB"),
        (1023 * 1024, "1023 KiB"),
        (1024 * 1024 - 1, "1 MiB"),
        (1_524_713_390, "1.42 GiB"),
        (50 << 40, "50 TiB"),
        (3 << 50, "3 PiB"),
    ],
)
def test_byte_counts_as_shown(count: int, shown: str) -> None:
    assert format_bytes(count) == shown


@given(st.integers(0, 1 << 59))
def test_a_shown_byte_count_reads_back_within_its_rounding(count: int) -> None:
    shown = format_bytes(count)
    assert "e" not in shown
    if not shown.endswith("PiB"):
        assert parse_size_bytes(shown) == pytest.approx(count, rel=0.005, abs=0.5)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (1e-6, "0 s"),
        (0.42, "0.42 s"),
        (0.0042, "0.0042 s"),
        (5.04, "5.0 s"),
        (9.97, "10 s"),
        (14.4, "14 s"),
        (59.6, "1 m 00 s"),
        (185, "3 m 05 s"),
        (3599.7, "1 h 00 m"),
        (7800, "2 h 10 m"),
        (273_600, "3 d 4 h"),
        (-90, "-1 m 30 s"),
    ],
)
def test_durations_as_shown(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


@given(st.floats(min_value=0, max_value=1e9))
def test_shown_durations_are_short_and_plain(seconds: float) -> None:
    shown = format_duration(seconds)
    assert len(shown) <= 12
    assert "e" not in shown
