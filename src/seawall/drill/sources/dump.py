"""Dumps of ``pg_dump`` and ``pg_dumpall``, restored as in a disaster: into a new cluster of the source's version.

Both the exit status and the words of ``psql`` and ``pg_restore`` count, and the first error ends the restore. A dump
does not carry its cluster's roles. Where it names some that nothing beside it makes, stand-ins are made so that the
rest can be tried, and the drill says that a real restore would have stopped there.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from seawall.drill.errors import DrillFailed, DrillSourceUnknown, DumpVersionUnfit, RestoreToolUnusable
from seawall.drill.moments import MomentWish, Wish
from seawall.drill.room import Room
from seawall.drill.server import DrillServer
from seawall.drill.sources.dump_file import (
    DumpFile,
    DumpFormat,
    SqlFacts,
    check_members,
    identify,
    read_sql,
    require_whole,
    without_places,
)
from seawall.drill.sources.source import Filled, Prospect
from seawall.drill.tools import Argv, ToolRun, run_tool
from seawall.evidence.model import Source
from seawall.postgres.programs import ServerPrograms, find_all_programs, programs_in

SUPERUSER = "seawall_drill"
"""No dump makes a role of this name: the usual ``CREATE ROLE postgres`` of a globals file has to succeed."""
_PLAIN_DATABASE = "restored"
_INITDB_BYTES = 64 << 20
_MOST_WAL_BYTES = 1 << 30
_PLAIN_GROWTH, _PACKED_GROWTH = 2, 8
_LIST_TIMEOUT_S = 600.0
_LISTED = re.compile(
    r"^;\s+(dbname|Dumped from database version|Dumped by pg_dump version): (.*)$", re.MULTILINE
)
_CREATED = re.compile(r"^; Archive created at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", re.MULTILINE)


@dataclass(slots=True)
class DumpSource:
    """A dump, and perhaps a ``pg_dumpall --globals-only`` beside it."""

    path: Path
    globals_path: Path | None = None
    keeps_owners: bool = True
    pg_bin: Path | None = None
    cluster: str | None = None
    _dump: DumpFile = field(init=False)
    _sql: SqlFacts = field(default_factory=SqlFacts)
    _globals: SqlFacts = field(default_factory=SqlFacts)
    _restorer: ServerPrograms | None = None
    _database: str = ""

    @property
    def is_physical(self) -> bool:
        return False

    def look(self, wish: MomentWish) -> Prospect:
        """Find out what the dump is. Raises DrillSourceMissing, DrillSourceUnknown, DumpVersionUnfit."""
        if wish.wish is not Wish.LATEST:
            raise DrillSourceUnknown(
                "a dump has one moment, that at which it was made", hint="leave --moment away"
            )
        self._dump = identify(self.path)
        if self.globals_path is not None:
            with identify(self.globals_path).open_sql() as sql:
                self._globals = read_sql(sql)
        made_at = datetime.fromtimestamp(self._dump.path.stat().st_mtime, UTC)
        if self._dump.format is DumpFormat.PLAIN:
            self._read_plain()
        else:
            made_at = min(made_at, self._list_archive() or made_at)
        size = self._dump.size_bytes()
        growth = _PLAIN_GROWTH * self._sql.byte_count or _PACKED_GROWTH * size
        return Prospect(
            source=Source(
                tool="pg_dump",
                location=str(self.path.absolute()),
                cluster=self.cluster,
                backup=self.path.name,
                backup_at=made_at,
                raw_bytes=size,
            ),
            major=self._server_major(),
            need_bytes=_INITDB_BYTES + growth + min(growth, _MOST_WAL_BYTES),
            asked="the dump's",
            scenario=f"restore of a dump ({self._dump.format.value}) into a new cluster",
            point_at=made_at,
        )

    def fill(self, prospect: Prospect, room: Room) -> Filled:
        """Make a new cluster. What is wrong with the dump itself is said first. Raises DrillFailed."""
        if self._dump.format is DumpFormat.PLAIN:
            require_whole(self._dump, self._sql)
        elif self._dump.format is DumpFormat.DIRECTORY:
            check_members(self._dump)
        argv: Argv = [
            room.programs.initdb,
            "-D",
            room.data,
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        self._done(
            room, run_tool(argv, cwd=room.scratch.folder, timeout_s=room.deadline_s, user=room.isolation.user)
        )
        if room.programs.major != self._sql.from_major:
            room.deviations.append(
                f"restored into PostgreSQL {room.programs.major}, dumped from {self._sql.from_major}"
            )
        return Filled(0, users=(SUPERUSER,))

    def load(self, prospect: Prospect, room: Room, server: DrillServer) -> int:
        """Bring in roles, then the dump; return how large the databases are. Raises DrillFailed."""
        self._bring_roles(room, server)
        if self._dump.format is DumpFormat.PLAIN:
            self._load_plain(room, server)
        else:
            self._load_archive(room, server)
        with server.session("template1") as session:
            return int(session.query_one("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")[0])

    def ended_early(self, server: DrillServer) -> str:
        """Nothing: the restore's own status and words told."""
        return ""

    def _read_plain(self) -> None:
        """Read a plain dump through. Raises DrillFailed where its compression is broken before it has told anything."""
        broken: DrillFailed | None = None
        try:
            with self._dump.open_sql() as sql:
                self._sql = read_sql(sql)
        except DrillFailed as error:
            # Said by fill(), as a finding about the dump, if its beginning tells which version it is of.
            broken, self._sql = error, self._read_as_far_as_possible()
        if broken is not None and self._sql.from_major is None:
            raise broken
        if not self._sql.is_dump:
            raise DrillSourceUnknown(
                f"{self.path} does not begin as a dump of pg_dump or pg_dumpall does",
                hint="a dump is a file of pg_dump -Fc, a folder of pg_dump -Fd, or SQL (.sql, .sql.gz, .sql.zst)",
            )

    def _read_as_far_as_possible(self) -> SqlFacts:
        head: list[bytes] = []
        try:
            with self._dump.open_sql() as sql:
                while len(head) < 10_000 and (line := sql.readline(1 << 16)):
                    head.append(line)
        except DrillFailed:
            pass  # known already; its first lines are enough to say which version it is of
        from io import BytesIO

        return read_sql(BytesIO(b"".join(head)))

    def _list_archive(self) -> datetime | None:
        """Read an archive's table of contents; return when it was made. Raises DrillFailed, RestoreToolUnusable."""
        last: ToolRun | None = None
        for programs in self._restorers():
            argv: Argv = [programs.path("pg_restore"), "--list", self.path.absolute()]
            last = run_tool(argv, cwd=Path("/"), timeout_s=_LIST_TIMEOUT_S)
            if last.status == 0:
                break
        if last is None:
            raise RestoreToolUnusable(
                "no pg_restore is on this machine", hint="apt-get install postgresql-client"
            )
        if last.status != 0:
            raise DrillFailed(
                f"{self.path} can't be read: {last.reason()}",
                hint="is it whole? Compare its size with the original's; a newer pg_dump needs a newer pg_restore",
            )
        text = last.output.decode(errors="replace")
        told = dict(_LISTED.findall(text))
        self._database = told.get("dbname", "")
        self._sql.from_major = _major(told.get("Dumped from database version", ""))
        self._sql.by_major = _major(told.get("Dumped by pg_dump version", ""))
        created = _CREATED.search(text)
        # pg_dump stores the local time of its machine without a zone; ours is the best guess.
        return (
            datetime.fromtimestamp(time.mktime(time.strptime(created[1], "%Y-%m-%d %H:%M:%S")), UTC)
            if created
            else None
        )

    def _restorers(self) -> list[ServerPrograms]:
        if self.pg_bin is not None and (named := programs_in(self.pg_bin)):
            return [named]
        found = [programs for programs in find_all_programs() if programs.has("pg_restore")]
        return sorted(found, key=lambda programs: programs.major, reverse=True)

    def _server_major(self) -> int:
        """Return the version to restore into: the source's, or a newer one that was named.

        Raises DumpVersionUnfit.
        """
        source = self._sql.from_major
        if source is None:
            raise DrillSourceUnknown(
                f"{self.path} does not say which version of PostgreSQL it was dumped from",
                hint="name the server's programs: --pg-bin /usr/lib/postgresql/15/bin",
            )
        named = programs_in(self.pg_bin) if self.pg_bin is not None else None
        if named is None:
            return source
        if named.major < source:
            raise DumpVersionUnfit(
                f"{self.path} was dumped from PostgreSQL {source}, and {named.folder} has {named.version}: "
                "a dump can't be restored into an older server",
                hint=f"--pg-bin takes the programs of PostgreSQL {source} or newer",
            )
        return named.major

    def _bring_roles(self, room: Room, server: DrillServer) -> None:
        created = self._sql.roles_created | self._globals.roles_created
        with server.session("template1") as session:
            if "postgres" not in created:
                session.execute("CREATE ROLE postgres SUPERUSER LOGIN")
        if self.globals_path is not None:
            self._psql(room, server, identify(self.globals_path), self._globals, "template1")
        if not self.keeps_owners:
            room.deviations.append("owners and grants were left out (--no-owner)")
            return
        if self._dump.format is not DumpFormat.PLAIN:
            self._read_schema(room)
        room.missing_roles = sorted(self._sql.roles_named - created - {SUPERUSER, "postgres"})
        with server.session("template1") as session:
            for name in room.missing_roles:
                session.execute(f"CREATE ROLE {quote_identifier(name)}")
        if room.missing_roles:
            room.deviations.append("stand-ins were made for roles that the dump names and does not carry")

    def _read_schema(self, room: Room) -> None:
        """Find the roles that an archive names, by the SQL that it would run."""
        schema = room.scratch.folder / "schema.sql"
        argv: Argv = [self._pg_restore(room), "--schema-only", "--file", schema, self.path.absolute()]
        self._done(room, run_tool(argv, cwd=room.scratch.folder, timeout_s=room.deadline_s))
        with open(schema, "rb") as sql:
            self._sql.roles_named |= read_sql(sql).roles_named
        schema.unlink()

    def _load_archive(self, room: Room, server: DrillServer) -> None:
        self._make_way(server, {self._database})
        argv: Argv = [self._pg_restore(room), "--exit-on-error", "--create"]
        argv += [] if self.keeps_owners else ["--no-owner", "--no-privileges"]
        if self._dump.format is not DumpFormat.TAR:
            argv += ["--jobs", str(room.jobs)]
        argv += ["--dbname", server.dsn("template1"), self.path.absolute()]
        self._done(room, run_tool(argv, cwd=room.scratch.folder, timeout_s=room.deadline_s))

    def _load_plain(self, room: Room, server: DrillServer) -> None:
        database = "template1"
        if self._sql.databases:
            self._make_way(server, self._sql.databases)
        elif not self._sql.roles_created:  # one of pg_dumpall may hold the postgres database alone
            database = _PLAIN_DATABASE
            encoding = self._sql.encoding or "UTF8"
            with server.session("template1") as session:
                session.execute(
                    f"CREATE DATABASE {database} TEMPLATE template0 ENCODING {quote_literal(encoding)} LOCALE 'C'"
                )
            room.deviations.append("a plain dump does not say its database's locale: C was used")
        self._psql(room, server, self._dump, self._sql, database)

    def _psql(self, room: Room, server: DrillServer, dump: DumpFile, facts: SqlFacts, database: str) -> None:
        """Run SQL as the server's user: a dump may hold ``\\!``, which runs programs."""
        argv: Argv = [self._client(room, "psql"), "--no-psqlrc", "--quiet"]
        argv += [
            "--set",
            "ON_ERROR_STOP=1",
            "--output",
            "/dev/null",
            "--dbname",
            server.dsn(database),
            "--file",
            "-",
        ]

        def feed(pipe: IO[bytes]) -> None:
            with dump.open_sql() as sql:
                if facts.has_tablespaces:
                    pipe.writelines(without_places(sql, functools.partial(_new_place, room)))
                else:
                    shutil.copyfileobj(sql, pipe, 1 << 20)

        self._done(
            room,
            run_tool(
                argv, cwd=room.scratch.folder, timeout_s=room.deadline_s, user=room.isolation.user, feed=feed
            ),
        )

    def _make_way(self, server: DrillServer, databases: set[str]) -> None:
        """Let the dump create the database ``postgres``, which a new cluster has already."""
        if "postgres" in databases:
            with server.session("template1") as session:
                session.execute("DROP DATABASE postgres")

    def _pg_restore(self, room: Room) -> Path:
        """Return a ``pg_restore`` that reads the archive: at least as new as the ``pg_dump`` that made it."""
        if (self._sql.by_major or 0) <= room.programs.major and room.programs.has("pg_restore"):
            return room.programs.path("pg_restore")
        return next(
            programs.path("pg_restore")
            for programs in self._restorers()
            if programs.major >= (self._sql.by_major or 0)
        )

    def _client(self, room: Room, name: str) -> Path:
        if room.programs.has(name):
            return room.programs.path(name)
        found = shutil.which(name)
        if found is None:
            raise RestoreToolUnusable(
                f"there is no {name} on this machine", hint="apt-get install postgresql-client"
            )
        return Path(found)

    def _done(self, room: Room, run: ToolRun) -> None:
        """Keep a run; raise DrillFailed where status or words say that it failed."""
        room.tool_runs.append(run)
        if not run.is_clean:
            raise DrillFailed(
                run.reason(), hint="restore it by hand to see all of it; then repair what makes the dump"
            )


def _new_place(room: Room) -> Path:
    """Make a folder for one more tablespace in the scratch folder."""
    place = room.scratch.tablespaces / str(len(os.listdir(room.scratch.tablespaces)))
    place.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(place, room.isolation.user.uid, room.isolation.user.gid)
    return place


def quote_identifier(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a text as SQL writes it (``standard_conforming_strings`` is on)."""
    return "'" + text.replace("'", "''") + "'"


def _major(text: str) -> int | None:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else None
