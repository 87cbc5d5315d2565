"""The page checksum as its definition reads, one page and one word at a time, in plain Python."""

from __future__ import annotations

SEEDS = [
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
]  # fmt: skip
PRIME = 16777619


def mix(state: int, word: int) -> int:
    """Return a lane's state after one word."""
    mixed = state ^ word
    return (mixed * PRIME & 0xFFFFFFFF) ^ (mixed >> 17)


def page_checksum(page: bytes, block: int) -> int:
    """Return the checksum that a page at this block number should carry."""
    blank = page[:8] + b"\0\0" + page[10:]
    lanes = list(SEEDS)
    for start in range(0, len(blank), 128):
        for lane in range(32):
            word = int.from_bytes(blank[start + 4 * lane : start + 4 * lane + 4], "little")
            lanes[lane] = mix(lanes[lane], word)
    for _ in range(2):
        lanes = [mix(lane, 0) for lane in lanes]
    folded = 0
    for lane in lanes:
        folded ^= lane
    return (folded ^ block & 0xFFFFFFFF) % 65535 + 1


def with_checksum(page: bytes, block: int) -> bytes:
    """Return the page with its checksum set."""
    return page[:8] + page_checksum(page, block).to_bytes(2, "little") + page[10:]


def make_page(block_bytes: int, block: int, *, lsn: int, filler: bytes) -> bytes:
    """Return a valid page: header with an LSN, then ``filler`` repeated."""
    header = (lsn >> 32).to_bytes(4, "little") + (lsn & 0xFFFFFFFF).to_bytes(4, "little")
    header += bytes(4) + (24).to_bytes(2, "little")  # checksum, flags, pd_lower
    header += block_bytes.to_bytes(2, "little") * 2 + (block_bytes | 4).to_bytes(2, "little") + bytes(4)
    body = (filler * block_bytes)[: block_bytes - len(header)]
    return with_checksum(header + body, block)
