"""``kill -9`` of real backups at random moments: nothing to clear away by hand, nothing that only looks complete."""

from __future__ import annotations

import os
import random
import time
from datetime import timedelta
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms
from seawall.repository.backups.catalog import Catalog
from seawall.repository.collect import execute_collection, observe_traces, plan_collection
from seawall.repository.leases import DEFAULT_LIFETIME_S
from seawall.repository.verify.whole import verify
from tests.support.plans import CLUSTER
from tests.support.recovery import Protected, contents, protected

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    "times", [pytest.param(4, id="sample"), pytest.param(40, marks=pytest.mark.soak, id="soak")]
)
def test_backups_killed_at_random_moments(one_pg_programs: ServerPrograms, times: int) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    with protected(one_pg_programs) as shop:
        shop.cluster.sql(
            "CREATE TABLE filler AS SELECT g AS id, md5(g::text) || md5((g + 1)::text) AS t "
            "FROM generate_series(1, 200000) g"
        )
        before = contents(shop.cluster)
        began = time.monotonic()
        complete = {shop.backup()["backup"]}
        length_s = time.monotonic() - began + 0.5  # a process of its own starts more slowly
        for number in range(times):
            delay_s = chance.uniform(0.0, length_s)
            kill_a_backup(shop, delay_s)
            complete = assert_sound(shop, complete, f"seed {seed}, kill {number} after {delay_s:.3f} s")
        complete.add(shop.backup()["backup"])
        assert_sound(shop, complete, f"seed {seed}, the backup after the kills")
        collect_after_the_leases(shop)
        restored = shop.restore("--immediate")
        assert contents(restored) == before, f"seed {seed}"


def kill_a_backup(shop: Protected, delay_s: float) -> None:
    process = shop.popen("backup", "--json")
    time.sleep(delay_s)
    process.kill()
    process.communicate(timeout=30)


def assert_sound(shop: Protected, complete: set[str], where: str) -> set[str]:
    """Return what counts as complete by now: all that did before, perhaps the one whose end nobody heard."""
    repository = shop.open_repository()
    report = verify(repository)
    assert report.is_intact and not report.stray, f"{where}: {report.findings} {report.not_restorable}"
    found = {record.id for record in Catalog(repository, CLUSTER).backups(system_of(shop))}
    assert complete <= found and len(found) <= len(complete) + 1, where
    return found


def collect_after_the_leases(shop: Protected) -> None:
    """Let the leases expire by moving what the dead have stored into the past; then collect as a backup does."""
    root = shop.folder / "far"
    past = time.time() - timedelta(seconds=DEFAULT_LIFETIME_S + 60).total_seconds()
    for left in (*files_below(root / "leases"), *files_below(root / ".tmp")):
        os.utime(left, (past, past))
    shop.backup()
    repository = shop.open_repository()
    execute_collection(repository, plan_collection(observe_traces(repository)))
    assert files_below(root / "leases") == [], "a lease was left for a person to clear"
    assert verify(repository).unfinished == [], "remains of a dead backup were left"
    temporary = files_below(root / ".tmp")
    assert temporary == [], f"half-written files were left: {temporary}"


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def system_of(shop: Protected) -> int:
    return shop.cluster.control().system_identifier
