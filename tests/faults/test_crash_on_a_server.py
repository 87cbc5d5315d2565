"""Crashes at storage operations of a backup of a *real* server: what counts as complete restores.

Every operation is crashed without a server in test_crash_points.py; here the WAL, the labels and the restore are
PostgreSQL's own.
"""

from __future__ import annotations

import random

import pytest

from seawall.app import App
from seawall.backup.physical import BackupPolicy, take_full_backup
from seawall.model.clock import SystemClock
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.verify.whole import verify
from seawall.storage.urls import open_store
from tests.support.faulty_store import Crash, FaultyStore, When
from tests.support.plans import CLUSTER
from tests.support.recovery import Protected, contents

pytestmark = pytest.mark.postgres
WHENS: tuple[When, ...] = ("before", "after")


def backup_through(store: FaultyStore, shop: Protected) -> None:
    key = KeyFile("key", (shop.folder / "key").read_bytes())
    repository = Repository.open(store, [key], clock=SystemClock())
    source = App.load(shop.plan).source(CLUSTER)
    take_full_backup(source, {"far": repository}, BackupPolicy(jobs=1, wal_timeout_s=30), SystemClock())


@pytest.mark.parametrize(
    "sample", [pytest.param(2, id="sample"), pytest.param(None, marks=pytest.mark.soak, id="soak")]
)
def test_a_backup_of_a_server_killed_at_its_operations(shop: Protected, sample: int | None) -> None:
    before = contents(shop.cluster)
    url = f"file://{shop.folder / 'far'}"
    whole = FaultyStore(open_store(url))
    backup_through(whole, shop)
    seed = random.randrange(1 << 32)
    moments: list[tuple[int, When]] = [
        (number, when) for number in range(1, whole.count + 1) for when in WHENS
    ]
    if sample is not None:
        # The last operations decide whether the backup exists; of the others some are drawn.
        drawn = random.Random(seed).sample(range(1, whole.count - 1), sample)
        moments = [(number, "before") for number in (*sorted(drawn), whole.count - 1, whole.count)]
    for number, when in moments:
        known = verify(shop.open_repository()).backups
        doomed = FaultyStore(open_store(url))
        doomed.crash_at(number, when)
        try:
            backup_through(doomed, shop)
        except Crash:
            pass  # waiting for WAL takes more or fewer looks each time, so the last points may not come
        report = verify(shop.open_repository())
        where = f"seed {seed}, {when} operation {number} of {whole.count}"
        assert report.is_intact and not report.stray, f"{where}: {report.findings}"
        assert set(known) <= set(report.backups), where
        for backup in set(report.backups) - set(known):
            restored = shop.restore("--immediate", "--backup", backup)
            assert contents(restored) == before, where
            shop.forget(restored)
    shop.backup()
    restored = shop.restore("--latest")
    assert contents(restored) == before, f"seed {seed}"
