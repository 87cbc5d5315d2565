"""What the catalogs promise, and whether it holds: roles, extensions, collations, indexes, sequences, foreign keys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap
from typing import Any

from seawall.drill.assertions.inquiry import Answer, Inquiry, count_of, quoted, verdict
from seawall.postgres.session import ServerSession
from seawall.repository.backups.record import ClusterNeeds
from seawall.restore.errors import TargetNotReady
from seawall.restore.readiness import check_readiness

_FIRST_WITH_COLLATION_VERSIONS = 15
_FIRST_WITH_PERIODS = 18
_DANGLING_ROLES = """
SELECT count(*) FROM (
    SELECT relowner AS role FROM pg_class UNION SELECT proowner FROM pg_proc UNION SELECT nspowner FROM pg_namespace
    UNION SELECT typowner FROM pg_type UNION SELECT datdba FROM pg_database
    UNION SELECT (aclexplode(relacl)).grantee FROM pg_class UNION SELECT (aclexplode(nspacl)).grantee FROM pg_namespace
    UNION SELECT (aclexplode(proacl)).grantee FROM pg_proc UNION SELECT (aclexplode(attacl)).grantee FROM pg_attribute
    UNION SELECT (aclexplode(datacl)).grantee FROM pg_database
    UNION SELECT (aclexplode(defaclacl)).grantee FROM pg_default_acl
    UNION SELECT roleid FROM pg_auth_members UNION SELECT member FROM pg_auth_members
) used WHERE role <> 0 AND role NOT IN (SELECT oid FROM pg_authid)
"""
_INVALID_INDEXES = """
SELECT n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) ORDER BY 1, 2
"""
_SEQUENCES = """
WITH used AS (
    SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    UNION
    SELECT d.refobjid, f.adrelid, f.adnum FROM pg_attrdef f JOIN pg_depend d ON d.objid = f.oid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'
)
SELECT sn.nspname, s.relname, tn.nspname, t.relname, a.attname, q.seqincrement
FROM used u JOIN pg_sequence q ON q.seqrelid = u.sequence JOIN pg_class s ON s.oid = u.sequence
JOIN pg_namespace sn ON sn.oid = s.relnamespace JOIN pg_class t ON t.oid = u.relation
JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.number AND NOT a.attisdropped
WHERE NOT q.seqcycle AND t.relkind IN ('r', 'p') AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
ORDER BY 1, 2, 3, 4
"""
_FOREIGN_KEYS = """
SELECT c.conname, cn.nspname, ct.relname, ct.relkind = 'p', pn.nspname, pt.relname, pt.relkind = 'p',
    c.confmatchtype = 'f',
    (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY k(number, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number),
    (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(c.confkey) WITH ORDINALITY k(number, place)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number),
    (SELECT array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname) ORDER BY k.place)
        FROM unnest(c.conpfeqop) WITH ORDINALITY k(operator, place) JOIN pg_operator o ON o.oid = k.operator
        JOIN pg_namespace n ON n.oid = o.oprnamespace)
FROM pg_constraint c JOIN pg_class ct ON ct.oid = c.conrelid JOIN pg_namespace cn ON cn.oid = ct.relnamespace
JOIN pg_class pt ON pt.oid = c.confrelid JOIN pg_namespace pn ON pn.oid = pt.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.convalidated {further} ORDER BY 2, 3, 1
"""


def ask_roles(inquiry: Inquiry) -> Sequence[Answer]:
    """Every owner and grantee exists; and so does who must be able to log in, and who a dump names."""
    troubles = [f"{name} is named and not carried" for name in inquiry.server.room.missing_roles or ()]
    with inquiry.server.session("template1") as session:
        known = {name for (name,) in session.query_all("SELECT rolname FROM pg_roles WHERE rolcanlogin")}
        (count,) = session.query_one("SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_'")
    troubles += [
        f"{name}, who has to log in, is missing" for name in inquiry.expected_roles if name not in known
    ]

    def dangling(session: ServerSession, database: str) -> list[str]:
        (number,) = inquiry.query(session, _DANGLING_ROLES)[0]
        return [f"{number} owners or grantees are no roles"] if number else []

    troubles += inquiry.in_each_database(dangling)
    return verdict(troubles, f"{count_of(count, 'role')}; every owner and grantee exists", roles=count)


def ask_extensions(inquiry: Inquiry) -> Sequence[Answer]:
    """What the databases use is installed here: a server starts without it, and fails at the first call."""
    needed: dict[str, list[str]] = {}
    libraries: set[str] = set()

    def gather(session: ServerSession, database: str) -> list[str]:
        for name, version in session.query_all("SELECT extname, extversion FROM pg_extension"):
            needed.setdefault(f"{name} {version}", []).append(database)
        libraries.update(
            name for (name,) in session.query_all("SELECT DISTINCT probin FROM pg_proc WHERE probin <> ''")
        )
        return []

    inquiry.in_each_database(gather)
    missing: list[str] = []
    try:
        check_readiness(ClusterNeeds(tuple(sorted(libraries)), needed), inquiry.server.room.programs)
    except TargetNotReady as error:
        missing = [str(item) for item in _as_list(error.fields["missing"])]
    return verdict(
        missing, f"{count_of(len(needed), 'extension')}, what they need is here", extensions=len(needed)
    )


def ask_collations(inquiry: Inquiry) -> Sequence[Answer]:
    """Texts sort here as they did at the source: else indexes over them lie."""

    def changed(session: ServerSession, database: str) -> list[str]:
        rows = session.query_all(
            "SELECT collname, collversion, pg_collation_actual_version(oid) FROM pg_collation c"
            " WHERE collversion IS NOT NULL AND EXISTS"
            " (SELECT FROM pg_attribute a WHERE a.attcollation = c.oid AND NOT a.attisdropped)"
        )
        if session.major >= _FIRST_WITH_COLLATION_VERSIONS:
            rows += session.query_all(
                "SELECT 'the database', datcollversion, pg_database_collation_actual_version(oid) FROM pg_database"
                " WHERE datname = current_database() AND datcollversion IS NOT NULL"
            )
        return [f"{name} has version {now}, was {was}" for name, was, now in rows if was != now]

    return verdict(inquiry.in_each_database(changed), "as at the source, as far as versions are recorded")


def ask_indexes(inquiry: Inquiry) -> Sequence[Answer]:
    """No index is left half-built: queries don't use it, and a unique one guards nothing."""

    def invalid(session: ServerSession, database: str) -> list[str]:
        return [f"{schema}.{name} is invalid" for schema, name in session.query_all(_INVALID_INDEXES)]

    return verdict(inquiry.in_each_database(invalid), "all valid")


