"""What a file or folder of ``pg_dump`` is, told by its content: format, compression, versions, roles, whole or not.

Nothing is believed of a name. A plain dump is read through once beforehand: its last line tells that it is whole, its
statements which roles it names, and a compressed one that ends too soon is found before a server is made for it.
"""

from __future__ import annotations

import enum
import gzip
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seawall.drill.errors import DrillFailed, DrillSourceMissing, DrillSourceUnknown

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)
"""What reading a compressed stream raises that ends too soon or was changed."""
_ARCHIVE = b"PGDMP"
_TAR = (257, b"ustar")
_TOC = "toc.dat"
_VERSIONS = re.compile(rb"^-- Dumped (from database|by pg_dump) version (\d+)")
_ENDS = (b"-- PostgreSQL database dump complete", b"-- PostgreSQL database cluster dump complete")
_BEGINS = (b"-- PostgreSQL database dump", b"-- PostgreSQL database cluster dump")
_LAST_LINES = 8
_NAME = rb'(?:"((?:[^"]|"")+)"|([a-zA-Z_][\w$]*))'
_NAMES_ROLE = re.compile(
    rb"^(?:ALTER .* OWNER TO|(?:GRANT|ALTER DEFAULT PRIVILEGES) .* TO|(?:REVOKE|ALTER DEFAULT PRIVILEGES) .* FROM"
    rb"|SET SESSION AUTHORIZATION) " + _NAME + rb"(?: WITH GRANT OPTION)?;\r?$"
)
_FOR_ROLE = re.compile(rb"^ALTER DEFAULT PRIVILEGES FOR ROLE " + _NAME)
_CREATES_ROLE = re.compile(rb"^CREATE (?:ROLE|USER) " + _NAME)
_CREATES_DATABASE = re.compile(rb"^CREATE DATABASE " + _NAME)
_TABLESPACE = re.compile(rb"^(CREATE TABLESPACE .* LOCATION )'(?:[^']|'')*';\r?$")
_ENCODING = re.compile(rb"^SET client_encoding = '([\w-]+)';")
_STATEMENTS = (b"ALTER ", b"GRANT ", b"REVOKE ", b"CREATE ", b"SET ", b"-- ")
_BUILT_IN = ("pg_", "public", "current_user", "session_user")


class DumpFormat(enum.Enum):
    """How it is restored: archives by ``pg_restore``, SQL by ``psql``."""

    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"
    PLAIN = "plain"


@dataclass(slots=True)
class SqlFacts:
    """What the statements of a dump say, its data left aside."""

    from_major: int | None = None
    by_major: int | None = None
    encoding: str = ""
    roles_named: set[str] = field(default_factory=set)
    roles_created: set[str] = field(default_factory=set)
    databases: set[str] = field(default_factory=set)
    has_tablespaces: bool = False
    byte_count: int = 0
    is_whole: bool = False
    is_dump: bool = False


@dataclass(frozen=True, slots=True)
class DumpFile:
    """One dump. ``compression`` is of a plain one."""

    path: Path
    format: DumpFormat
    compression: str = ""

    def size_bytes(self) -> int:
        """Return how large it is on disk."""
        if self.format is not DumpFormat.DIRECTORY:
            return self.path.stat().st_size
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    @contextmanager
    def open_sql(self) -> Iterator[IO[bytes]]:
        """Open a plain dump as SQL. Reading raises DrillFailed where the compressed stream is cut off or damaged."""
        with open(self.path, "rb") as raw, _decompressed(raw, self.compression) as sql:
            try:
                yield sql
            except _BROKEN as error:
                raise _cut_off(self.path, str(error)) from error


def identify(path: Path) -> DumpFile:
    """Say what kind of dump is at ``path``.

    Raises:
        DrillSourceMissing: nothing is there, or it can't be read.
        DrillSourceUnknown: it is no dump.
    """
    try:
        if path.is_dir():
            if (path / _TOC).exists():
                return DumpFile(path, DumpFormat.DIRECTORY)
            raise _no_dump(path, f"a folder without {_TOC}")
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise DrillSourceMissing(
            f"the dump {path} can't be read: {error.strerror}", hint=f"ls -l {path}; or run it as its owner"
        ) from error
    if head.startswith(_ARCHIVE):
        return DumpFile(path, DumpFormat.CUSTOM)
    if head[_TAR[0] :].startswith(_TAR[1]) and head.startswith(_TOC.encode()):
        return DumpFile(path, DumpFormat.TAR)
    compression = "gzip" if head.startswith(_GZIP) else "zstd" if head.startswith(_ZSTD) else ""
    if not head:
        raise _no_dump(path, "an empty file")
    return DumpFile(path, DumpFormat.PLAIN, compression)


