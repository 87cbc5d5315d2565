"""A machine that can't run the copy says so before a byte is copied, and names all that it lacks."""

from __future__ import annotations

import pytest

from seawall.postgres.programs import ServerPrograms
from seawall.repository.backups.record import ClusterNeeds
from seawall.restore.errors import TargetNotReady
from seawall.restore.readiness import check_readiness
from tests.support.recovery import protected

pytestmark = pytest.mark.postgres

FOREIGN = "UPDATE pg_database SET datcollate = 'xx_XX.UTF-8' WHERE datname = 'abroad'"


def test_what_every_installation_has_is_enough(pg_programs: ServerPrograms) -> None:
    needs = ClusterNeeds(("plpgsql", "$libdir/plpgsql"), {"plpgsql 1.0": ["shop"]}, ("C", "POSIX"))
    check_readiness(needs, pg_programs)


def test_everything_that_is_missing_is_named(pg_programs: ServerPrograms) -> None:
    needs = ClusterNeeds(("nolib", "/no/where.so"), {"noext 1.0": ["shop", "crm"]}, ("xx_XX.UTF-8",))
    with pytest.raises(TargetNotReady) as caught:
        check_readiness(needs, pg_programs)
    for word in ("nolib", "/no/where.so", "noext 1.0 (in shop, crm)", "xx_XX.UTF-8"):
        assert word in caught.value.message


def test_danger_05_a_database_with_a_locale_that_is_missing_here(one_pg_programs: ServerPrograms) -> None:
    """The server would start, answer in ``postgres``, and refuse just this database."""
    with protected(one_pg_programs) as shop:
        shop.cluster.sql(
            "CREATE DATABASE abroad",
            FOREIGN,
        )
        shop.backup()
        shop.archive_now()
        failed = shop.try_restore("--latest")
        failed.outcome.failed_with(89, "xx_XX.UTF-8")
        assert not failed.data.exists()


def test_danger_05_a_database_that_refuses_is_found_by_connecting_to_each(
    one_pg_programs: ServerPrograms,
) -> None:
    with protected(one_pg_programs) as shop:
        shop.cluster.sql("CREATE DATABASE abroad")
        shop.backup()
        shop.cluster.sql(FOREIGN)
        shop.archive_now()
        restored = shop.try_restore("--latest")
        restored.outcome.failed_with(91, "abroad")
        assert restored.is_running, "it is left for a look"


def test_the_plans_checks_are_put_to_the_restored_server(one_pg_programs: ServerPrograms) -> None:
    extra = """\
checks:
  - {name: rows, database: postgres, sql: "select count(*) = 3 from t"}
  - {name: fresh, database: postgres, sql: "select max(at) > :recovered_to - interval '1h' from t"}
"""
    with protected(one_pg_programs, extra=extra) as shop:
        shop.cluster.sql("CREATE TABLE t AS SELECT now() AS at FROM generate_series(1, 3)")
        shop.backup()
        shop.archive_now()
        restored = shop.restore("--latest")
        assert [(check["name"], check["is_ok"]) for check in restored.report["checks"]] == [
            ("rows", True),
            ("fresh", True),
        ]
        shop.cluster.sql("DELETE FROM t")
        shop.archive_now()
        shop.try_restore("--latest").outcome.failed_with(91, "'rows'")
