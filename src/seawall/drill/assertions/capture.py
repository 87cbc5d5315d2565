"""What to capture when a backup is made, so that a drill can tell later whether all of it came back.

Counts and digests of all tables, from one snapshot of each database. No rows: a digest says whether two contents are
the same, and nothing of what they are.
"""

from __future__ import annotations

from seawall.drill.assertions.contents import TABLES, digest_sql
from seawall.drill.assertions.inquiry import quoted
from seawall.postgres.databases import check_every_database
from seawall.postgres.session import connect, with_database

Captured = dict[str, dict[str, dict[str, int | str]]]
"""By database and table: ``rows``, and ``digest`` where it was asked for."""


def capture_tables(dsn: str, *, with_digests: bool, deadline_s: float) -> Captured:
    """Count every table of every database that a server lets us into. Only reads.

    Raises: as :func:`seawall.postgres.session.connect`; StatementRefused, ServerUnreachable (too slow).
    """
    names = [item.name for item in check_every_database(dsn) if not item.refusal]
    return {name: _capture(with_database(dsn, name), with_digests, deadline_s) for name in names}


def _capture(dsn: str, with_digests: bool, deadline_s: float) -> dict[str, dict[str, int | str]]:
    found: dict[str, dict[str, int | str]] = {}
    with connect(dsn, application_name="seawall drill") as session:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for schema, table, _ in session.query_all(TABLES):
            sql = f"SELECT count(*) FROM ONLY {quoted(schema, table)}"
            facts: dict[str, int | str] = {"rows": session.query_one(sql, deadline_s=deadline_s)[0]}
            if with_digests:
                facts["digest"] = session.query_one(digest_sql(schema, table), deadline_s=deadline_s)[0]
            found[f"{schema}.{table}"] = facts
    return found
