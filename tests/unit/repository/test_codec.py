from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.repository.errors import FrameDamaged
from seawall.repository.format.codec import CompressionPolicy, Compressor, decompress


@given(st.lists(st.binary(max_size=3000), max_size=4), st.integers(1, 3))
def test_a_reused_compressor_round_trips_every_frame(pieces: list[bytes], level: int) -> None:
    compressor = Compressor(CompressionPolicy(level=level))
    for piece in pieces:
        assert decompress(compressor.compress(memoryview(piece)), len(piece)) == piece


@pytest.mark.parametrize("size", [0, 1, 4095, 256 << 10, 1 << 20])
@pytest.mark.parametrize("is_random", [True, False])
def test_boundary_sizes_round_trip(size: int, is_random: bool) -> None:
    data = os.urandom(size) if is_random else bytes(size)
    assert decompress(Compressor().compress(data), size) == data


@given(st.binary(min_size=1, max_size=500), st.integers(1, 400))
def test_a_wrong_length_is_damage_not_a_short_answer(data: bytes, difference: int) -> None:
    compressed = Compressor().compress(data)
    for wrong in (len(data) - 1, len(data) + difference):
        with pytest.raises(FrameDamaged):
            decompress(compressed, wrong)


@given(st.binary(max_size=500), st.data())
def test_cut_or_continued_input_is_damage(data: bytes, draw: st.DataObject) -> None:
    compressed = Compressor().compress(data)
    cut = draw.draw(st.integers(0, len(compressed) - 1))
    with pytest.raises(FrameDamaged):
        decompress(compressed[:cut], len(data))
    with pytest.raises(FrameDamaged):
        decompress(compressed + b"\0", len(data))


def test_a_bomb_is_refused_without_unpacking_it() -> None:
    with pytest.raises(FrameDamaged):
        decompress(Compressor().compress(bytes(1 << 24)), 1 << 16)


@given(st.binary(max_size=300))
def test_garbage_is_damage(garbage: bytes) -> None:
    with pytest.raises(FrameDamaged):
        decompress(garbage, 100)
