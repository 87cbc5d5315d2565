from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.repository.errors import FrameDamaged
from seawall.repository.format.extents import (
    EXTENT_BYTES,
    MAX_EXTENT_BYTES,
    Extent,
    ExtentKind,
    iter_extents,
    pack_extents,
)

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
data_extents = st.builds(
    lambda offset, end, pack, start, length, inner, digest: Extent(
        offset, end - min(inner, end), ExtentKind.DATA, 0, pack, start, length, min(inner, end), digest
    ),
    u64,
    st.integers(1, MAX_EXTENT_BYTES),
    u32,
    u64,
    u32,
    st.integers(0, MAX_EXTENT_BYTES),
    st.binary(min_size=16, max_size=16),
)
extents = st.one_of(data_extents, st.builds(Extent.zeros, u64, u32))


@given(st.lists(extents, max_size=20))
def test_extents_round_trip_in_52_bytes_each(items: list[Extent]) -> None:
    packed = pack_extents(items)
    assert len(packed) == EXTENT_BYTES * len(items)
    assert list(iter_extents(packed)) == items


@given(st.lists(extents, min_size=1, max_size=5), st.data())
def test_a_cut_list_is_damage(items: list[Extent], draw: st.DataObject) -> None:
    packed = pack_extents(items)
    cut = draw.draw(st.integers(1, len(packed) - 1).filter(lambda size: size % EXTENT_BYTES))
    with pytest.raises(FrameDamaged):
        list(iter_extents(packed[:cut]))


@pytest.mark.parametrize("position", [12, 13, 14, 15])
def test_what_a_later_format_may_add_is_refused_not_ignored(position: int) -> None:
    packed = bytearray(pack_extents([Extent.zeros(0, 8192)]))
    packed[position] = 2
    with pytest.raises(FrameDamaged):
        list(iter_extents(bytes(packed)))


def test_an_extent_that_leaves_its_frame_is_damage() -> None:
    beyond = Extent(0, MAX_EXTENT_BYTES, ExtentKind.DATA, 0, 0, 64, 100, 1, bytes(16))
    with pytest.raises(FrameDamaged):
        list(iter_extents(pack_extents([beyond])))


def test_the_layout_is_that_of_the_format_document() -> None:
    packed = pack_extents([Extent(1, 2, ExtentKind.DATA, 0, 3, 4, 5, 6, b"h" * 16)])
    numbers = (1, 8), (2, 4), (0, 1), (0, 1), (0, 2), (3, 4), (4, 8), (5, 4), (6, 4)
    assert packed == b"".join(value.to_bytes(size, "little") for value, size in numbers) + b"h" * 16
