"""Visit every database within the time that is left: invalid indexes, unlogged tables, collations, extensions."""

from __future__ import annotations

from seawall.model.errors import SeawallError
from seawall.model.fact import Fact, Unknown
from seawall.postgres.databases import observe_database
from seawall.postgres.health.facts import DatabaseHealth, UnloggedTables
from seawall.postgres.health.inquiry import Inquiry, make_read_only
from seawall.postgres.server_facts import Database, DatabaseReport
from seawall.postgres.session import ServerSession, connect, with_database

MOST_DATABASES = 200
"""A server with more is visited in part: an audit takes seconds."""
_CONNECT_LIMIT_S = 5.0
_BLOCK_BYTES = 8192
_SHOWN = 20


def visit_databases(
    dsn: str, databases: Fact[tuple[Database, ...]], inquiry: Inquiry, password: str | None
) -> Fact[tuple[DatabaseHealth, ...]]:
    """Return what each database shows, those that allow connections; largest first, as long as there is time."""
    if isinstance(databases, Unknown):
        return databases
    open_ones = [item for item in databases if item.allows_connections and item.is_valid]
    by_size = sorted(open_ones, key=lambda item: -(item.size_bytes or 0))
    return tuple(
        _visit(dsn, item.name, inquiry, password, is_wanted=number < MOST_DATABASES)
        for number, item in enumerate(by_size)
    )


def _visit(dsn: str, name: str, inquiry: Inquiry, password: str | None, *, is_wanted: bool) -> DatabaseHealth:
    what = f"database {name}"
    if inquiry.limit_s <= 0 or not is_wanted:
        late = inquiry.out_of_time(what)
        return DatabaseHealth(name, late, late, late)
    try:
        session = connect(
            with_database(dsn, name),
            connect_timeout_s=min(_CONNECT_LIMIT_S, inquiry.left_s),
            application_name="seawall audit",
            password=password,
        )
    except SeawallError as error:
        refusal = DatabaseReport(name, refusal=error.message, remedy=error.hint)
        unseen = Unknown(f"{what} refuses the connection", error.hint)
        return DatabaseHealth(name, refusal, unseen, unseen)
    with session:
        return _look(session, name, inquiry)


def _look(session: ServerSession, name: str, inquiry: Inquiry) -> DatabaseHealth:
    safe = inquiry.ask(f"database {name}", lambda _: make_read_only(session))
    if isinstance(safe, Unknown):
        return DatabaseHealth(name, safe, safe, safe)
    return DatabaseHealth(
        name=name,
        report=inquiry.ask(f"extensions of {name}", lambda _: observe_database(session, name)),
        invalid_indexes=inquiry.ask(f"indexes of {name}", lambda s: _invalid_indexes(session, s)),
        unlogged=inquiry.ask(f"unlogged tables of {name}", lambda s: _unlogged(session, s)),
    )


def _invalid_indexes(session: ServerSession, limit_s: float) -> tuple[str, ...]:
    """Return the indexes that an interrupted CREATE INDEX CONCURRENTLY (or kin) left, not those in the making."""
    rows = session.query_all(
        "SELECT format('%I.%I on %s', n.nspname, c.relname, i.indrelid::regclass)"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready AND i.indislive)"
        " AND n.nspname <> 'pg_toast' AND NOT EXISTS"
        " (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) ORDER BY 1",
        deadline_s=limit_s,
    )
    return tuple(name for (name,) in rows)


def _unlogged(session: ServerSession, limit_s: float) -> UnloggedTables:
    """Sizes are the planner's estimates: measuring would wait for locks."""
    rows = session.query_all(
        "SELECT format('%I.%I', n.nspname, c.relname), greatest(c.relpages, 0)::bigint"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm') ORDER BY 2 DESC, 1",
        deadline_s=limit_s,
    )
    return UnloggedTables(tuple(name for name, _ in rows), sum(pages for _, pages in rows) * _BLOCK_BYTES)
