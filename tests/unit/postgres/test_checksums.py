"""Page checksums against a plain reference, and which pages count as suspicious."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.postgres.files.checksums import BLOCK_SIZES, PageChecksummer
from tests.unit.postgres.reference_checksum import make_page, page_checksum, with_checksum

START, INSERT = 1000, 2000


def suspicious(pages: list[bytes], first_block: int = 0) -> list[int]:
    """Return what is suspicious among pages of 8 KiB."""
    found = PageChecksummer(8192).suspicious_pages(
        b"".join(pages), first_block, start_lsn=START, insert_lsn=INSERT
    )
    return [int(block) for block in found]


def page(block: int, lsn: int = 10) -> bytes:
    """Return a valid 8 KiB page."""
    return make_page(8192, block, lsn=lsn, filler=b"tuple")


def flip(raw: bytes, offset: int) -> bytes:
    """Return the bytes with one bit flipped."""
    return raw[:offset] + bytes([raw[offset] ^ 1]) + raw[offset + 1 :]


@pytest.mark.parametrize("block_bytes", BLOCK_SIZES)
def test_every_block_size_agrees_with_the_reference(block_bytes: int) -> None:
    pages = [bytes((i * 37 + b * 11) % 256 for i in range(block_bytes)) for b in range(3)]
    first = 131072 * 7 - 1
    found = PageChecksummer(block_bytes, tile_pages=2).checksums(b"".join(pages), first)
    assert found.tolist() == [page_checksum(raw, first + number) for number, raw in enumerate(pages)]


@settings(max_examples=25, deadline=None)
@given(raw=st.binary(min_size=1024, max_size=1024), block=st.integers(0, 2**32 - 1))
def test_any_bytes_agree_with_the_reference(raw: bytes, block: int) -> None:
    assert PageChecksummer(1024).checksums(raw, block).tolist() == [page_checksum(raw, block)]


def test_scratch_memory_of_an_earlier_tile_does_not_leak_into_a_shorter_one() -> None:
    checksummer = PageChecksummer(8192, tile_pages=4)
    pages = [page(block) for block in range(6)]
    expected = [page_checksum(raw, block) for block, raw in enumerate(pages)]
    assert checksummer.checksums(b"".join(pages), 0).tolist() == expected
    assert checksummer.checksums(pages[5], 5).tolist() == expected[5:]


def test_the_buffer_is_not_changed() -> None:
    raw = bytearray(page(3))
    before = bytes(raw)
    PageChecksummer(8192).suspicious_pages(raw, 3, start_lsn=START, insert_lsn=INSERT)
    assert raw == before


@pytest.mark.parametrize("offset", [0, 4, 7, 8, 9, 10, 24, 4096, 8191])
def test_a_flipped_bit_anywhere_is_suspicious(offset: int) -> None:
    pages = [page(40), flip(page(41), offset), page(42)]
    assert suspicious(pages, 40) == [41]


def test_a_page_at_another_blocks_place_is_suspicious() -> None:
    assert suspicious([page(0), page(0)]) == [1]


def test_zero_pages_are_fine_and_nearly_zero_ones_are_not() -> None:
    zeros = bytes(8192)
    assert suspicious([zeros, zeros]) == []
    assert suspicious([zeros, flip(zeros, 8000), zeros]) == [1]


def test_pages_written_since_the_start_are_left_to_the_replay() -> None:
    torn = flip(page(0, lsn=START), 5000)
    assert suspicious([torn]) == []
    assert suspicious([flip(page(0, lsn=START - 1), 5000)]) == [0]


def test_an_lsn_beyond_the_insert_position_is_damage_itself() -> None:
    assert suspicious([page(0, lsn=INSERT)]) == []
    assert suspicious([page(0, lsn=INSERT + 1)]) == [0]
    assert suspicious([page(0, lsn=1 << 40)]) == [0]


def test_the_upper_half_of_the_lsn_counts() -> None:
    high = page(0, lsn=(3 << 32) | 5)
    found = PageChecksummer(8192).suspicious_pages(
        flip(high, 6000), 0, start_lsn=(3 << 32) | 6, insert_lsn=4 << 32
    )
    assert found.tolist() == [0]


def test_a_new_page_with_a_recent_lsn_is_being_written() -> None:
    raw = bytearray(page(0, lsn=START + 5))
    raw[14:16] = b"\0\0"
    assert suspicious([with_checksum(bytes(raw), 0)]) == []


def test_parts_of_pages_and_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="whole pages"):
        PageChecksummer(8192).checksums(bytes(8191), 0)
    with pytest.raises(ValueError, match="whole pages"):
        PageChecksummer(8192).checksums(bytes(4096), 0)
    with pytest.raises(ValueError, match="no pages of 512"):
        PageChecksummer(512)


def test_an_empty_buffer_has_no_suspicious_pages() -> None:
    assert suspicious([]) == []
