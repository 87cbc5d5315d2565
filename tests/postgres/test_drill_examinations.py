"""Every examination of a drill is put to a real server: it catches its sabotage, and nobody else does.

Each sabotage is done to a copy of one sound database. That no other examination notices is what makes the mutation
test mean something: with an examination taken out of the registry, its sabotage goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from seawall.drill.assertions.examinations import EXAMINATIONS, examine
from seawall.drill.assertions.inquiry import Examination, Inquiry
from seawall.drill.tools import ToolRun
from seawall.evidence.model import Assertion, AssertionOutcome
from seawall.model.clock import SystemClock
from seawall.postgres.programs import ServerPrograms
from seawall.restore.planning.request import Check
from tests.support.drills import SHOP, drill_settings, inquiry_of
from tests.support.servers import TestCluster

pytestmark = pytest.mark.postgres

SOUND = "sound"
RUNNING = [examination for examination in EXAMINATIONS if not examination.is_of_stopped]


@pytest.fixture(scope="module")
def cluster(one_pg_programs: ServerPrograms) -> Iterator[TestCluster]:
    """A server as a drill runs it, with one sound database."""
    made = TestCluster.create(one_pg_programs)
    try:
        made.settings = drill_settings(made)
        made.start()
        made.sql(f"CREATE DATABASE {SOUND}", "CREATE ROLE app LOGIN")
        made.sql(*SHOP, database=SOUND)
        yield made
    finally:
        made.destroy()


def _sql(*statements: str) -> Callable[[TestCluster, str], None]:
    def run(cluster: TestCluster, database: str) -> None:
        cluster.sql(*statements, database=database)

    return run


def _catalog(statement: str) -> Callable[[TestCluster, str], None]:
    """Change a catalog behind the server's back, as damage or an old bug would have."""

    def run(cluster: TestCluster, database: str) -> None:
        with cluster.connect(database) as connection:
            connection.execute("SET allow_system_table_mods = on")
            connection.execute(statement.format(database=database).encode())

    return run


def _untouched(cluster: TestCluster, database: str) -> None:
    """Nothing: what is wrong is in the facts."""


@dataclass(frozen=True, slots=True)
class Sabotage:
    """What is done to a copy of the sound database, which examination catches it, and what it says."""

    examination: str
    does: Callable[[TestCluster, str], None]
    says: str
    facts: dict[str, Any] = field(default_factory=dict)


def _check(sql: str) -> dict[str, Any]:
    return {"checks": [Check("question", "", sql)]}


def _expect(table: str, facts: dict[str, int | str]) -> dict[str, Any]:
    return {"expected_tables": {"DATABASE": {table: facts}}}


