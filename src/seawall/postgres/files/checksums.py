"""PostgreSQL's page checksums for many pages at once (src/include/storage/checksum_impl.h).

The algorithm mixes each page in 32 independent lanes, FNV-1a-like, row by row. Here a lane is a column
of a numpy array and a *tile* of several hundred pages advances one row per operation, so everything
runs in C without the GIL, in scratch memory that is allocated once and fits the cache.

A page that fails is only *suspicious*: the server may have been writing it. The caller reads it again;
what a rule below says twice of the same bytes is damage. (bufpage.c, PageIsVerified; basebackup.c,
verify_page_checksum.)
"""

from __future__ import annotations

import mmap
from typing import Final

import numpy as np
from numpy.typing import NDArray

Pages = bytes | bytearray | memoryview | mmap.mmap

TILE_PAGES: Final = 512
BLOCK_SIZES: Final = (1024, 2048, 4096, 8192, 16384, 32768)

_LANES = 32
_ROW_BYTES = _LANES * 4
_PRIME = np.uint32(16777619)
_SHIFT = np.uint32(17)
_LSN_HALF_BITS = np.uint64(32)
_UPPER_HALF = np.uint32(0xFFFF0000)
_CHECKSUM_WORD = 2  # pd_checksum is the lower half of the header's third 32-bit word
_CHECKSUM_HALF_WORD = 4
_UPPER_HALF_WORD = 7  # pd_upper: 0 in a page that was never initialised
_SEEDS = np.array(
    [
        *(0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C),
        *(0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB),
        *(0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4),
        *(0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756),
    ],
    dtype=np.uint32,
)


class PageChecksummer:
    """Checksums of pages of one size. Owned by one thread: the scratch memory is not shared.

    Little-endian clusters only; :mod:`seawall.postgres.files.control_file` refuses others.
    """

    def __init__(self, block_bytes: int, *, tile_pages: int = TILE_PAGES) -> None:
        """Raises ValueError for a size that PostgreSQL can't be built with."""
        if block_bytes not in BLOCK_SIZES:
            raise ValueError(f"PostgreSQL has no pages of {block_bytes} bytes")
        self.block_bytes = block_bytes
        self._rows = block_bytes // _ROW_BYTES
        self._tile_pages = tile_pages
        self._state = np.empty((tile_pages, _LANES), np.uint32)
        self._scratch = np.empty((tile_pages, _LANES), np.uint32)

    def checksums(self, pages: Pages, first_block: int) -> NDArray[np.uint16]:
        """Return the checksum that each page of ``pages`` should carry; the buffer is not changed.

        ``first_block`` is the block number of the first page in its whole relation, across segments.
        Raises ValueError if the buffer is not whole pages.
        """
        words = self._words(pages).reshape(-1, self._rows, _LANES)
        count = words.shape[0]
        folded = np.empty(count, np.uint32)
        for start in range(0, count, self._tile_pages):
            tile = words[start : start + self._tile_pages]
            folded[start : start + tile.shape[0]] = self._mix(tile)
        folded ^= np.arange(first_block, first_block + count, dtype=np.uint64).astype(np.uint32)
        return (folded % np.uint32(65535) + np.uint32(1)).astype(np.uint16)

    def suspicious_pages(
        self, pages: Pages, first_block: int, *, start_lsn: int, insert_lsn: int
    ) -> NDArray[np.int64]:
        """Return the block numbers (in the relation) of pages that can't be what the server wrote.

        Left alone are pages of zeros, and pages changed since ``start_lsn``, whose full image is in the
        WAL that the backup replays. Suspicious are: a wrong checksum; a page that claims to be new and
        isn't zero; an LSN beyond ``insert_lsn``, the server's insert position *after* the read. To check
        a stopped cluster, pass a ``start_lsn`` above all its pages.
        """
        words = self._words(pages)
        halves = words.view(np.uint16)
        lsns = (words[:, 0].astype(np.uint64) << _LSN_HALF_BITS) | words[:, 1]  # upper half first
        beyond = lsns > np.uint64(insert_lsn)
        checked = lsns < np.uint64(start_lsn)
        new = halves[:, _UPPER_HALF_WORD] == 0
        suspicious = beyond
        if bool((checked & ~new).any()):
            mismatch = self.checksums(pages, first_block) != halves[:, _CHECKSUM_HALF_WORD]
            suspicious = suspicious | (checked & ~new & mismatch)
        claims_new = np.flatnonzero(checked & new)
        if claims_new.size:
            suspicious[claims_new] |= halves[claims_new].any(axis=1)
        return np.flatnonzero(suspicious).astype(np.int64) + first_block

    def _words(self, pages: Pages) -> NDArray[np.uint32]:
        """Return the buffer as 32-bit words of shape (pages, words), without a copy."""
        length = len(pages) if not isinstance(pages, memoryview) else pages.nbytes
        if length % self.block_bytes:
            raise ValueError(f"{length} bytes are not whole pages of {self.block_bytes}")
        return np.frombuffer(pages, dtype=np.dtype("<u4")).reshape(-1, self.block_bytes // 4)

    def _mix(self, tile: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the folded lanes of each page of a tile of shape (pages, rows, lanes)."""
        state, scratch = self._state[: tile.shape[0]], self._scratch[: tile.shape[0]]
        scratch[:] = tile[:, 0]
        scratch[:, _CHECKSUM_WORD] &= _UPPER_HALF  # the checksum is computed with itself zero
        np.bitwise_xor(scratch, _SEEDS, out=state)
        self._multiply(state, scratch)
        for row in range(1, self._rows):
            np.bitwise_xor(state, tile[:, row], out=state)
            self._multiply(state, scratch)
        self._multiply(state, scratch)  # two rounds of zeros, for more mixing of the last rows
        self._multiply(state, scratch)
        folded: NDArray[np.uint32] = np.bitwise_xor.reduce(state, axis=1)
        return folded

    @staticmethod
    def _multiply(state: NDArray[np.uint32], scratch: NDArray[np.uint32]) -> None:
        np.right_shift(state, _SHIFT, out=scratch)
        np.multiply(state, _PRIME, out=state)
        np.bitwise_xor(state, scratch, out=state)