def read_sql(sql: IO[bytes]) -> SqlFacts:
    """Read statements through, without the data between them."""
    facts, is_data, last = SqlFacts(), False, [b""] * _LAST_LINES
    for number, line in enumerate(sql):
        facts.byte_count += len(line)
        if is_data:
            is_data = line.rstrip(b"\r\n") != b"\\."
            continue
        last = [*last[1:], line]
        if line.startswith(_STATEMENTS):
            _read_statement(line, facts, is_head=number < 64)
        elif line.startswith(b"COPY "):
            is_data = line.rstrip().endswith(b"FROM stdin;")
    facts.is_whole = not is_data and any(line.startswith(_ENDS) for line in last)
    return facts


def without_places(sql: IO[bytes], new_place: Callable[[], Path]) -> Iterator[bytes]:
    """Yield a dump's lines with its tablespaces elsewhere: where they were, a living server may be."""
    is_data = False
    for line in sql:
        if is_data:
            is_data = line.rstrip(b"\r\n") != b"\\."
        elif line.startswith(b"COPY "):
            is_data = line.rstrip().endswith(b"FROM stdin;")
        elif match := _TABLESPACE.match(line):
            line = match[1] + b"'" + os.fsencode(new_place()).replace(b"'", b"''") + b"';\n"
        yield line


def check_members(dump: DumpFile) -> None:
    """Read the compressed files of a directory dump through: ``pg_restore`` may take a cut-off one for a short one.

    Raises DrillFailed, which names the file.
    """
    for file in sorted(dump.path.glob("*.gz")):
        try:
            with gzip.open(file) as content:
                while content.read(1 << 20):
                    pass
        except _BROKEN as error:
            raise _cut_off(file, str(error)) from error


def require_whole(dump: DumpFile, facts: SqlFacts) -> None:
    """Raise DrillFailed for a plain dump that does not end as a whole one does."""
    if not facts.is_whole:
        raise DrillFailed(
            f"{dump.path} is cut off: it does not end with {_ENDS[0].decode()!r}",
            hint="look for what ended pg_dump early (disk full, connection lost), and check its exit status",
        )


def _read_statement(line: bytes, facts: SqlFacts, *, is_head: bool) -> None:
    if line.startswith(b"-- "):
        facts.is_dump = facts.is_dump or (is_head and line.startswith(_BEGINS))
        if match := _VERSIONS.match(line):
            major = int(match[2])
            if match[1] == b"from database":
                facts.from_major = max(major, facts.from_major or 0)
            else:
                facts.by_major = max(major, facts.by_major or 0)
    elif match := _ENCODING.match(line):
        facts.encoding = facts.encoding or match[1].decode()
    elif match := _CREATES_ROLE.match(line):
        facts.roles_created.add(_identifier(match))
    elif _TABLESPACE.match(line):
        facts.has_tablespaces = True
    elif match := _CREATES_DATABASE.match(line):
        facts.databases.add(_identifier(match))
    else:
        for pattern in (_NAMES_ROLE, _FOR_ROLE):
            if match := pattern.match(line):
                name = _identifier(match)
                if not name.lower().startswith(_BUILT_IN):
                    facts.roles_named.add(name)


def _identifier(match: re.Match[bytes]) -> str:
    if match[1] is not None:
        return match[1].decode("utf-8", "replace").replace('""', '"')
    return match[2].decode("utf-8", "replace").lower()


@contextmanager
def _decompressed(raw: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    if compression == "gzip":
        with gzip.open(raw) as sql:
            yield sql  # type: ignore[misc]
    elif compression == "zstd":
        with zstd.open(raw) as sql:
            yield sql  # type: ignore[misc]
    else:
        yield raw


def _cut_off(path: Path, reason: str) -> DrillFailed:
    return DrillFailed(
        f"{os.fspath(path)} is cut off or damaged: {reason}",
        hint="look for what ended pg_dump early (disk full, connection lost), and check its exit status",
    )


def _no_dump(path: Path, what: str) -> DrillSourceUnknown:
    return DrillSourceUnknown(
        f"{path} is {what}, and no dump of PostgreSQL",
        hint="a dump is a file of pg_dump -Fc, a folder of pg_dump -Fd, or SQL (.sql, .sql.gz, .sql.zst)",
    )