SABOTAGES = {
    "check-false": Sabotage(
        "checks", _untouched, "returned false", _check("SELECT count(*) > 5000 FROM orders")
    ),
    "check-null": Sabotage("checks", _untouched, "returned null", _check("SELECT null::boolean")),
    "check-empty": Sabotage("checks", _untouched, "no row", _check("SELECT true WHERE false")),
    "check-of-nothing": Sabotage("checks", _untouched, "does not exist", _check("SELECT true FROM nowhere")),
    "check-stale": Sabotage(
        "checks",
        _sql("UPDATE orders SET at = at - interval '2 days'"),
        "returned false",
        _check("SELECT max(at) > :recovered_to - interval '1h' FROM orders"),
    ),
    "role-gone": Sabotage(
        "roles",
        _sql(
            "CREATE ROLE ghost",
            "ALTER TABLE pairs OWNER TO ghost",
            "GRANT SELECT ON orders TO ghost",
            "DELETE FROM pg_authid WHERE rolname = 'ghost'",
        ),
        "are no roles",
    ),
    "role-can-not-log-in": Sabotage("roles", _untouched, "shop_app", {"expected_roles": ["shop_app"]}),
    "extension-gone": Sabotage(
        "extensions",
        _catalog("UPDATE pg_extension SET extname = 'nowhere' WHERE extname = 'plpgsql'"),
        "nowhere",
    ),
    "library-gone": Sabotage(
        "extensions",
        _catalog("UPDATE pg_proc SET probin = '$libdir/nowhere' WHERE proname = 'plpgsql_call_handler'"),
        "nowhere",
    ),
    "collation-changed": Sabotage(
        "collations",
        _catalog("UPDATE pg_database SET datcollversion = '1.2' WHERE datname = '{database}'"),
        "was 1.2",
    ),
    "index-invalid": Sabotage(
        "indexes valid",
        _catalog("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_time'::regclass"),
        "by_time",
    ),
    "table-truncated": Sabotage(
        "rows", _sql("TRUNCATE orders"), "has 0 rows, had 1000", _expect("public.orders", {"rows": 1000})
    ),
    "content-changed": Sabotage(
        "rows",
        _sql("UPDATE orders SET at = at + interval '1 second' WHERE id = 7"),
        "other content",
        _expect("public.orders", {"rows": 1000, "digest": "DIGEST"}),
    ),
    "table-missing": Sabotage("rows", _untouched, "missing", _expect("public.invoices", {"rows": 1})),
    "nothing-there": Sabotage(
        "rows",
        _sql("TRUNCATE orders, customers, pairs, halves, parts, of_parts, pictures"),
        "not a single row",
    ),
    "sequence-behind": Sabotage(
        "sequences", _sql("SELECT setval('orders_id_seq', 500)"), "orders_id_seq is behind"
    ),
    "identity-behind": Sabotage(
        "sequences", _sql("ALTER TABLE customers ALTER id RESTART WITH 50"), "public.customers.id"
    ),
    "reference-broken": Sabotage(
        "foreign keys",
        _sql("SET session_replication_role = replica; DELETE FROM customers WHERE id = 7"),
        "public.orders (orders_customer_fkey)",
    ),
    "reference-half": Sabotage(
        "foreign keys",
        _sql("SET session_replication_role = replica; INSERT INTO halves VALUES (1, NULL)"),
        "public.halves",
    ),
    "reference-of-partition": Sabotage(
        "foreign keys",
        _sql("SET session_replication_role = replica; DELETE FROM parts"),
        "public.of_parts",
    ),
    "large-object-lost": Sabotage(
        "large objects", _sql("SELECT lo_unlink(picture) FROM pictures"), "public.pictures.picture"
    ),
    "large-object-orphaned": Sabotage(
        "large objects",
        _sql("DELETE FROM pg_largeobject_metadata", "UPDATE pictures SET picture = NULL"),
        "nobody can read them",
    ),
    "index-lies": Sabotage(
        "amcheck",
        _sql(
            "CREATE FUNCTION side(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
            "CREATE INDEX by_side ON orders (side(id))",
            "CREATE OR REPLACE FUNCTION side(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -$1'",
        ),
        "by_side",
    ),
}


@pytest.fixture(params=SABOTAGES)
def sabotaged(request: pytest.FixtureRequest, cluster: TestCluster) -> Iterator[tuple[Sabotage, Inquiry]]:
    """A copy of the sound database with one thing wrong."""
    sabotage = SABOTAGES[request.param]
    database = request.param.replace("-", "_")
    cluster.sql(f"CREATE DATABASE {database} TEMPLATE {SOUND}")
    try:
        sabotage.does(cluster, database)
        yield sabotage, inquiry_of(cluster, [database], **_filled(cluster, database, sabotage.facts))
    finally:
        cluster.sql(f"DROP DATABASE {database} WITH (FORCE)")


