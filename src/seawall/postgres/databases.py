"""Connect to every database of a server: the only proof that each can be used.

A server starts with a locale that the machine lacks, answers in ``postgres``, and refuses just the
databases made with that locale. Extensions and the collations of columns are facts of each database
too, so they are gathered on the same visit.
"""

from __future__ import annotations

from seawall.model.errors import SeawallError
from seawall.postgres.observe import observe_databases, provider_name
from seawall.postgres.server_facts import Database, DatabaseReport, Extension, Locale
from seawall.postgres.session import ServerSession, connect, with_database

_EXTENSIONS_SQL = "SELECT extname, extversion FROM pg_extension ORDER BY extname"
_BUILT_IN_COLLATIONS = (100, 950, 951)
"""OIDs of "default", "C" and "POSIX" (pg_collation.dat): no machine lacks them."""


def check_every_database(
    dsn: str, *, connect_timeout_s: float = 10.0, password: str | None = None
) -> tuple[DatabaseReport, ...]:
    """Visit every database by name and report which let us in, which refuse, and why.

    Databases that are meant to refuse (``template0``) are reported so and not visited.

    Raises: as :func:`seawall.postgres.session.connect`, for the first connection alone.
    """
    with connect(dsn, connect_timeout_s=connect_timeout_s, password=password) as session:
        databases = observe_databases(session)
    return tuple(_visit(dsn, database, connect_timeout_s, password) for database in databases)


def _visit(dsn: str, database: Database, connect_timeout_s: float, password: str | None) -> DatabaseReport:
    if not database.is_valid:
        return DatabaseReport(
            database.name,
            refusal="its DROP DATABASE was interrupted; it can't be used any more",
            remedy=f'DROP DATABASE "{database.name}"',
        )
    if not database.allows_connections:
        return DatabaseReport(database.name, refusal="it allows no connections", is_meant_to_refuse=True)
    try:
        with connect(
            with_database(dsn, database.name), connect_timeout_s=connect_timeout_s, password=password
        ) as session:
            return observe_database(session, database.name)
    except SeawallError as error:
        return DatabaseReport(database.name, refusal=error.message, remedy=error.hint)


def observe_database(session: ServerSession, name: str) -> DatabaseReport:
    """Return the extensions and the column collations of the database that ``session`` is in."""
    extensions = tuple(Extension(*row) for row in session.query_all(_EXTENSIONS_SQL))
    return DatabaseReport(name, extensions=extensions, locales=_observe_collations(session))


def _observe_collations(session: ServerSession) -> tuple[Locale, ...]:
    """Return the collations that columns and indexes use, apart from the database's own."""
    if session.major >= 17:
        locale = "coalesce(colllocale, collcollate)"
    elif session.major >= 15:
        locale = "coalesce(colliculocale, collcollate)"
    else:
        locale = "collcollate"
    rows = session.query_all(
        f"SELECT DISTINCT collprovider::text, {locale}, collversion, pg_collation_actual_version(c.oid)"
        " FROM pg_collation c WHERE c.oid <> ALL (%s::oid[]) AND EXISTS"
        " (SELECT FROM pg_attribute a WHERE a.attcollation = c.oid AND NOT a.attisdropped)"
        " ORDER BY 1, 2",
        (list(_BUILT_IN_COLLATIONS),),
    )
    return tuple(Locale(provider_name(code), name or "", version, now) for code, name, version, now in rows)
