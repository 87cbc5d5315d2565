"""Say in our words why a server could not be talked to (libpq's messages; "Error Codes", appendix A).

A failed connection carries no SQLSTATE through libpq, only text in the language of the *server*. So
the text is matched where it is English, and otherwise the language-free answers decide: whether the
server answered at all, and whether it wanted a password. Pure: psycopg's errors are taken apart in
``session``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seawall.model.errors import SeawallError
from seawall.postgres.errors import (
    ConnectionStringInvalid,
    DatabaseMissing,
    ServerLoginRefused,
    ServerNotReady,
    ServerPermissionMissing,
    ServerUnreachable,
    ServerUnsupported,
    StatementRefused,
)


@dataclass(frozen=True, slots=True)
class ConnectionFailure:
    """What is known of a connection that failed: libpq's text, whether a password was asked for in
    vain, and what a plain ping says (``answers``: some server does; ``rejects``: it can't serve now)."""

    text: str
    needs_password: bool = False
    answers: bool = True
    rejects: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    """The first rule whose pattern is found in libpq's text names the error and its remedy."""

    pattern: re.Pattern[str]
    leaf: type[SeawallError]
    says: str
    hint: str


def _rule(pattern: str, leaf: type[SeawallError], says: str, hint: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), leaf, says, hint)


_PASSWORD_HINT = (
    "put the password into ~/.pgpass (mode 0600) or PGPASSWORD of the user that runs seawall, "
    "or let the server trust that user in pg_hba.conf (peer, cert, scram-sha-256)"
)
_RULES = (
    _rule(
        r"the database system is (starting up|shutting down|in recovery mode|not yet accepting|"
        r"not accepting connections)",
        ServerNotReady,
        "the server is starting up, recovering or shutting down",
        "wait, then try again; the server's log tells how far it is",
    ),
    _rule(
        r"too many (clients|connections)|remaining connection slots",
        ServerNotReady,
        "the server has no connection left for this user",
        "close sessions, or raise max_connections (or superuser_reserved_connections, or the role's limit)",
    ),
    _rule(
        r"database \".*\" does not exist|database \".*\" has disappeared",
        DatabaseMissing,
        "the server has no such database",
        "psql --list shows the names; postgresql://…/postgres nearly always works",
    ),
    _rule(
        r"invalid database \"|not currently accepting connections|locale is incompatible|"
        r"could not create locale",
        ServerLoginRefused,
        "the database does not let anybody in",
        "an interrupted DROP DATABASE, ALLOW_CONNECTIONS false or a locale that this machine lacks: "
        "see the server's words above; `locale -a` lists what is installed",
    ),
    _rule(
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        ServerLoginRefused,
        "pg_hba.conf has no line that lets this user in from here",
        "add a line for this user, database and address to pg_hba.conf, then SELECT pg_reload_conf()",
    ),
    _rule(
        r"role \".*\" does not exist",
        ServerLoginRefused,
        "the server has no such role",
        "name another user in the connection string, or CREATE ROLE … LOGIN",
    ),
    _rule(r"no password supplied", ServerLoginRefused, "the server wants a password", _PASSWORD_HINT),
    _rule(
        r"authentication failed|is not permitted to log in|GSSAPI|certificate|SCRAM",
        ServerLoginRefused,
        "the server does not accept this login",
        _PASSWORD_HINT,
    ),
    _rule(
        r"invalid response to SSL negotiation|expected authentication request|"
        r"received unencrypted data|unsupported frontend protocol|lost synchronization",
        ServerUnsupported,
        "what answers there does not speak PostgreSQL's protocol",
        "check host and port: PostgreSQL listens on 5432 unless told otherwise",
    ),
    _rule(
        r"does not support SSL|SSL is not enabled",
        ServerLoginRefused,
        "the connection string demands TLS and the server offers none",
        "set ssl = on at the server, or relax sslmode",
    ),
    _rule(
        r"Servname not supported|invalid port",
        ConnectionStringInvalid,
        "its port is no port number",
        "the form is postgresql://user@host:5432/database?option=value",
    ),
    _rule(
        r"failed to resolve host|could not translate host name|Name or service not known",
        ServerUnreachable,
        "its name does not resolve",
        "check the host's spelling and this machine's DNS",
    ),
    _rule(
        r"socket .* failed: No such file",
        ServerUnreachable,
        "no server listens on that socket",
        "is the server running? Is its unix_socket_directories the folder in the connection string's host?",
    ),
    _rule(
        r"Connection refused",
        ServerUnreachable,
        "nothing listens there",
        "is the server running, and do listen_addresses and port fit the connection string?",
    ),
    _rule(
        r"timeout expired|timed out",
        ServerUnreachable,
        "it did not answer in time",
        "a firewall, a dead host or a hung server: try `pg_isready` against the same host and port",
    ),
    _rule(
        r"invalid integer value|invalid port number|invalid sslmode|invalid .* value|could not parse",
        ConnectionStringInvalid,
        "a value in the connection string can't be used",
        "the form is postgresql://user@host:5432/database?option=value",
    ),
)


