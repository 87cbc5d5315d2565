"""A restore that brings back less than might exist says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import Protected, Restored, protected

pytestmark = pytest.mark.postgres


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
