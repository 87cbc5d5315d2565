"""The files of a data directory in manifest order, with what PostgreSQL leaves out left out (basebackup.c).

Everything is looked at once before the first byte is copied, so that an unreadable stray file is found in a
second and not after hours; then again, lazily, while copying, since files come and go. One folder's names
are held in memory at a time.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from seawall.backup.errors import SourceMissing, SourceUnreadable, SourceUnsafe
from seawall.postgres.files.control_file import ControlFile
from seawall.postgres.files.relation_files import (
    TABLESPACE_FOLDER,
    WAL_FOLDER,
    BackupRules,
    EntryKind,
    Treatment,
    empty_folders,
    has_page_checksums,
    is_relation_folder,
    parse_relation_file,
    path_inside,
    tablespace_version_folder,
    unlogged_relations,
)
from seawall.repository.backups.file_entry import FileEntry, FileIdentity, FileKind, path_order

CONFIG_FOLDER = ".seawall-config"
"""Virtual folder of the manifest for configuration from outside the data directory (Debian's /etc)."""
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_SHOWN = 20
_DROP_TRIES, _DROP_PAUSE_S = 5, 0.1
"""How long a tablespace may be half dropped."""


def require_data_directory(data_directory: Path) -> None:
    """Raise SourceMissing unless ``data_directory`` is one."""
    if not (data_directory / "PG_VERSION").is_file():
        raise SourceMissing(
            f"{data_directory} is no PostgreSQL data directory: it has no PG_VERSION",
            hint="check the cluster's `data:` in the plan; `SHOW data_directory` on the server tells it",
        )


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One entry of the backup-to-be: where it is, and where it goes."""

    path: str
    place: str
    kind: FileKind
    status: os.stat_result
    first_block: int = 0
    is_checked: bool = False
    target: str = ""
    follows: bool = False
    """A configuration file that is a link: its content is stored, not the link."""

    @property
    def has_content(self) -> bool:
        return self.kind is FileKind.FILE

    @property
    def size_bytes(self) -> int:
        return self.status.st_size

    def open(self) -> int:
        """Return a descriptor. Raises FileNotFoundError if it went away, which is no error for a relation."""
        return os.open(self.place, _OPEN & ~os.O_NOFOLLOW if self.follows else _OPEN)

    def entry(self, *, size_bytes: int, extents: bytes, corrupt_blocks: tuple[int, ...]) -> FileEntry:
        """Return the manifest entry of what was read."""
        status = self.status
        return FileEntry(
            path=self.path,
            kind=self.kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            owner=_user_name(status.st_uid),
            group=_group_name(status.st_gid),
            mtime_ns=status.st_mtime_ns,
            size=size_bytes if self.has_content else 0,
            target=self.target,
            extents=extents,
            corrupt_blocks=corrupt_blocks,
            identity=FileIdentity(status.st_dev, status.st_ino, status.st_ctime_ns)
            if self.has_content
            else None,
        )


class SourceTree:
    """A data directory, its tablespaces, and configuration folders outside it."""

    def __init__(
        self, data_directory: Path, control: ControlFile, config_directories: tuple[Path, ...] = ()
    ) -> None:
        self.root = data_directory
        self._control = control
        self._configs = config_directories
        self.observe_tablespaces()
        self.total_bytes = 0
        self.left_out: list[str] = []
        """Links and special files that are no part of a cluster, and so of no backup."""

    def observe_tablespaces(self) -> None:
        """Look which tablespaces there are: again once the backup has started, as the server does for its
        ``tablespace_map``. One that is created later is left to the WAL, which makes it anew."""
        self.tablespaces = _tablespaces(self.root)
        self._rules = BackupRules(
            tablespace_version_folder(self._control.major, self._control.catalog_version),
            frozenset(_inside(self.root, self.tablespaces)),
        )

    def refuse_unreadable(self) -> None:
        """Look at every file once; also learns ``total_bytes``.

        Raises:
            SourceUnreadable: names all files that this user can't read.
            SourceUnsafe: a file that is neither file, folder nor a tablespace's link.
        """
        unreadable: list[str] = []
        for file in self.files(problems=unreadable):
            if not file.has_content:
                continue
            self.total_bytes += file.size_bytes
            if not os.access(file.place, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
                unreadable.append(file.place)
        if unreadable:
            shown = "\n".join(f"  {place}" for place in unreadable[:_SHOWN])
            more = f"\n  and {len(unreadable) - _SHOWN} more" if len(unreadable) > _SHOWN else ""
            user = _user_name(os.geteuid()) or os.geteuid()
            raise SourceUnreadable(
                f"{len(unreadable)} file(s) can't be read by {user}:\n{shown}{more}",
                hint="run the backup as the server's owner, or move stray files out of the data directory",
                files=unreadable,
            )

    def files(self, problems: list[str] | None = None) -> Iterator[SourceFile]:
        """Yield all entries in the manifest's order; folders that can't be read go into ``problems``."""
        root = _Folder("", str(self.root))
        yield SourceFile("", root.place, FileKind.DIRECTORY, os.stat(self.root))
        names = sorted(
            {*_list(root.place, problems), *([CONFIG_FOLDER] if self._configs else [])}, key=path_order
        )
        for name in names:
            if name == CONFIG_FOLDER:
                yield from self._config_files(problems)
            else:
                yield from self._visit(root, name, frozenset(), problems)

    def _visit(
        self, folder: _Folder, name: str, unlogged: frozenset[int], problems: list[str] | None
    ) -> Iterator[SourceFile]:
        path, place = folder.path_of(name), os.path.join(folder.place, name)
        try:
            status = os.lstat(place)
        except FileNotFoundError:
            return
        kind = _kind(status)
        match self._rules.treatment(path, kind, unlogged):
            case Treatment.COPY:
                yield self._file(path, place, status)
            case Treatment.DESCEND:
                yield SourceFile(path, place, FileKind.DIRECTORY, status)
                yield from self._inside(_Folder(path, place), problems)
            case Treatment.KEEP_EMPTY:
                # Also for a link, as a pg_wal on another disk: an ordinary folder in the backup.
                yield from self._empty(path, place)
            case Treatment.FOLLOW:
                if not (name.isdigit() and int(name) in self.tablespaces):
                    return  # created since the backup began
                if not self._is_mounted(place):
                    return  # dropped since the backup began
                target = os.readlink(place)
                yield SourceFile(path, place, FileKind.SYMLINK, status, target=target)
                yield from self._inside(_Folder(path, place), problems)
            case Treatment.REPORT:
                yield from self._odd(path, place, kind, problems)
            case Treatment.LEAVE_OUT | Treatment.COPY_LAST:
                return

    def _is_mounted(self, place: str) -> bool:
        """Say whether a tablespace is there; False if its link is gone. Raises SourceUnsafe where its disk is
        not: it would become a backup without its tables.

        The server makes the version folder together with the link. A tablespace that is being dropped loses
        both, the folder a moment before the link (tablespace.c, destroy_tablespace_directories).
        """
        folder = os.path.join(place, self._rules.tablespace_version)
        for _ in range(_DROP_TRIES):
            if os.path.isdir(folder):
                return True
            if not os.path.lexists(place):
                return False
            time.sleep(_DROP_PAUSE_S)
        raise SourceUnsafe(
            f"the tablespace at {os.readlink(place)} has no {self._rules.tablespace_version}",
            hint="is its disk mounted? A backup without it would lose its tables",
        )

    def _inside(self, folder: _Folder, problems: list[str] | None) -> Iterator[SourceFile]:
        names = _list(folder.place, problems)
        unlogged = unlogged_relations(names) if is_relation_folder(folder.path) else frozenset()
        for name in sorted(names, key=path_order):
            yield from self._visit(folder, name, unlogged, problems)

    def _empty(self, path: str, place: str) -> Iterator[SourceFile]:
        status = os.stat(place)
        yield SourceFile(path, place, FileKind.DIRECTORY, status)
        if path == WAL_FOLDER:
            for inner in empty_folders(self._control.major):
                yield SourceFile(inner, place, FileKind.DIRECTORY, status)

    def _odd(
        self, path: str, place: str, kind: EntryKind, problems: list[str] | None
    ) -> Iterator[SourceFile]:
        """A linked configuration file at the top is stored by content, which is all that it is worth
        elsewhere; a linked folder of relations would be lost data, so it is refused; the rest is noted."""
        if kind is EntryKind.LINK and os.path.exists(place):
            status = os.stat(place)
            if stat.S_ISREG(status.st_mode) and "/" not in path:
                yield SourceFile(path, place, FileKind.FILE, status, follows=True)
                return
            raise SourceUnsafe(
                f"{place} is a link to {os.readlink(place)}; PostgreSQL knows links only in {TABLESPACE_FOLDER}",
                hint="make it a tablespace, or move the link out of the data directory",
            )
        if problems is not None:
            self.left_out.append(path)

    def _file(self, path: str, place: str, status: os.stat_result) -> SourceFile:
        if not has_page_checksums(path):
            return SourceFile(path, place, FileKind.FILE, status)
        relation = parse_relation_file(path.rpartition("/")[2])
        first = relation.first_block(self._control.relation_segment_blocks) if relation else 0
        return SourceFile(path, place, FileKind.FILE, status, first_block=first, is_checked=True)

    def _config_files(self, problems: list[str] | None) -> Iterator[SourceFile]:
        yield SourceFile(CONFIG_FOLDER, str(self.root), FileKind.DIRECTORY, os.stat(self.root))
        for number, directory in enumerate(self._configs):
            if not directory.exists():
                raise SourceMissing(
                    f"the configuration {directory} is not there",
                    hint="correct the cluster's `config:` in the plan",
                )
            yield from _plain_tree(f"{CONFIG_FOLDER}/{number}", str(directory), problems)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    place: str

    def path_of(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name


def _plain_tree(path: str, place: str, problems: list[str] | None) -> Iterator[SourceFile]:
    """Yield configuration as it is. Linked files count by content; links that lead nowhere, or to folders
    further inside (which might lead back), are left out."""
    try:
        status = os.stat(place)
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        yield SourceFile(path, place, FileKind.FILE, status, follows=True)
    elif stat.S_ISDIR(status.st_mode):
        yield SourceFile(path, place, FileKind.DIRECTORY, status)
        for name in sorted(_list(place, problems), key=path_order):
            inner = os.path.join(place, name)
            if not (os.path.islink(inner) and os.path.isdir(inner)):
                yield from _plain_tree(f"{path}/{name}", inner, problems)


def _list(place: str, problems: list[str] | None) -> list[str]:
    try:
        return os.listdir(place)
    except FileNotFoundError:
        return []
    except PermissionError:
        if problems is None:
            raise
        problems.append(place)
        return []


def _tablespaces(data_directory: Path) -> dict[int, Path]:
    """Return the linked tablespaces by OID; those inside the data directory are ordinary folders of it."""
    found: dict[int, Path] = {}
    folder = data_directory / TABLESPACE_FOLDER
    for name in os.listdir(folder) if folder.exists() else []:
        link = folder / name
        if name.isdigit() and link.is_symlink():
            found[int(name)] = Path(os.readlink(link))
    return found


def _inside(data_directory: Path, tablespaces: dict[int, Path]) -> Iterator[str]:
    """Yield the paths of tablespaces that were put inside the data directory itself."""
    root = os.path.realpath(data_directory)
    for location in tablespaces.values():
        path = path_inside(root, os.path.realpath(location))
        if path is not None:
            yield path


def _kind(status: os.stat_result) -> EntryKind:
    if stat.S_ISREG(status.st_mode):
        return EntryKind.FILE
    if stat.S_ISDIR(status.st_mode):
        return EntryKind.FOLDER
    return EntryKind.LINK if stat.S_ISLNK(status.st_mode) else EntryKind.OTHER


@lru_cache(maxsize=64)
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


@lru_cache(maxsize=64)
def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
