"""What is less than it seems is told: a restore from some of its repositories, a push by yesterday's primary."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from seawall.backup.errors import WalPathInvalid
from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import Protected, Restored, protected, wait_until

pytestmark = pytest.mark.postgres
INVALID_PATH = WalPathInvalid.status


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    with protected(one_pg_programs, repositories=("near", "far")) as found:
        found.cluster.sql("CREATE TABLE t (n int)")
        found.backup()
        found.archive_now()
        yield found


def notes(restored: Restored) -> list[str]:
    return [str(note) for note in restored.report["notes"]]


def test_a_repository_that_could_not_be_opened_is_named(shop: Protected) -> None:
    near = shop.folder / "near"
    near.rename(shop.folder / "unmounted")
    try:
        said = notes(shop.restore("--latest", starts=False))
    finally:
        (shop.folder / "unmounted").rename(near)
    assert any("repository near was not asked, and may hold more" in note for note in said), said


def test_a_repository_that_lacks_the_backup_is_named(shop: Protected) -> None:
    (commits,) = (shop.folder / "near").rglob("commits")
    commits.rename(shop.folder / "kept")
    try:
        said = notes(shop.restore("--latest", starts=False))
    finally:
        (shop.folder / "kept").rename(commits)
    assert any("repository near could not serve this restore" in note for note in said), said


def test_where_all_were_asked_nothing_is_said(shop: Protected) -> None:
    assert notes(shop.restore("--latest", starts=False)) == []


def test_an_unfinished_segment_is_not_archived(shop: Protected) -> None:
    server = shop.cluster
    server.sql("INSERT INTO t VALUES (1)")
    name = str(server.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    pushed = shop.run("wal", "push", f"pg_wal/{name}", "--data-directory", server.data)
    pushed.failed_with(INVALID_PATH, name, "has not finished")
    server.sql("SELECT pg_switch_wal()")
    shop.wait_for_wal(name)
    shop.run("wal", "push", f"pg_wal/{name}", "--data-directory", server.data).succeeded()


def test_a_superseded_primary_is_told_although_its_disk_does_not_fill(shop: Protected) -> None:
    server = shop.cluster
    shop.restore("--latest", "--as", "primary", "--claimed-by", "ada", starts=False)
    server.sql("INSERT INTO t VALUES (2)")
    name = str(server.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    server.sql("SELECT pg_switch_wal()")
    wait_until(lambda: (server.data / "pg_wal" / "archive_status" / f"{name}.done").exists(), f"{name}.done")
    pushed = shop.run("wal", "push", f"pg_wal/{name}", "--data-directory", server.data).succeeded()
    for repository in ("near", "far"):
        assert f"{name} was put aside in {repository}" in pushed.err
