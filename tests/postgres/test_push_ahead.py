"""An archiver that has fallen behind catches up through notes, and everything it was told is true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.plan.private_files import cache_folders, file_name
from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import Protected, contents, protected, wait_until

pytestmark = pytest.mark.postgres
BACKLOG = 12


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    with protected(one_pg_programs) as found:
        found.cluster.sql("CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 1000) g")
        found.backup()
        wait_until(lambda: not ready(found), "the backup's own files")
        yield found


def ready(shop: Protected) -> list[str]:
    status = shop.cluster.data / "pg_wal" / "archive_status"
    return sorted(name.removesuffix(".ready") for name in os.listdir(status) if name.endswith(".ready"))


def archive_by(shop: Protected, command: str) -> None:
    quoted = command.replace("'", "''")
    shop.cluster.sql(f"ALTER SYSTEM SET archive_command = '{quoted}'", "SELECT pg_reload_conf()")


def fall_behind(shop: Protected) -> list[str]:
    """Let segments wait for an archive_command that fails; return them."""
    archive_by(shop, "false")
    for number in range(BACKLOG):
        shop.cluster.sql(f"INSERT INTO t SELECT g FROM generate_series(1, {1000 + number}) g")
        shop.cluster.sql("SELECT pg_switch_wal()")
    wait_until(lambda: len(ready(shop)) >= BACKLOG, "a backlog")
    return ready(shop)


def notes(shop: Protected) -> list[Path]:
    folders = [Path(folder) / f"{file_name(str(shop.plan))}@" for folder in cache_folders("pushed")]
    # os.path: an ordinary user may not even look into root's folder.
    return [path for folder in folders if os.path.isdir(folder) for path in folder.iterdir()]


def test_the_backlog_is_archived_and_restored(shop: Protected) -> None:
    waiting = fall_behind(shop)
    calls = shop.folder / "calls"
    archive_by(shop, f"echo %f >> {calls} && {shop.archive_command()}")
    wait_until(lambda: not ready(shop), "the end of the backlog")
    assert [name for name in calls.read_text().split() if name in waiting] == waiting, "each asked for, once"
    archive = shop.archive()
    for name in waiting:
        assert archive.has(1, name)
    assert notes(shop) == [], "every note was taken"
    before = contents(shop.cluster)
    shop.archive_now()
    assert contents(shop.restore("--latest")) == before


def test_notes_are_left_and_taken(shop: Protected) -> None:
    first, *behind = fall_behind(shop)
    push = ("wal", "push", "--data-directory", shop.cluster.data)
    shop.run(*push, f"pg_wal/{first}").succeeded()
    assert {path.name for path in notes(shop)} >= set(behind)
    assert shop.archive().has(1, behind[-1])
    archive_by(shop, shop.archive_command())
    wait_until(lambda: not ready(shop), "the end of the backlog")


def test_an_outage_of_the_repository_is_no_success(shop: Protected) -> None:
    """Nothing that was noted before the outage may stand for what came after it."""
    waiting = fall_behind(shop)
    repository = shop.folder / "far"
    away = shop.folder / "away"
    repository.rename(away)
    try:
        archive_by(shop, shop.archive_command())
        failed = "SELECT last_failed_time > now() - interval '3 s' FROM pg_stat_archiver"
        wait_until(lambda: shop.cluster.value(failed) is True, "a failed push")
        assert ready(shop)[0] == waiting[0]
    finally:
        away.rename(repository)
    wait_until(lambda: not ready(shop), "the end of the backlog", 120)
    for name in waiting:
        assert shop.archive().has(1, name)
