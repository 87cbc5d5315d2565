"""The data itself: tables counted, large objects read, and both compared with what was captured with the backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from seawall.drill.assertions.inquiry import Answer, Inquiry, count_of, quoted, verdict
from seawall.postgres.session import ServerSession

_MOST_FIGURES = 200
"""Tables that evidence names; the largest ones."""
TABLES = """
SELECT n.nspname, c.relname,
    (SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}') FROM pg_attribute a WHERE a.attrelid = c.oid
        AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relpages DESC, 1, 2
"""
_LARGE_OBJECTS = """
SELECT (SELECT count(*) FROM pg_largeobject_metadata), (SELECT coalesce(sum(length(data)), 0) FROM pg_largeobject),
    (SELECT count(*) FROM (SELECT DISTINCT loid FROM pg_largeobject) l
        WHERE loid NOT IN (SELECT oid FROM pg_largeobject_metadata))
"""
_LO_COLUMNS = """
SELECT n.nspname, c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid
WHERE t.typname = 'lo' AND t.typbasetype = 'oid'::regtype AND c.relkind = 'r' AND NOT a.attisdropped ORDER BY 1, 2, 3
"""


def digest_sql(schema: str, table: str) -> str:
    """Return a query for a digest of all rows, whatever their order; it needs no memory."""
    return (
        "SELECT coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)::text "
        f"FROM {quoted(schema, table)} t"
    )


def ask_rows(inquiry: Inquiry) -> Sequence[Answer]:
    """Rows are there, and as many as were captured with the backup where somebody did that."""
    figures: dict[str, int | str] = {}
    total = tables = 0
    troubles: list[str] = []

    def count(session: ServerSession, database: str) -> list[str]:
        nonlocal total, tables
        expected, found = dict(inquiry.expected_tables.get(database, {})), []
        for schema, table, time_columns in session.query_all(TABLES):
            rows, newest = _count(inquiry, session, schema, table, time_columns)
            total, tables = total + rows, tables + 1
            name = f"{schema}.{table}"
            if len(figures) < _MOST_FIGURES:
                figures[f"rows {database}.{name}"] = rows
                if newest is not None:
                    figures[f"newest {database}.{name}"] = f"{newest:%Y-%m-%dT%H:%M:%SZ}"
            found += _compare(inquiry, session, schema, table, rows, expected.pop(name, {}))
        return [*found, *(f"{name} is missing" for name in expected)]

    troubles = inquiry.in_each_database(count)
    troubles += [
        f"database {name} is missing" for name in inquiry.expected_tables if name not in inquiry.databases
    ]
    if total == 0:
        troubles.append(f"not a single row in {tables} tables came back")
    known = ", as captured with the backup" if inquiry.expected_tables else ""
    (answer,) = verdict(troubles, f"{count_of(total, 'row')} in {count_of(tables, 'table')}{known}")
    return [Answer(answer.outcome, answer.detail, {"rows": total, "tables": tables, **figures})]


def _count(
    inquiry: Inquiry, session: ServerSession, schema: str, table: str, time_columns: Sequence[str]
) -> tuple[int, datetime | None]:
    """Count in one pass, and find the newest time that is not in the future."""
    columns = "".join(
        f", max({quoted(name)}) FILTER (WHERE {quoted(name)} <= now())" for name in time_columns
    )
    ((rows, *times),) = inquiry.query(session, f"SELECT count(*){columns} FROM ONLY {quoted(schema, table)}")
    known = [time for time in times if isinstance(time, datetime)]
    return int(rows), max((time.replace(tzinfo=None) for time in known), default=None)


def _compare(
    inquiry: Inquiry, session: ServerSession, schema: str, table: str, rows: int, expected: object
) -> list[str]:
    if not isinstance(expected, dict) or not expected:
        return []
    if rows != expected.get("rows", rows):
        return [f"{schema}.{table} has {rows} rows, had {expected['rows']}"]
    if "digest" in expected:
        ((digest,),) = inquiry.query(session, digest_sql(schema, table))
        if digest != expected["digest"]:
            return [f"{schema}.{table} has other content than when it was captured"]
    return []


def ask_large_objects(inquiry: Inquiry) -> Sequence[Answer]:
    """Every large object can be read, and what columns of type ``lo`` refer to is there."""
    objects = size = 0

    def read(session: ServerSession, database: str) -> list[str]:
        nonlocal objects, size
        ((count, byte_count, orphans),) = inquiry.query(session, _LARGE_OBJECTS)
        objects, size = objects + int(count), size + int(byte_count)
        found = [f"{orphans} large objects have data and no entry: nobody can read them"] if orphans else []
        for schema, table, column in session.query_all(_LO_COLUMNS):
            sql = (
                f"SELECT count(*) FROM {quoted(schema, table)} t WHERE {quoted(column)} IS NOT NULL AND NOT EXISTS "
                f"(SELECT FROM pg_largeobject_metadata m WHERE m.oid = t.{quoted(column)})"
            )
            ((lost,),) = inquiry.query(session, sql)
            found += [f"{schema}.{table}.{column} refers to {lost} that are not there"] if lost else []
        return found

    troubles = inquiry.in_each_database(read)
    return verdict(
        troubles, f"{count_of(objects, 'large object')}, all can be read", objects=objects, bytes=size
    )
