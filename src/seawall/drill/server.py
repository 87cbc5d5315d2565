"""The rehearsed server: started in isolation, asked over its socket, stopped. What it says of its recovery is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from seawall.drill.errors import DrillFailed
from seawall.drill.isolation import configured, server_settings, without_jobs, write_access_files
from seawall.drill.room import Room
from seawall.drill.wal_feed import Fed, WalFeed
from seawall.model.errors import SeawallError
from seawall.model.lsn import Lsn
from seawall.postgres.server.lifecycle import Launch, Milestone, start_server, stop_server
from seawall.postgres.server.running import RunningServer
from seawall.postgres.session import ServerSession, connect

PORT = 5432
_LAST_COMMIT = re.compile(r"last completed transaction was at log time (\S+ [\d:.]+)\+00", re.MULTILINE)
_STOPPED = "recovery stopping "
"""How the server says that it came to its target (xlogrecovery.c, recoveryStopsBefore)."""
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")
_MEMORY_SHARE = 4
_PAGE_BYTES = 8192
_FALLBACK_BUFFERS = "128MB"


@dataclass(frozen=True, slots=True)
class Recovery:
    """Where replay ended, by the server's own log. None: nothing was replayed, or no transaction."""

    lsn: Lsn | None = None
    last_transaction_at: datetime | None = None
    stopped_at_target: bool = False


@dataclass(slots=True)
class DrillServer:
    """A server that runs in the scratch folder. ``user`` is a superuser of it."""

    room: Room
    user: str
    recovery: Recovery
    fed: Fed

    def dsn(self, database: str) -> str:
        quoted = database.replace("\\", "\\\\").replace("'", "\\'")
        return f"host='{self.room.scratch.socket}' port={PORT} dbname='{quoted}' user='{self.user}'"

    def session(self, database: str, *, search_path: str | None = "pg_catalog") -> ServerSession:
        """Open a session. Raises as :func:`seawall.postgres.session.connect`."""
        return connect(self.dsn(database), application_name="seawall drill", search_path=search_path)

    def stop(self) -> None:
        """Stop it and wait for its end. Raises ServerNotReady."""
        stop_server(self.room.data, deadline_s=self.room.deadline_s, clock=self.room.clock)


def start(
    room: Room, feed: WalFeed | None, users: tuple[str, ...], settings: Mapping[str, str]
) -> DrillServer:
    """Start the server, wait until it accepts writes, and find a superuser's name among ``users``.

    Raises:
        ServerStartFailed, ServerNotReady: it does not come up; the message holds its log's end.
        SeawallError: what kept the feed from handing in WAL.
        DrillFailed: nobody of ``users`` is a superuser there.
    """
    log = room.scratch.folder / "server.log"
    write_access_files(room.scratch)
    room.settle()
    launch = Launch(log, _settings(room, feed, settings), socket_directory=room.scratch.socket, port=PORT)
    with feed or nullcontext():
        try:
            start_server(
                room.data,
                room.programs,
                launch,
                run_as=room.isolation.user,
                until=Milestone.PROMOTED,
                deadline_s=room.deadline_s,
                clock=room.clock,
            )
        except SeawallError as error:
            if feed is not None and feed.fed.error is not None:
                raise feed.fed.error from error
            raise
    recovery = _read_log(log)
    server = DrillServer(room, "", recovery, feed.fed if feed is not None else Fed())
    server.user = _superuser(server, users)
    return server


def _settings(room: Room, feed: WalFeed | None, settings: Mapping[str, str]) -> dict[str, str]:
    libraries = configured("shared_preload_libraries", room.isolation, room.scratch, room.programs)
    kept = None
    if libraries:
        kept, left_out = without_jobs(libraries)
        if left_out:
            room.deviations.append(f"started without {', '.join(left_out)}, which would run jobs")
    chosen = server_settings(room.scratch, room.programs, kept)
    buffers = configured("shared_buffers", room.isolation, room.scratch, room.programs)
    if buffers and buffers.isdigit() and int(buffers) * _PAGE_BYTES > _memory_bytes() // _MEMORY_SHARE:
        chosen["shared_buffers"] = _FALLBACK_BUFFERS
        room.deviations.append("this machine has less memory than the source's shared_buffers ask for")
    if feed is not None:
        chosen["restore_command"] = feed.restore_command
    return {**chosen, **settings}


def _superuser(server: DrillServer, users: tuple[str, ...]) -> str:
    first: SeawallError | None = None
    for name in dict.fromkeys(users):
        server.user = name
        try:
            with server.session("template1") as session:
                if session.query_one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0]:
                    return name
        except SeawallError as error:
            first = first or error
    raise DrillFailed(
        f"the server runs, and none of {', '.join(dict.fromkeys(users))} may log in as a superuser"
        + (f": {first.message}" if first else ""),
        hint="name one of its superusers with --user",
    )


def _read_log(log: Path) -> Recovery:
    text = log.read_text(encoding="utf-8", errors="replace")
    done, last = _REDO_DONE.findall(text), _LAST_COMMIT.findall(text)
    return Recovery(
        Lsn.parse(done[-1]) if done else None,
        datetime.fromisoformat(last[-1]).replace(tzinfo=UTC) if last else None,
        _STOPPED in text,
    )


def running(room: Room) -> RunningServer | None:
    """Return the server that runs in the scratch folder, None if none does."""
    from seawall.postgres.server.running import find_running_server

    return find_running_server(room.data)


def _memory_bytes() -> int:
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
