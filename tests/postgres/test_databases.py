"""Every database is connected to, since a server that answers proves nothing about them (danger 5)."""

from __future__ import annotations

import pytest

from seawall.postgres.databases import check_every_database
from seawall.postgres.observe import facts_for_restore, observe_server
from seawall.postgres.server_facts import DatabaseReport, Extension
from seawall.postgres.session import connect
from tests.support.servers import TestCluster

pytestmark = pytest.mark.postgres


def visit(server: TestCluster, user: str = "postgres") -> dict[str, DatabaseReport]:
    return {report.name: report for report in check_every_database(server.url(user=user))}


def test_a_missing_locale_makes_one_database_refuse(server: TestCluster) -> None:
    server.sql(
        "CREATE DATABASE moved TEMPLATE template0",
        "UPDATE pg_database SET datcollate = 'xx_XX.utf8', datctype = 'xx_XX.utf8' WHERE datname = 'moved'",
    )
    reports = visit(server)
    assert reports["postgres"].answers
    assert not reports["moved"].answers and not reports["moved"].is_meant_to_refuse
    assert "locale" in reports["moved"].refusal and "locale -a" in reports["moved"].remedy


def test_names_that_need_quoting_are_visited(server: TestCluster) -> None:
    names = ["a b", "it's", 'q"uote', "back\\slash", "host=elsewhere", "postgresql://x/y", "größe", "%41"]
    server.sql(*(f"""CREATE DATABASE "{name.replace('"', '""')}" """ for name in names))
    reports = visit(server)
    assert [name for name in names if not reports[name].answers] == []


def test_databases_that_are_meant_to_refuse_or_are_broken_are_told_apart(server: TestCluster) -> None:
    server.sql(
        "CREATE DATABASE half",
        "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'",
        "CREATE DATABASE full_up CONNECTION LIMIT 0",
        "CREATE ROLE plain LOGIN",
    )
    reports = visit(server)
    assert reports["template0"].is_meant_to_refuse
    assert 'DROP DATABASE "half"' in reports["half"].remedy
    assert reports["full_up"].answers, "a limit does not hold for superusers"
    assert not visit(server, "plain")["full_up"].answers


def test_extensions_and_column_collations_are_reported_by_database(server: TestCluster) -> None:
    server.sql("CREATE DATABASE shop")
    server.sql(
        "CREATE EXTENSION bloom",
        "CREATE COLLATION mine (provider = libc, locale = 'C.utf8')",
        "CREATE COLLATION unused (provider = libc, locale = 'C')",
        "CREATE TABLE t (name text COLLATE mine)",
        database="shop",
    )
    reports = visit(server)
    bloom = Extension("bloom", "1.0")
    assert bloom in reports["shop"].extensions and bloom not in reports["postgres"].extensions
    assert [(locale.provider, locale.name) for locale in reports["shop"].locales] == [("libc", "C.utf8")]
    assert reports["postgres"].locales == ()
    with connect(server.url()) as session:
        needs = facts_for_restore(observe_server(session), reports.values())
    assert needs.extensions[bloom] == ("shop",)
    assert needs.settings["max_connections"] == 100 and needs.major == server.major
    assert {"C", "C.utf8"} <= {locale.name for locale in needs.locales}
