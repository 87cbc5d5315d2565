from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.repository.errors import FrameDamaged
from seawall.repository.format.codec import Codec, Compressor
from seawall.repository.format.crypto import CryptoContext
from seawall.repository.format.frames import (
    HEADER_BYTES,
    MAX_RAW_BYTES,
    Frame,
    FrameContent,
    FrameHeader,
    ObjectKind,
    ObjectOpener,
    ObjectSealer,
    open_object,
)

KEY = "clusters/main/7/backups/b/pack/p"
ENCRYPTED = CryptoContext(b"r" * 16, b"m" * 32)
PLAIN = CryptoContext(b"r" * 16, None)
contexts = pytest.mark.parametrize("context", [ENCRYPTED, PLAIN], ids=["encrypted", "plain"])
payloads = st.lists(st.tuples(st.binary(max_size=200), st.sampled_from(Codec)), min_size=1, max_size=4)


def seal(context: CryptoContext, pieces: list[tuple[bytes, Codec]], *, last: bool = True) -> bytes:
    sealer = ObjectSealer(context, ObjectKind.PACK, KEY)
    parts = [sealer.header]
    for number, (piece, codec) in enumerate(pieces, start=1):
        stored = Compressor().compress(piece) if codec is Codec.ZSTD else piece
        parts.append(sealer.seal(stored, len(piece), codec=codec, is_last=last and number == len(pieces)))
    return b"".join(parts)


def read(
    context: CryptoContext, data: bytes, key: str = KEY, kind: ObjectKind = ObjectKind.PACK
) -> list[Frame]:
    return list(open_object(context, kind, key, data))


@contexts
@given(pieces=payloads)
def test_frames_round_trip(context: CryptoContext, pieces: list[tuple[bytes, Codec]]) -> None:
    frames = read(context, seal(context, pieces))
    assert [frame.payload for frame in frames] == [piece for piece, _ in pieces]
    assert [frame.is_last for frame in frames] == [False] * (len(pieces) - 1) + [True]


@contexts
@given(pieces=payloads, draw=st.data())
@settings(max_examples=60)
def test_any_flipped_bit_or_cut_or_tail_is_damage(
    context: CryptoContext, pieces: list[tuple[bytes, Codec]], draw: st.DataObject
) -> None:
    data = bytearray(seal(context, pieces))
    with pytest.raises(FrameDamaged):
        read(context, bytes(data[: draw.draw(st.integers(0, len(data) - 1))]))
    with pytest.raises(FrameDamaged):
        read(context, bytes(data) + b"\0")
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameDamaged):
        read(context, bytes(data))


@contexts
def test_every_bit_of_a_small_object_counts(context: CryptoContext) -> None:
    whole = seal(context, [(b"first", Codec.ZSTD), (b"second", Codec.STORED)])
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameDamaged):
            read(context, bytes(data))


@contexts
@pytest.mark.parametrize(
    "misread",
    [
        lambda context, data: read(context, data, key=KEY + "x"),
        lambda context, data: read(context, data, kind=ObjectKind.WAL),
        lambda context, data: read(
            CryptoContext(b"s" * 16, b"m" * 32 if context.is_encrypted else None), data
        ),
        lambda context, data: read(CryptoContext(b"r" * 16, b"n" * 32), data),
        lambda context, data: read(
            CryptoContext(b"r" * 16, None if context.is_encrypted else b"n" * 32), data
        ),
    ],
    ids=["another key", "another kind", "another repository", "another master key", "up- or downgraded"],
)
def test_an_object_opens_only_where_it_belongs(
    context: CryptoContext, misread: Callable[[CryptoContext, bytes], object]
) -> None:
    with pytest.raises(FrameDamaged):
        misread(context, seal(context, [(b"content", Codec.ZSTD)]))


@contexts
def test_frames_can_not_change_places(context: CryptoContext) -> None:
    data = seal(context, [(b"one", Codec.STORED), (b"two", Codec.STORED), (b"end", Codec.STORED)])
    size = (len(data) - HEADER_BYTES) // 3
    first, second = (
        data[HEADER_BYTES : HEADER_BYTES + size],
        data[HEADER_BYTES + size : HEADER_BYTES + 2 * size],
    )
    with pytest.raises(FrameDamaged):
        read(context, data[:HEADER_BYTES] + second + first + data[HEADER_BYTES + 2 * size :])


@contexts
def test_an_object_cut_at_a_frame_lacks_its_last_frame(context: CryptoContext) -> None:
    unfinished = seal(context, [(b"one", Codec.STORED)], last=False)
    with pytest.raises(FrameDamaged, match="ends within a frame header"):
        read(context, unfinished)


@contexts
def test_a_frame_opens_alone_by_salt_and_offset(context: CryptoContext) -> None:
    sealer = ObjectSealer(context, ObjectKind.PACK, KEY)
    sealer.seal(b"skipped", 7, codec=Codec.STORED)
    offset = sealer.offset
    sealed = sealer.seal(Compressor().compress(b"wanted"), 6)
    opener = ObjectOpener.from_salt(context, ObjectKind.PACK, KEY, sealer.salt)
    frame = opener.open(sealed + b"next frames", offset)
    assert (frame.payload, frame.length, frame.content) == (b"wanted", len(sealed), FrameContent.DATA)
    assert frame.offset + frame.length == sealer.offset


def test_sealing_in_place_leaves_the_rest_of_the_buffer_alone() -> None:
    for context in (ENCRYPTED, PLAIN):
        sealer = ObjectSealer(context, ObjectKind.PACK, KEY)
        buffer = bytearray(b"." * 200)
        length = sealer.seal_into(memoryview(buffer)[50:], b"payload", 7, codec=Codec.STORED)
        assert length == sealer.frame_length(7)
        assert buffer[:50] == b"." * 50 and buffer[50 + length :] == b"." * (150 - length)


def test_equal_content_is_sealed_differently_every_time() -> None:
    once, again = (seal(ENCRYPTED, [(b"same", Codec.STORED)]) for _ in range(2))
    assert once[HEADER_BYTES:] != again[HEADER_BYTES:]


def test_too_large_a_frame_is_never_written() -> None:
    sealer = ObjectSealer(PLAIN, ObjectKind.PACK, KEY)
    with pytest.raises(ValueError, match="larger than the format allows"):
        sealer.seal(b"", MAX_RAW_BYTES + 1)


@given(st.binary(max_size=40))
def test_a_frame_header_of_garbage_is_damage_or_in_bounds(garbage: bytes) -> None:
    try:
        header = FrameHeader.parse(garbage)
    except FrameDamaged:
        return
    assert header.raw <= MAX_RAW_BYTES


def test_a_context_never_shows_its_key() -> None:
    assert "m" * 8 not in repr(ENCRYPTED) and (b"m" * 32).hex() not in repr(ENCRYPTED)
