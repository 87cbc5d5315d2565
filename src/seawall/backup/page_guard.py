"""Page checksums while reading, with a second look at pages that were torn by a concurrent write.

A page that fails its checksum is read again, a few times: a write in progress changes it, and replay of
the backup's WAL repairs whatever half of it was copied (every such page has a full image in the WAL).
What still fails is damage; it is reported by block and the backup goes on, since a damaged copy of one
page beside millions of good ones is better than none (basebackup.c does the same).
"""

from __future__ import annotations

import os
import time
from typing import Protocol

from seawall.backup.source_files import SourceFile
from seawall.postgres.checksums import PageChecksummer

_RETRIES = 3
_PAUSE_S = 0.005


class InsertPosition(Protocol):
    """How far the server has written WAL: a page LSN beyond it is damage, not news."""

    @property
    def known(self) -> int:
        """The newest position that was asked for; pages may be younger."""
        ...

    def refresh(self) -> int:
        """Ask the server again. Safe to call from any worker."""
        ...


class PageGuard:
    """Checks the pages of one worker. Not shared by threads: it owns scratch memory."""

    def __init__(self, checksummer: PageChecksummer, start_lsn: int, position: InsertPosition) -> None:
        self._checksummer = checksummer
        self._start_lsn = start_lsn
        self._position = position

    def check(self, file: SourceFile, descriptor: int, view: memoryview, offset: int) -> list[int]:
        """Return the relation-wide numbers of damaged blocks in ``view``, read at ``offset`` of ``file``.

        Pages that turn out well on another read replace the torn ones in ``view``.
        """
        block_bytes = self._checksummer.block_bytes
        whole = len(view) // block_bytes * block_bytes
        if whole == 0:
            return []
        first_block = file.first_block + offset // block_bytes
        bad = self._suspicious(view[:whole], first_block, self._position.known)
        for _ in range(_RETRIES):
            if not bad:
                break
            time.sleep(_PAUSE_S)
            bad = [block for block in bad if not self._reread(descriptor, view, offset, first_block, block)]
        return bad

    def _reread(self, descriptor: int, view: memoryview, offset: int, first_block: int, block: int) -> bool:
        block_bytes = self._checksummer.block_bytes
        start = (block - first_block) * block_bytes
        page = os.pread(descriptor, block_bytes, offset + start)
        if len(page) < block_bytes:
            return True  # truncated away since; replay knows
        view[start : start + block_bytes] = page
        return not self._suspicious(memoryview(page), block, self._position.refresh())

    def _suspicious(self, pages: memoryview, first_block: int, insert_lsn: int) -> list[int]:
        blocks = self._checksummer.suspicious_pages(
            pages, first_block, start_lsn=self._start_lsn, insert_lsn=insert_lsn
        )
        return [int(block) for block in blocks]
