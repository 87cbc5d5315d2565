"""Lsn: the text form is PostgreSQL's, the value is a plain number of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.model.lsn import Lsn

positions = st.integers(min_value=0, max_value=2**64 - 1)


@given(positions)
def test_text_form_reads_back(position: int) -> None:
    assert Lsn.parse(str(Lsn(position))) == position


@given(positions, positions)
def test_order_and_distance_are_those_of_byte_positions(a: int, b: int) -> None:
    assert (Lsn(a) < Lsn(b)) == (a < b)
    assert Lsn(a) - Lsn(b) == a - b


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0/0", 0),
        ("16/B374D848", 0x16_B374D848),
        ("16/b374d848", 0x16_B374D848),
        ("00000016/0B374D84", 0x16_0B374D84),  # PostgreSQL 19 pads the low half
        ("FFFFFFFF/FFFFFFFF", 2**64 - 1),
        (" 1/2\n", 0x1_00000002),
    ],
)
def test_reads_what_postgresql_prints(text: str, position: int) -> None:
    assert Lsn.parse(text) == position


def test_prints_without_padding_as_pg_lsn_does() -> None:
    assert str(Lsn(0x1_00000002)) == f"{Lsn(0x1_00000002)}" == "1/2"
    assert repr(Lsn(0x1_00000002)) == "Lsn(1/2)"
    assert f"{Lsn(2):>6}" == "   0/2"


@pytest.mark.parametrize(
    "text", ["", "1", "1/", "/1", "1/2/3", "1/G", "123456789/0", "0/123456789", "-1/0", "1 /2"]
)
def test_refuses_what_is_not_an_lsn(text: str) -> None:
    with pytest.raises(ValueError, match="not an LSN"):
        Lsn.parse(text)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    try:
        position = Lsn.parse(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert 0 <= position < 2**64
