"""Page checksums while reading, with a second look at pages that were torn by a concurrent write.

A page that fails its checksum is read again, a few times: a write in progress changes it, and replay of
the backup's WAL repairs whatever half of it was copied (every such page has a full image in the WAL).
What still fails is damage; it is reported by block and the backup goes on, since a damaged copy of one
page beside millions of good ones is better than none (basebackup.c does the same). A person knows tables and
indexes, not file numbers, so the damage is named by relation as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Protocol

from seawall.backup.source_files import SourceFile
from seawall.model.errors import SeawallError
from seawall.postgres.files.checksums import PageChecksummer
from seawall.postgres.files.relation_files import parse_relation_file
from seawall.postgres.session import ServerSession, connect, with_database

_RETRIES = 3
_PAUSE_S = 0.005
_GLOBAL_TABLESPACE = 1664
_RELATION_SQL = "SELECT pg_filenode_relation(%s::oid, %s::oid)::regclass::text"
_DATABASE_SQL = "SELECT oid::bigint, datname FROM pg_database WHERE datallowconn"


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


def name_relations(dsn: str, paths: Iterable[str]) -> dict[str, str]:
    """Return ``database.relation`` for the relation files among ``paths``; those that can't be named are left
    out. Never fails: the damage is reported by its file in any case."""
    located = {path: place for path in paths if (place := _locate(path)) is not None}
    if not located:
        return {}
    names: dict[str, str] = {}
    try:
        with connect(dsn, application_name="seawall backup") as session:
            databases = {int(oid): str(name) for oid, name in session.query_all(_DATABASE_SQL)}
            current = str(session.query_one("SELECT current_database()")[0])
    except SeawallError:
        return {}
    for database in {database for _, database, _ in located.values()}:
        name = databases.get(database, current if database == 0 else None)
        wanted = {path: (space, number) for path, (space, of, number) in located.items() if of == database}
        if name is None:
            continue
        try:
            with connect(with_database(dsn, name), application_name="seawall backup") as session:
                names |= _ask(session, name if database else "", wanted)
        except SeawallError:
            continue
    return names


def _ask(session: ServerSession, database: str, wanted: dict[str, tuple[int, int]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, place in wanted.items():
        (relation,) = session.query_one(_RELATION_SQL, place)
        if relation is not None:
            found[path] = f"{database}.{relation}" if database else str(relation)
    return found


def _locate(path: str) -> tuple[int, int, int] | None:
    """Return (tablespace, database, file number) of a relation file, 0 meaning the default or none."""
    folder, _, name = path.rpartition("/")
    file = parse_relation_file(name)
    parts = folder.split("/")
    if file is None:
        return None
    if parts == ["global"]:
        return _GLOBAL_TABLESPACE, 0, file.number
    if len(parts) == 2 and parts[0] == "base":
        return 0, int(parts[1]), file.number
    if len(parts) == 4 and parts[0] == "pg_tblspc":
        return int(parts[1]), int(parts[3]), file.number
    return None