def _filled(cluster: TestCluster, database: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Put the database's name and the sound table's digest where a sabotage left them open."""
    tables = facts.get("expected_tables", {}).get("DATABASE")
    if tables is None:
        return facts
    from seawall.drill.assertions.contents import digest_sql

    digest = cluster.value(digest_sql("public", "orders"), database=SOUND)
    filled = {
        table: {name: digest if value == "DIGEST" else value for name, value in expected.items()}
        for table, expected in tables.items()
    }
    return {**facts, "expected_tables": {database: filled}}


def _judged(examinations: Sequence[Examination], inquiry: Inquiry) -> dict[str, Assertion]:
    """Put examinations to the databases that the inquiry names.

    Left out are the one that finds databases, and pg_amcheck unless it is alone: it looks through all of them.
    """
    left_out = {"databases answer"} if len(examinations) == 1 else {"databases answer", "amcheck"}
    asked = [examination for examination in examinations if examination.name not in left_out]
    return {item.name: item for item in examine(asked, inquiry, SystemClock())}


def _not_well(found: dict[str, Assertion]) -> dict[str, Assertion]:
    return {name: item for name, item in found.items() if item.outcome is not AssertionOutcome.PASSED}


def test_a_sound_database_has_nothing_to_fear(cluster: TestCluster) -> None:
    from seawall.drill.assertions.contents import digest_sql

    digest = cluster.value(digest_sql("public", "orders"), database=SOUND)
    inquiry = inquiry_of(
        cluster,
        [SOUND],
        checks=[Check("orders", "", "SELECT count(*) = 1000 FROM orders")],
        expected_roles=["app"],
        expected_tables={SOUND: {"public.orders": {"rows": 1000, "digest": digest}}},
    )
    inquiry.server.room.tool_runs.append(ToolRun("pg_restore", 0, ""))
    found = {item.name: item for item in examine(RUNNING, inquiry, SystemClock())}

    assert _not_well(found) == {}
    assert {examination.name for examination in RUNNING} - {"checks"} <= set(found)
    assert found["rows"].figures["rows sound.public.orders"] == 1000
    assert found["foreign keys"].figures == {"foreign_keys": 3}


def test_each_sabotage_is_caught_by_its_examination_alone(
    sabotaged: tuple[Sabotage, Inquiry],
) -> None:
    """The mutation: with its examination taken out of the registry nobody notices, and the other half fails."""
    sabotage, inquiry = sabotaged
    mutated = [examination for examination in RUNNING if examination.name != sabotage.examination]
    removed = [examination for examination in RUNNING if examination.name == sabotage.examination]
    assert (len(mutated), len(removed)) == (len(RUNNING) - 1, 1)

    assert _not_well(_judged(mutated, inquiry)) == {}
    (caught,) = _not_well(_judged(removed, inquiry)).values()
    assert caught.outcome is AssertionOutcome.FAILED
    assert sabotage.says in caught.detail


def test_every_examination_has_a_sabotage() -> None:
    elsewhere = {"isolation", "databases answer", "restore tool", "WAL is whole", "page checksums"}
    assert {sabotage.examination for sabotage in SABOTAGES.values()} == {
        examination.name for examination in EXAMINATIONS
    } - elsewhere


def test_no_detail_quotes_a_row(cluster: TestCluster) -> None:
    sql = "SELECT name = 'secret'::int::text FROM customers", "SELECT name FROM customers WHERE id = 3"
    inquiry = inquiry_of(cluster, [SOUND], checks=[Check(str(n), SOUND, each) for n, each in enumerate(sql)])
    found = _judged([examination for examination in EXAMINATIONS if examination.name == "checks"], inquiry)

    assert [item.outcome for item in found.values()] == [AssertionOutcome.FAILED] * 2
    assert "secret" not in str(found) and "customer" not in str(found)


def test_flaky_slow_and_silent_checks_are_told_from_failed_ones(cluster: TestCluster) -> None:
    cluster.sql("CREATE SEQUENCE tries", database="postgres")
    checks = [
        Check("flaky", "postgres", "SELECT nextval('tries') > 1"),
        Check("hangs", SOUND, "SELECT pg_sleep(30) IS NOT NULL"),
        Check("astray", "nowhere", "SELECT true"),
    ]
    examinations = [examination for examination in EXAMINATIONS if examination.name == "checks"]
    found = _judged(examinations, inquiry_of(cluster, [SOUND], checks=checks, deadline_s=0.3))

    flaky, hangs, astray = (found[f"check: {check.name}"] for check in checks)
    assert (flaky.outcome, flaky.tries) == (AssertionOutcome.PASSED, 2)
    assert hangs.outcome is AssertionOutcome.COULD_NOT_RUN
    assert astray.outcome is AssertionOutcome.FAILED

    slow = inquiry_of(cluster, [SOUND], checks=[Check("slow", SOUND, "SELECT true")], slow_after_s=0.0)
    assert _judged(examinations, slow)["check: slow"].outcome is AssertionOutcome.SLOW


def test_a_database_that_refuses_is_found(cluster: TestCluster) -> None:
    examinations = [examination for examination in EXAMINATIONS if examination.name == "databases answer"]
    cluster.sql(
        "CREATE DATABASE abroad", "UPDATE pg_database SET datcollate = 'xx_XX' WHERE datname = 'abroad'"
    )
    try:
        (found,) = examine(examinations, inquiry_of(cluster, []), SystemClock())
    finally:
        cluster.sql("DELETE FROM pg_database WHERE datname = 'abroad'")

    assert (found.outcome, found.tries) == (AssertionOutcome.FAILED, 2)
    assert found.detail.startswith("abroad: ")


def test_words_of_a_tool_count_as_much_as_its_status(cluster: TestCluster) -> None:
    examinations = [examination for examination in EXAMINATIONS if examination.name == "restore tool"]
    for run, outcome in (
        (
            ToolRun("pg_restore", 0, "pg_restore: warning: errors ignored on restore: 3\n"),
            AssertionOutcome.FAILED,
        ),
        (
            ToolRun("psql", 0, "psql:<stdin>:7: ERROR:  relation exists\nDETAIL:  Key (id)=(5)\n"),
            AssertionOutcome.FAILED,
        ),
        (ToolRun("barman", 1, ""), AssertionOutcome.FAILED),
        (ToolRun("pgbackrest", 0, "WARN: it has no retention\n"), AssertionOutcome.PASSED),
    ):
        inquiry = inquiry_of(cluster, [SOUND])
        inquiry.server.room.tool_runs.append(run)
        (found,) = examine(examinations, inquiry, SystemClock())
        assert found.outcome is outcome
        assert "Key" not in found.detail


def test_what_is_not_installed_could_not_run(cluster: TestCluster, tmp_path: Path) -> None:
    inquiry = inquiry_of(cluster, [SOUND])
    room = inquiry.server.room
    room.programs = replace(room.programs, folder=tmp_path)
    for name in ("amcheck", "page checksums"):
        examinations = [examination for examination in EXAMINATIONS if examination.name == name]
        (found,) = examine(examinations, inquiry, SystemClock())
        assert found.outcome is AssertionOutcome.COULD_NOT_RUN, name


def test_missing_wal_is_told(cluster: TestCluster) -> None:
    examinations = [examination for examination in EXAMINATIONS if examination.name == "WAL is whole"]
    (found,) = examine(
        examinations, inquiry_of(cluster, [SOUND], missing_wal="a segment is missing"), SystemClock()
    )
    assert found.outcome is AssertionOutcome.FAILED


def test_a_server_without_isolation_is_found_and_a_damaged_page(one_pg_programs: ServerPrograms) -> None:
    """The last two need a cluster of their own: one that runs as usual, and is then damaged."""
    cluster = TestCluster.create(one_pg_programs)
    try:
        cluster.start()
        cluster.sql("CREATE TABLE t AS SELECT generate_series(1, 5000) AS n", "CHECKPOINT")
        path = cluster.data / str(cluster.value("SELECT pg_relation_filepath('t')"))
        isolation = [examination for examination in EXAMINATIONS if examination.name == "isolation"]
        (found,) = examine(isolation, inquiry_of(cluster, ["postgres"]), SystemClock())
        assert found.outcome is AssertionOutcome.FAILED and "max_wal_senders" in found.detail
        cluster.stop()

        pages = [examination for examination in EXAMINATIONS if examination.is_of_stopped]
        (sound,) = examine(pages, inquiry_of(cluster, []), SystemClock())
        assert sound.outcome is AssertionOutcome.PASSED and sound.figures["damaged"] == 0
        with open(path, "r+b") as file:
            file.seek(8192 + 100)
            file.write(b"damaged")
        (broken,) = examine(pages, inquiry_of(cluster, []), SystemClock())
        assert broken.outcome is AssertionOutcome.FAILED
        assert path.name in broken.detail and broken.figures["damaged"] == 1
    finally:
        cluster.destroy()