def ask_sequences(inquiry: Inquiry) -> Sequence[Answer]:
    """The next number of each is one that its table has not: else the first insert fails."""
    counted = 0

    def behind(session: ServerSession, database: str) -> list[str]:
        nonlocal counted
        found = session.query_all(_SEQUENCES)
        counted += len(found)
        return [text for text in starmap(lambda *row: _behind(inquiry, session, row), found) if text]

    troubles = inquiry.in_each_database(behind)
    return verdict(
        troubles, f"{count_of(counted, 'sequence')} with a column, none behind it", sequences=counted
    )


def _behind(inquiry: Inquiry, session: ServerSession, row: tuple[Any, ...]) -> str:
    schema, sequence, table_schema, table, column, increment = row
    extreme, is_ahead = ("max", ">") if increment > 0 else ("min", "<")
    sql = (
        f"SELECT coalesce(q.last_value + CASE WHEN q.is_called THEN {int(increment)} ELSE 0 END {is_ahead} "
        f"(SELECT {extreme}({quoted(column)}) FROM {quoted(table_schema, table)}), true) "
        f"FROM {quoted(schema, sequence)} q"
    )
    ((is_right,),) = inquiry.query(session, sql)
    return "" if is_right else f"{schema}.{sequence} is behind {table_schema}.{table}.{column}"


def ask_foreign_keys(inquiry: Inquiry) -> Sequence[Answer]:
    """Every reference leads to a row, by a query over the data; ``convalidated`` only says that it once did."""
    counted = 0

    def broken(session: ServerSession, database: str) -> list[str]:
        nonlocal counted
        further = "AND c.conenforced AND NOT c.conperiod" if session.major >= _FIRST_WITH_PERIODS else ""
        found = session.query_all(_FOREIGN_KEYS.format(further=further))
        counted += len(found)
        return [text for text in (_broken(inquiry, session, row) for row in found) if text]

    troubles = inquiry.in_each_database(broken)
    return verdict(
        troubles, f"{count_of(counted, 'foreign key')}, none broken, by query", foreign_keys=counted
    )


def _broken(inquiry: Inquiry, session: ServerSession, row: tuple[Any, ...]) -> str:
    """Ask as PostgreSQL does when it validates (ri_triggers.c, RI_Initial_Check)."""
    (
        name,
        schema,
        table,
        is_split,
        parent_schema,
        parent,
        is_parent_split,
        is_full,
        columns,
        keys,
        operators,
    ) = row
    child_only, parent_only = ("" if is_split else "ONLY "), ("" if is_parent_split else "ONLY ")
    pairs = " AND ".join(
        f"p.{quoted(key)} {operator} c.{quoted(column)}"
        for column, key, operator in zip(columns, keys, operators, strict=True)
    )
    not_null = (" OR " if is_full else " AND ").join(f"c.{quoted(column)} IS NOT NULL" for column in columns)
    sql = (
        f"SELECT EXISTS (SELECT FROM {child_only}{quoted(schema, table)} c LEFT JOIN "
        f"{parent_only}{quoted(parent_schema, parent)} p ON {pairs} WHERE p.{quoted(keys[0])} IS NULL AND ({not_null}))"
    )
    ((is_broken,),) = inquiry.query(session, sql)
    return f"{schema}.{table} ({name}) refers to rows that are not there" if is_broken else ""


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
