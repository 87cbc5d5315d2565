"""A whole backup and restore on every major: under load, everything equal, checked by PostgreSQL itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import contents, file_list, protected
from tests.support.servers import InitOptions, TestCluster

pytestmark = pytest.mark.postgres


@contextmanager
def load(cluster: TestCluster) -> Iterator[None]:
    """Transactions all the time: updates, inserts, deletes, and a table that grows and is truncated."""
    script = cluster.folder / "load.sql"
    script.write_text(
        "\\set n random(1, 2000)\n"
        "UPDATE accounts SET balance = balance + 1, filler = md5(random()::text) WHERE id = :n;\n"
        "INSERT INTO history (account, at) VALUES (:n, clock_timestamp());\n"
        "DELETE FROM history WHERE account = :n AND at < now() - interval '1 s';\n"
    )
    process = subprocess.Popen(
        [cluster.programs.path("psql"), "-XqAt", "-d", cluster.dsn(), "-c", "SELECT 1"],
        stdout=subprocess.DEVNULL,
    )
    process.wait(20)
    argv: list[str | os.PathLike[str]] = [cluster.programs.path("pgbench")]
    process = subprocess.Popen(
        [*argv, "-n", "-f", script, "-T", "120", "-c", "2", "--rate=300", cluster.dsn()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        yield
    finally:
        process.kill()
        process.wait(20)


def fill(cluster: TestCluster) -> None:
    cluster.sql(
        "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint DEFAULT 0, filler text)",
        "INSERT INTO accounts SELECT g, 0, repeat(md5(g::text), 20) FROM generate_series(1, 2000) g",
        "CREATE TABLE history (account int, at timestamptz, note text)",
        "CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 8) AS t FROM generate_series(1, 30000) g",
        "CREATE INDEX ON big (id)",
        "CREATE UNLOGGED TABLE cache AS SELECT 1 AS one",
        "CREATE DATABASE second",
    )
    cluster.sql("CREATE TABLE there AS SELECT generate_series(1, 100) AS n", database="second")


def test_round_trip_under_load(pg_programs: ServerPrograms) -> None:
    with protected(pg_programs) as shop:
        cluster = shop.cluster
        place = cluster.folder / "space"
        place.mkdir()
        fill(cluster)
        cluster.sql(
            f"CREATE TABLESPACE fast LOCATION '{place}'",
            "CREATE TABLE elsewhere TABLESPACE fast AS TABLE big",
        )
        with load(cluster):
            shop.backup()
        before = contents(cluster), contents(cluster, "second")
        shop.archive_now()

        restored = shop.restore("--latest", "--tablespaces-in", shop.new_folder())
        assert (contents(restored), contents(restored, "second")) == before
        assert restored.value("SELECT count(*) FROM cache") == 0, "an unlogged table comes back empty"
        assert restored.report["databases"] == {"postgres": "ok", "second": "ok", "template1": "ok"}
        assert restored.value("SHOW archive_mode") == "off"
        link = next((restored.data / "pg_tblspc").iterdir()).readlink()
        assert not link.is_relative_to(cluster.folder), "the tablespace lies elsewhere"
        check_structure(restored)
        restored.stop()
        assert "Bad checksums:  0" in restored.program("pg_checksums", "--check", "-D", restored.data)
        for _ in range(2):
            restored.start()
            assert restored.value("SELECT count(*) FROM big") == 30000
            restored.stop()


def check_structure(cluster: TestCluster) -> None:
    """Let amcheck look at every heap and B-tree, where this installation has it."""
    if not cluster.value("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'"):
        return
    cluster.sql("CREATE EXTENSION amcheck")
    bad = cluster.sql(
        "SELECT c.oid::regclass, v.* FROM pg_class c, verify_heapam(c.oid) v WHERE c.relkind = 'r' "
        "AND c.relpersistence = 'p'"
    )
    assert bad == []
    cluster.sql(
        "SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam "
        "WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p'"
    )


@pytest.mark.parametrize("mib", [1, 64])
def test_wal_segment_sizes(one_pg_programs: ServerPrograms, mib: int) -> None:
    options = InitOptions(wal_segment_mib=mib)
    with protected(one_pg_programs, options=options, settings={"min_wal_size": f"{2 * mib}MB"}) as shop:
        shop.cluster.sql(
            "CREATE TABLE t AS SELECT g, repeat(md5(g::text), 9) FROM generate_series(1, 9000) g"
        )
        shop.backup()
        shop.cluster.sql("INSERT INTO t SELECT g, repeat('x', 300) FROM generate_series(1, 9000) g")
        before = contents(shop.cluster)
        shop.archive_now()
        assert contents(shop.restore("--latest")) == before


def test_files_and_modes_are_those_of_the_source(one_pg_programs: ServerPrograms) -> None:
    with protected(one_pg_programs, options=InitOptions(checksums=False)) as shop:
        fill(shop.cluster)
        shop.cluster.sql("CHECKPOINT")
        stray = shop.cluster.data / "note of the administrator.txt"
        stray.write_text("kept")
        stray.chmod(0o640)
        shop.backup()
        shop.cluster.stop()
        source = file_list(shop.cluster.data)
        restored = shop.restore("--immediate", starts=False)
        copied = file_list(restored.data)
        written_since = ("pg_wal/", "pg_stat/", "pg_subtrans/", "pg_notify/")
        left_out = {path for path in source.keys() - copied.keys() if not path.startswith(written_since)}
        of_unlogged = {path for path in left_out if f"{path.split('_')[0]}_init" in source}
        assert {path.rpartition("/")[2] for path in left_out - of_unlogged} <= {
            "postmaster.opts",
            "pg_internal.init",
            "replorigin_checkpoint",
            "pgsql_tmp",
        }
        assert of_unlogged, "the unlogged table's main fork is not copied"
        added = {path for path in copied.keys() - source.keys() if not path.startswith("pg_wal/")}
        assert added == {"backup_label", "recovery.signal"}
        assert {path: mode for path, mode in copied.items() if path in source and source[path] != mode} == {}
        assert (restored.data / stray.name).read_text() == "kept"
