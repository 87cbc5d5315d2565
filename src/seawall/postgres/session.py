"""Sessions with a PostgreSQL server that can neither hang for ever nor be led astray.

Everything that Seawall asks a server goes through :class:`ServerSession`: every statement has a
deadline, ``search_path`` is ``pg_catalog`` alone (a hostile ``public.now()`` is never called), the
server's own timeouts are switched off so that ours are the only ones, and psycopg's errors leave
this module as Seawall's. Connection strings are shown without their secrets, always.

A session must end at the server itself. Behind a transaction pooler, settings leak into other
clients' sessions and a backup's two halves land on different backends, so poolers are refused.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self

from seawall.model.errors import SeawallError
from seawall.postgres.connection_errors import (
    ConnectionFailure,
    explain_connection_failure,
    explain_statement_failure,
    is_understood,
)
from seawall.postgres.errors import ConnectionStringInvalid, ServerUnsupported
from seawall.postgres.programs import NEWEST_MAJOR, OLDEST_MAJOR

if TYPE_CHECKING:
    from types import TracebackType

    import psycopg

SUPPORTED_MAJORS = range(OLDEST_MAJOR, NEWEST_MAJOR + 1)
"""The versions of PostgreSQL whose backup functions, catalogs and files Seawall knows."""

DEFAULT_DEADLINE_S = 60.0
_KILL_GRACE_S = 3.0
"""How long a cancelled statement may take to end before its connection is cut."""

Row = tuple[Any, ...]

_NEVER_SHOWN = frozenset({"password", "sslpassword", "oauth_client_secret"})
_TEXT_TYPES = ("text", "name", "varchar", "bpchar")
_SETTINGS = (
    "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
    "SET idle_session_timeout = 0; SET client_min_messages = 'warning'; SET DateStyle = 'ISO'; "
    "SET TimeZone = 'UTC'; SET bytea_output = 'hex'"
)


def load_driver() -> None:
    """Import the database driver now: a fifth of a second that another thread may spend ahead of time."""
    import psycopg  # noqa: F401


def display_dsn(dsn: str) -> str:
    """Return the connection string as a URL without its secrets, fit for screens and logs.

    Raises: ConnectionStringInvalid.
    """
    from urllib.parse import quote, urlencode

    options = {name: value for name, value in parse_dsn(dsn).items() if name not in _NEVER_SHOWN}
    host, port = options.get("host", ""), options.get("port", "")
    authority = ""
    if "," not in host + port and not host.startswith(("/", "@")):
        authority = f"[{host}]" if ":" in host else quote(host)
        authority += f":{port}" if port else ""
        options.pop("host", None)
        options.pop("port", None)
    user, database = options.pop("user", ""), options.pop("dbname", "")
    authority = (f"{quote(user, safe='')}@" if user else "") + authority
    query = urlencode(options, safe="/,@:")
    return f"postgresql://{authority}/{quote(database, safe='')}" + (f"?{query}" if query else "")


def parse_dsn(dsn: str) -> dict[str, str]:
    """Return the parameters of a connection string (URL or keywords; libpq, "Connection Strings").

    Raises: ConnectionStringInvalid, which never quotes the string: it may hold a password.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    hint = "the form is postgresql://user@host:5432/database?option=value; write %40 for an @ inside a part"
    try:
        parsed = conninfo_to_dict(dsn)
    except (psycopg.Error, UnicodeError) as error:
        # libpq quotes the part that it stumbled on, which may be the password.
        reason = " ".join(str(error).split('"')[0].split()).rstrip(":")
        raise ConnectionStringInvalid(
            f"the connection string can't be understood: {reason}", hint=hint
        ) from None
    options = {name: str(value) for name, value in parsed.items() if value is not None}
    if "@" in options.get("host", "").lstrip("@") or any(ord(c) < 32 for c in "".join(options.values())):
        # A password with a bare @ moves its rest into the host, where it would be shown.
        raise ConnectionStringInvalid("the connection string's parts can't be told apart", hint=hint)
    return options


def has_password(dsn: str) -> bool:
    """Say whether the connection string itself holds a secret, which :func:`display_dsn` leaves out.

    Raises: ConnectionStringInvalid.
    """
    return not _NEVER_SHOWN.isdisjoint(parse_dsn(dsn))


