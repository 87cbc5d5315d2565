"""Names of files in a data directory, and what a base backup leaves out (basebackup.c).

Pure functions over names and relative paths with ``/``. The rules are those of 14 to 18; where versions
differ the function takes the major. What they mean is kept in one place: a backup that copies too much
carries over one server's private state, one that copies too little is no backup.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

CONTENTS_LEFT_OUT = frozenset(
    {"pg_stat_tmp", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans"}
)
"""Folders that are kept without their contents, wherever they are (excludeDirContents)."""

WAL_FOLDER = "pg_wal"
TABLESPACE_FOLDER = "pg_tblspc"
CONTROL_FILE = "global/pg_control"
TEMPORARY_PREFIX = "pgsql_tmp"
FIRST_MAJOR_WITH_SUMMARIES = 17

_FILES_LEFT_OUT = frozenset(
    {
        "postgresql.auto.conf.tmp",
        "current_logfiles.tmp",
        "backup_label",
        "tablespace_map",
        "backup_manifest",
        "postmaster.pid",
        "postmaster.opts",
        ".DS_Store",
    }
)
_PREFIXES_LEFT_OUT = ("pg_internal.init", TEMPORARY_PREFIX)

_RELATION = re.compile(r"(?P<oid>[1-9]\d{0,9})(?:_(?P<fork>init|fsm|vm))?(?:\.(?P<segment>[1-9]\d*))?")
_TEMPORARY_RELATION = re.compile(r"t\d+_\d+(?:_(?:init|fsm|vm))?(?:\.\d+)?")
_DATABASE_FOLDER = re.compile(r"base/\d+|pg_tblspc/\d+/PG_\d+_\d+/\d+")
_TABLESPACE_LINK = re.compile(r"pg_tblspc/[1-9]\d*")


class Fork(enum.Enum):
    """The forks of a relation, by their suffix (relpath.c, forkNames)."""

    MAIN = ""
    FREE_SPACE_MAP = "fsm"
    VISIBILITY_MAP = "vm"
    INIT = "init"


@dataclass(frozen=True, slots=True)
class RelationFile:
    """The file of a relation: its number (relfilenode), fork, and which segment of the fork."""

    number: int
    fork: Fork
    segment: int

    def first_block(self, relation_segment_blocks: int) -> int:
        """Return the block number, within the relation, of the file's first page."""
        return self.segment * relation_segment_blocks


def parse_relation_file(name: str) -> RelationFile | None:
    """Read a file's name, ``16384_vm.1``; None if it is no (permanent) relation's."""
    match = _RELATION.fullmatch(name)
    if match is None or int(match["oid"]) > 0xFFFFFFFF:
        return None
    return RelationFile(int(match["oid"]), Fork(match["fork"] or ""), int(match["segment"] or 0))


def is_temporary_relation(name: str) -> bool:
    """Say whether a file name is a temporary relation's: ``t3_16384`` (looks_like_temp_rel_name)."""
    return _TEMPORARY_RELATION.fullmatch(name) is not None


def is_relation_folder(path: str) -> bool:
    """Say whether relation files live directly in this folder: global, a database, one in a tablespace."""
    return path == "global" or _DATABASE_FOLDER.fullmatch(path) is not None


def has_page_checksums(path: str) -> bool:
    """Say whether the pages of the file at this path carry checksums when the cluster has them."""
    folder, _, name = path.rpartition("/")
    return is_relation_folder(folder) and parse_relation_file(name) is not None


def unlogged_relations(names: Iterable[str]) -> frozenset[int]:
    """Return the numbers of unlogged relations among a relation folder's file names: those that have
    an init fork, from which recovery makes the rest anew."""
    files = (parse_relation_file(name) for name in names)
    return frozenset(file.number for file in files if file is not None and file.fork is Fork.INIT)


def tablespace_version_folder(major: int, catalog_version: int) -> str:
    """Return the name of the only folder inside a tablespace that belongs to this server."""
    return f"PG_{major}_{catalog_version}"


def empty_folders(major: int) -> tuple[str, ...]:
    """Return the folders inside pg_wal that a backup holds although it leaves out their contents."""
    summaries = (f"{WAL_FOLDER}/summaries",) if major >= FIRST_MAJOR_WITH_SUMMARIES else ()
    return (f"{WAL_FOLDER}/archive_status", *summaries)


def path_inside(data_directory: str, location: str) -> str | None:
    """Return a tablespace's location relative to the data directory that contains it, else None.

    Both are absolute and resolved. Compared by components: ``/pg/data2`` is not inside ``/pg/data``.
    """
    data, place = PurePosixPath(data_directory), PurePosixPath(location)
    return str(place.relative_to(data)) if place != data and place.is_relative_to(data) else None


class EntryKind(enum.Enum):
    """What lstat says of an entry of a folder."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


class Treatment(enum.Enum):
    """What a base backup does with an entry."""

    COPY = "copy"
    COPY_LAST = "copy last"  # pg_control: a standby's backup ends where it says
    DESCEND = "descend"
    KEEP_EMPTY = "keep empty"  # the folder (or a link to one) becomes an empty folder
    FOLLOW = "follow"  # a tablespace
    LEAVE_OUT = "leave out"
    REPORT = "report"  # left out, and worth a warning: links and special files that are no part of it


@dataclass(frozen=True, slots=True)
class BackupRules:
    """What a base backup of one server copies.

    ``tablespace_version`` is :func:`tablespace_version_folder`. ``tablespaces_inside`` are the paths of
    tablespaces that were put inside the data directory (:func:`path_inside`); they are reached through
    their links, once.
    """

    tablespace_version: str
    tablespaces_inside: frozenset[str] = frozenset()

    def treatment(self, path: str, kind: EntryKind, unlogged: frozenset[int] = frozenset()) -> Treatment:
        """Say what to do with the entry at ``path``, relative to the data directory.

        Tablespaces appear below their links, ``pg_tblspc/16384/PG_15_202209061/5/16385``. ``unlogged``
        holds the unlogged relations of the entry's folder (:func:`unlogged_relations`). Entries of
        folders that are not descended into are not asked about.
        """
        folder, _, name = path.rpartition("/")
        if _is_left_out_by_name(name):
            return Treatment.LEAVE_OUT
        if name in CONTENTS_LEFT_OUT or path == WAL_FOLDER:
            return Treatment.KEEP_EMPTY
        if _TABLESPACE_LINK.fullmatch(folder) and name != self.tablespace_version:
            return Treatment.LEAVE_OUT
        if kind is EntryKind.FOLDER:
            return Treatment.KEEP_EMPTY if path in self.tablespaces_inside else Treatment.DESCEND
        if kind is EntryKind.LINK and folder == TABLESPACE_FOLDER:
            return Treatment.FOLLOW
        if is_relation_folder(folder) and _is_left_out_relation(folder, name, unlogged):
            return Treatment.LEAVE_OUT
        if kind is not EntryKind.FILE:
            return Treatment.REPORT
        return Treatment.COPY_LAST if path == CONTROL_FILE else Treatment.COPY


def _is_left_out_by_name(name: str) -> bool:
    return name in _FILES_LEFT_OUT or name.startswith(_PREFIXES_LEFT_OUT)


def _is_left_out_relation(folder: str, name: str, unlogged: frozenset[int]) -> bool:
    if folder != "global" and is_temporary_relation(name):
        return True
    file = parse_relation_file(name)
    return file is not None and file.fork is not Fork.INIT and file.number in unlogged
