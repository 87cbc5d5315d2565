"""The primary's host is given up; the cluster goes on elsewhere; then the old primary comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from seawall.postgres.programs import ServerPrograms
from seawall.repository.wal.terms import TermLog
from tests.support.plans import CLUSTER
from tests.support.recovery import CONSOLE, Protected, Restored, contents, protected, wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    with protected(one_pg_programs) as found:
        found.cluster.sql("CREATE TABLE orders (n int, who text)")
        found.backup()
        found.cluster.sql("INSERT INTO orders VALUES (1, 'old')")
        found.archive_now()
        yield found


def become_primary(shop: Protected, *target: str) -> Restored:
    """Restore as the primary; the plan of the new primary names it."""
    restored = shop.restore(*(target or ("--latest",)), "--as", "primary", "--claimed-by", "ada")
    assert restored.report["is_primary"] is True
    assert any("full backup" in note for note in restored.report["notes"])
    text = shop.plan.read_text()
    text = text.replace(shop.cluster.url(), restored.url()).replace(
        f"data: {shop.cluster.data}", f"data: {restored.data}"
    )
    shop.plan.write_text(text)
    return restored


def diverged(shop: Protected) -> list[str]:
    folder = next((shop.folder / "far").rglob("diverged"), None)
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder else []


def test_an_old_primary_that_comes_back_is_quarantined(shop: Protected) -> None:
    old = shop.cluster
    old.kill()
    new = become_primary(shop)
    assert new.value("SHOW archive_mode") == "on"
    new.sql("INSERT INTO orders VALUES (2, 'new')")

    old.start()  # nobody fenced it
    old.sql("INSERT INTO orders VALUES (2, 'lost')")
    name = str(old.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    failed = old.value("SELECT failed_count FROM pg_stat_archiver")
    old.sql("SELECT pg_switch_wal()")
    wait_until(lambda: name in diverged(shop), f"{name} under diverged/")
    assert old.value("SELECT failed_count FROM pg_stat_archiver") == failed, "exit 0: its disk does not fill"
    plan = shop.plan.read_text()
    shop.plan.write_text(plan.replace(f"data: {new.data}", f"data: {old.data}").replace(new.url(), old.url()))
    shop.run("backup").failed_with(45, "newer primary")
    shop.plan.write_text(plan)

    shop.backup()
    new.sql("INSERT INTO orders VALUES (3, 'new')")
    before = contents(new)
    segment = str(new.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    new.sql("SELECT pg_switch_wal()")
    shop.wait_for_wal(segment, epoch=2)
    restored = shop.restore("--latest")
    assert contents(restored) == before
    assert restored.report["timeline"] == 3 and new.report["timeline"] == 2
    assert restored.sql("SELECT n FROM orders WHERE who = 'lost'") == []


def test_each_timeline_can_be_asked_for(shop: Protected) -> None:
    old = shop.cluster
    lsn = str(old.value("SELECT pg_current_wal_lsn()"))
    old.sql("INSERT INTO orders VALUES (9, 'mistake')")
    shop.archive_now()
    old.stop()
    new = become_primary(shop, "--to-lsn", lsn)
    assert new.sql("SELECT n FROM orders") == [(1,)]
    new.sql("INSERT INTO orders VALUES (2, 'new')")
    segment = str(new.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    new.sql("SELECT pg_switch_wal()")
    shop.wait_for_wal(segment, epoch=2)
    newest = shop.restore("--latest")
    assert newest.sql("SELECT n FROM orders ORDER BY n") == [(1,), (2,)], (
        "from the old backup, across the switch"
    )
    oldest = shop.restore("--latest", "--timeline", "1")
    assert oldest.sql("SELECT n FROM orders ORDER BY n") == [(1,), (9,)]
    assert oldest.report["timeline"] == 3


def test_the_new_primary_survives_restarts_and_its_own_crash(shop: Protected) -> None:
    shop.cluster.kill()
    new = become_primary(shop)
    for n in (5, 6):
        new.sql(f"INSERT INTO orders VALUES ({n}, 'new')")
        new.kill()
        new.start()
    assert new.sql("SELECT n FROM orders ORDER BY n") == [(1,), (5,), (6,)]
    assert new.value("SELECT failed_count FROM pg_stat_archiver") == 0
    command = str(new.value("SHOW archive_command"))
    assert str(CONSOLE) in command and f"--cluster {CLUSTER}" in command


def test_the_claim_counts_in_every_repository(one_pg_programs: ServerPrograms) -> None:
    with protected(one_pg_programs, repositories=("near", "far")) as shop:
        shop.backup("--repository", "far")
        shop.archive_now()
        new = shop.restore("--latest", "--as", "primary", "--claimed-by", "ada")
        for name in shop.repositories:
            head = TermLog(shop.open_repository(name), CLUSTER).head()
            assert head is not None and head.epoch == 2
            assert head.data_directory == str(new.data)