def with_database(dsn: str, database: str) -> str:
    """Return the connection string that leads to another database of the same server.

    Raises: ConnectionStringInvalid.
    """
    from psycopg.conninfo import make_conninfo

    return make_conninfo("", **{**parse_dsn(dsn), "dbname": database})


def connect(
    dsn: str,
    *,
    connect_timeout_s: float = 10.0,
    application_name: str = "seawall",
    autocommit: bool = True,
    password: str | None = None,
    search_path: str | None = "pg_catalog",
) -> ServerSession:
    """Open a session with the server itself; what the connection string says wins over our defaults.

    ``search_path`` None keeps the role's own, for SQL that a user wrote.

    Raises: ServerUnreachable, ServerNotReady, ServerLoginRefused, DatabaseMissing,
    ConnectionStringInvalid, ServerUnsupported.
    """
    import psycopg

    server = display_dsn(dsn)
    options = _with_timeouts(parse_dsn(dsn), connect_timeout_s, application_name)
    if password is not None:
        options["password"] = password
    try:
        connection = psycopg.connect(**options, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]
    except (psycopg.Error, UnicodeError, OSError) as error:
        failure = _describe_failure(error, options)
        # psycopg's own message may name hosts and users, never the password; still, ours suffices.
        raise explain_connection_failure(failure, server=server) from error
    session = ServerSession(connection, server)
    try:
        session.prepare(search_path=search_path)
        if not autocommit:
            connection.autocommit = False
    except SeawallError:
        session.close()
        raise
    return session


def _with_timeouts(
    options: dict[str, str], connect_timeout_s: float, application_name: str
) -> dict[str, str]:
    defaults = {
        "connect_timeout": str(max(2, round(connect_timeout_s))),
        "tcp_user_timeout": "30000",
        "keepalives": "1",
        "keepalives_idle": "15",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "fallback_application_name": application_name,
    }
    return {**defaults, **options, "client_encoding": "UTF8"}


def _describe_failure(error: Exception, options: dict[str, str]) -> ConnectionFailure:
    """Add what a ping knows, in no language, to a text that is not understood."""
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    if is_understood(str(error)):
        return ConnectionFailure(str(error))
    conninfo = make_conninfo("", **options).encode()
    verdict = pq.Ping(pq.PGconn.ping(conninfo))
    return ConnectionFailure(
        text=str(error),
        needs_password=bool(getattr(getattr(error, "pgconn", None), "needs_password", False)),
        answers=verdict in (pq.Ping.OK, pq.Ping.REJECT),
        rejects=verdict == pq.Ping.REJECT,
    )