def is_understood(text: str) -> bool:
    """Say whether libpq's text alone tells the reason."""
    return any(rule.pattern.search(text) for rule in _RULES)


def explain_connection_failure(failure: ConnectionFailure, *, server: str) -> SeawallError:
    """Return the error for a connection to ``server`` (shown without secrets) that failed."""
    words = server_words(failure.text)
    for rule in _RULES:
        if rule.pattern.search(failure.text):
            return rule.leaf(f"{server}: {rule.says}: {words}", hint=rule.hint, server=server)
    if failure.rejects:
        hint = "wait, then try again; the server's log tells how far it is"
        return ServerNotReady(f"{server}: the server can't serve now: {words}", hint=hint, server=server)
    if failure.needs_password:
        return ServerLoginRefused(
            f"{server}: the server wants a password: {words}", hint=_PASSWORD_HINT, server=server
        )
    if failure.answers:
        hint = "the server's log has the whole reason"
        return ServerLoginRefused(f"{server}: the server refuses: {words}", hint=hint, server=server)
    hint = "is the server running, and do host and port fit? `pg_isready` tells"
    return ServerUnreachable(f"{server}: can't be reached: {words}", hint=hint, server=server)


def server_words(text: str) -> str:
    """Return the essence of libpq's text on one line: the server's FATAL message, else the last failure."""
    one_line = " ".join(text.split()).split(" Is the server running")[0]
    for prefix in ("FATAL: ", "FEHLER: ", "failed: "):
        _, found, rest = one_line.rpartition(prefix)
        if found:
            return rest.strip()
    return one_line.removeprefix("connection failed: ").removeprefix("connection is bad: ")


def explain_statement_failure(
    text: str, *, sqlstate: str | None, server: str, timed_out_after_s: float | None = None
) -> SeawallError:
    """Return the error for a statement that failed on a session with ``server``.

    ``timed_out_after_s`` is set when it was our own deadline that ended it.
    """
    words = " ".join(text.split())
    if timed_out_after_s is not None:
        return ServerUnreachable(
            f"{server} did not answer within {timed_out_after_s:g} s",
            hint="see pg_stat_activity for what it waits for; is the host overloaded or its storage stuck?",
            server=server,
        )
    if sqlstate is None or sqlstate.startswith(("08", "57P")):
        hint = "the server's log tells why; try again when it is back"
        return ServerUnreachable(f"the connection to {server} ended: {words}", hint=hint, server=server)
    if sqlstate == "57014":
        hint = "somebody or a timeout of the server cancelled it: try again"
        return ServerUnreachable(f"{server}: {words}", hint=hint, server=server)
    if sqlstate.startswith("53"):
        hint = "the server is out of a resource: connections, memory or disk; free some, then try again"
        return ServerNotReady(f"{server}: {words}", hint=hint, server=server, sqlstate=sqlstate)
    if sqlstate == "42501":
        return ServerPermissionMissing(
            f"{server}: {words}", hint=_grant_for(words), server=server, sqlstate=sqlstate
        )
    hint = "the message is the server's own"
    return StatementRefused(f"{server}: {words}", hint=hint, server=server, sqlstate=sqlstate)


_FUNCTION_DENIED = re.compile(r"permission denied for function (\w+)")
_SIGNATURES = {
    "pg_backup_start": "pg_backup_start(text, boolean)",
    "pg_backup_stop": "pg_backup_stop(boolean)",
    "pg_start_backup": "pg_start_backup(text, boolean, boolean)",
    "pg_stop_backup": "pg_stop_backup(boolean, boolean)",
    "pg_switch_wal": "pg_switch_wal()",
    "pg_create_restore_point": "pg_create_restore_point(text)",
}


def _grant_for(words: str) -> str:
    """Return the GRANT that a denied statement needs, as text to run as a superuser."""
    match = _FUNCTION_DENIED.search(words)
    if match is not None:
        return f"GRANT EXECUTE ON FUNCTION {_SIGNATURES.get(match[1], match[1])} TO the role"
    if "checkpoint" in words.lower():
        return "GRANT pg_checkpoint TO the role (PostgreSQL 15 and later)"
    return "GRANT pg_monitor TO the role (it contains pg_read_all_settings and pg_read_all_stats)"