class ServerSession:
    """One connection; statements from several threads take turns.

    ``server`` is the connection string as it may be shown. ``deadline_s`` holds for statements without one of
    their own.
    """

    def __init__(self, connection: psycopg.Connection[Row], server: str) -> None:
        self._connection = connection
        self._turn = threading.Lock()
        self.server = server
        self.deadline_s = DEFAULT_DEADLINE_S

    @property
    def version_num(self) -> int:
        """The server's version as ``server_version_num``: 150019 for 15.19."""
        return self._connection.info.server_version

    @property
    def major(self) -> int:
        return self.version_num // 10000

    def prepare(self, *, search_path: str | None) -> None:
        """Check who answers and make the session safe (what :func:`connect` does at once).

        Raises: ServerUnsupported, ConnectionStringInvalid for a pooler.
        """
        version = self._connection.info.parameter_status("server_version") or "unknown"
        if self.major not in SUPPORTED_MAJORS:
            known = f"{SUPPORTED_MAJORS[0]} to {SUPPORTED_MAJORS[-1]}"
            raise ServerUnsupported(
                f"{self.server} is of version {version}; this Seawall knows PostgreSQL {known}",
                hint="upgrade the server, or Seawall if the server is newer",
                server=self.server,
                version=version,
            )
        self._accept_any_text()
        (pid,) = self.query_one("SELECT pg_catalog.pg_backend_pid()")
        if pid != self._connection.info.backend_pid:
            raise ConnectionStringInvalid(
                f"{self.server} leads to a connection pooler, not to the server itself",
                hint="name the server's own host and port (or socket) in the connection string",
                server=self.server,
            )
        path = "" if search_path is None else f"SET search_path = {search_path}; "
        self.execute(path + self._encoding() + _SETTINGS)

    def query_one(self, sql: str, params: Sequence[Any] = (), *, deadline_s: float | None = None) -> Row:
        """Return the first row. Raises LookupError if there is none, and what :meth:`query_all` raises."""
        rows = self.query_all(sql, params, deadline_s=deadline_s)
        if not rows:
            raise LookupError(f"no row from: {sql}")
        return rows[0]

    def query_all(
        self, sql: str, params: Sequence[Any] = (), *, deadline_s: float | None = None
    ) -> list[Row]:
        """Return all rows; for results that fit in memory.

        Raises: ServerUnreachable (also for the deadline; the statement was cancelled),
        ServerNotReady, ServerPermissionMissing, StatementRefused.
        """
        return self._run(sql, params, deadline_s, fetch=True)

    def execute(self, sql: str, params: Sequence[Any] = (), *, deadline_s: float | None = None) -> None:
        """Run a statement without a result. Raises as :meth:`query_all`."""
        self._run(sql, params, deadline_s, fetch=False)

    def close(self) -> None:
        """End the session; the server rolls back and aborts what was open. Never fails, never waits."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, sql: str, params: Sequence[Any], deadline_s: float | None, *, fetch: bool) -> list[Row]:
        import psycopg

        limit_s = max(self.deadline_s if deadline_s is None else deadline_s, 0.001)
        with self._turn, _Deadline(self._connection, limit_s) as deadline:
            try:
                cursor = self._connection.execute(sql.encode(), list(params) or None)
                return cursor.fetchall() if fetch else []
            except (psycopg.Error, UnicodeError) as error:
                self._raise(error, limit_s if deadline.has_passed else None)

    def _raise(self, error: Exception, timed_out_after_s: float | None) -> NoReturn:
        sqlstate = getattr(error, "sqlstate", None)
        diagnostic = getattr(getattr(error, "diag", None), "message_primary", None)
        raise explain_statement_failure(
            diagnostic or str(error),
            sqlstate=sqlstate,
            server=self.server,
            timed_out_after_s=timed_out_after_s,
        ) from error

    def _encoding(self) -> str:
        """A SQL_ASCII database holds any bytes, which the server would refuse to hand out as UTF-8."""
        if self._connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            return "SET client_encoding = 'SQL_ASCII'; "
        return ""

    def _accept_any_text(self) -> None:
        """Load text that is not UTF-8 without losing a byte (surrogateescape, as file names)."""
        from psycopg.abc import Buffer
        from psycopg.adapt import Loader

        class AnyText(Loader):
            def load(self, data: Buffer) -> str:
                return bytes(data).decode("utf-8", "surrogateescape")

        for name in _TEXT_TYPES:
            self._connection.adapters.register_loader(name, AnyText)


class _Deadline:
    """Ends a statement in time: first asks the server to cancel it, then cuts the connection.

    The second step is for a server that is hung or a network that swallows packets.
    """

    def __init__(self, connection: psycopg.Connection[Row], limit_s: float) -> None:
        self._connection = connection
        self._limit_s = limit_s
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="seawall-deadline", daemon=True)
        self.has_passed = False

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        # A cancel request that is under way must not hit the next statement.
        self._watcher.join()

    def _watch(self) -> None:
        if self._is_over.wait(self._limit_s):
            return
        self.has_passed = True
        import psycopg

        try:
            self._connection.cancel_safe(timeout=_KILL_GRACE_S)
        except psycopg.Error:
            pass  # the server can't even take a cancel request: the connection is cut below
        if not self._is_over.wait(_KILL_GRACE_S):
            self._cut()

    def _cut(self) -> None:
        """Shut the socket down under libpq, which then reports a lost connection."""
        import os
        import socket

        try:
            with socket.socket(fileno=os.dup(self._connection.fileno())) as under:
                under.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # gone already
