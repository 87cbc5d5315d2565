"""The tail of a timeline that was left: archived as ``.partial`` at a promotion, and replayed to its last commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
import pytest

from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.postgres.programs import ServerPrograms
from seawall.repository.wal.terms import ForkPoint, TermLog
from seawall.repository.wal.writers import writer_fingerprint
from seawall.restore.errors import TargetUnreachable, WalMissing
from tests.support.plans import CLUSTER
from tests.support.recovery import Protected, Restored, protected, wait_until
from tests.support.servers import TestCluster
from tests.support.standbys import make_standby

pytestmark = pytest.mark.postgres

ROWS_BEFORE_THE_DISASTER = 150


@dataclass(frozen=True)
class Failover:
    """A primary that died under load, and a standby that went on from there on timeline 2."""

    shop: Protected
    rows: list[int]
    """What the standby had of timeline 1, in order."""
    partial: SegmentName
    switched_at: Lsn
    times: dict[int, datetime]


@pytest.fixture(scope="module")
def failover(one_pg_programs: ServerPrograms) -> Iterator[Failover]:
    with protected(one_pg_programs) as shop:
        shop.cluster.sql("CREATE TABLE t (n int, at timestamptz DEFAULT clock_timestamp())")
        shop.backup()
        shop.archive_now()
        standby = make_standby(shop.cluster)
        try:
            yield promote_under_load(shop, standby)
        finally:
            standby.destroy()


def promote_under_load(shop: Protected, standby: TestCluster) -> Failover:
    """Kill the primary while clients write, and promote the standby as the next writer of the archive."""
    primary = shop.cluster
    writer = threading.Thread(target=write_until_the_server_dies, args=(primary,))
    writer.start()
    wait_until(lambda: standby.value("SELECT count(*) FROM t") > ROWS_BEFORE_THE_DISASTER, "some load")
    primary.kill()
    writer.join(30)
    log = TermLog(shop.open_repository(), CLUSTER)
    head = log.head()
    assert head is not None
    log.claim_next(
        head,
        system_identifier=head.system_identifier,
        writer=writer_fingerprint(shop.folder / "state", standby.data),
        data_directory=str(standby.data),
        forked_from=ForkPoint(1, Lsn.parse(standby.value("SELECT pg_last_wal_replay_lsn()::text"))),
    )
    standby.restart({"archive_mode": "on", "archive_command": shop.archive_command()})
    standby.sql("SELECT pg_promote()")
    rows = standby.sql("SELECT n, at FROM t ORDER BY n")
    standby.sql("INSERT INTO t VALUES (-1)", "SELECT pg_switch_wal()")
    archive = shop.archive()
    wait_until(lambda: 2 in archive.histories() and archive.segments(2), "timeline 2 in the archive")
    (switch,) = archive.histories()[2].switches
    partial = SegmentName.containing(1, switch.at, archive.segment_bytes)
    wait_until(lambda: archive.find(f"{partial}.partial") is not None, f"{partial}.partial")
    assert archive.find(str(partial)) is None, "the dead primary never archived it whole"
    return Failover(shop, [n for n, _ in rows], partial, switch.at, dict(rows))


def write_until_the_server_dies(primary: TestCluster) -> None:
    n = 0
    try:
        with primary.connect() as connection:
            while True:
                n += 1
                connection.execute("INSERT INTO t (n) VALUES (%s)", (n,))
                time.sleep(0.002)
    except psycopg.OperationalError:
        return


def rows(restored: Restored) -> list[int]:
    return [n for (n,) in restored.sql("SELECT n FROM t ORDER BY n")]


def test_the_old_timeline_comes_back_to_its_very_last_transaction(failover: Failover) -> None:
    restored = failover.shop.restore("--latest", "--timeline", "1")
    assert rows(restored) == failover.rows and len(failover.rows) > ROWS_BEFORE_THE_DISASTER
    assert restored.report["timeline"] == 3
    assert restored.report["archive_end_lsn"] == str(failover.switched_at)
    assert any(f"{failover.partial}.partial" in note for note in restored.report["notes"])
    restored.restart()
    assert rows(restored) == failover.rows
    failover.shop.forget(restored)


def test_a_directory_that_is_started_by_hand_gets_it_too(failover: Failover) -> None:
    restored = failover.shop.restore("--latest", "--timeline", "1", starts=False)
    restored.start()
    wait_until(lambda: restored.value("SELECT pg_is_in_recovery()") is False, "promotion")
    assert rows(restored) == failover.rows
    failover.shop.forget(restored)


def test_without_it_the_tail_would_be_lost(failover: Failover) -> None:
    """What the other tests see does come from the ``.partial`` alone; and its loss is told, not swallowed."""
    with away(failover, f"{failover.partial}.partial"):
        failed = failover.shop.try_restore("--latest", "--timeline", "1")
        failed.outcome.failed_with(WalMissing.status, str(failover.partial), "although more came after it")
        restored = failover.shop.restore("--to-lsn", str(failover.partial.start), "--timeline", "1")
    assert rows(restored) == []
    failover.shop.forget(restored)


def test_moments_inside_it(failover: Failover) -> None:
    chosen = failover.rows[len(failover.rows) // 2]
    restored = failover.shop.restore("--to", failover.times[chosen].isoformat(sep=" "), "--timeline", "1")
    assert set(rows(restored)) in ({*range(1, chosen)}, {*range(1, chosen + 1)})
    failover.shop.forget(restored)
    inside = Lsn((failover.partial.start + failover.switched_at) // 2)
    restored = failover.shop.restore("--to-lsn", str(inside), "--timeline", "1")
    assert 0 < len(rows(restored)) < len(failover.rows)
    failover.shop.forget(restored)


def test_positions_at_and_behind_its_end(failover: Failover) -> None:
    restored = failover.shop.restore("--to-lsn", str(failover.switched_at), "--timeline", "1")
    assert rows(restored) == failover.rows
    failover.shop.forget(restored)
    behind = Lsn(failover.switched_at + 8192)
    assert behind < failover.partial.end, "the load was meant to leave room in the segment"
    failed = failover.shop.try_restore("--to-lsn", str(behind), "--timeline", "1")
    failed.outcome.failed_with(TargetUnreachable.status, "unfinished last segment", str(failover.switched_at))


def test_the_new_timeline_needs_none_of_it(failover: Failover) -> None:
    with away(failover, f"{failover.partial}.partial"):
        restored = failover.shop.restore("--latest")
    assert rows(restored) == [-1, *failover.rows]
    failover.shop.forget(restored)


def test_it_fills_no_gap(failover: Failover) -> None:
    """The segment before it is gone: there is no way to it, and it stands for no other."""
    before = str(SegmentName(1, failover.partial.number - 1, failover.partial.segment_bytes))
    with away(failover, before):
        restored = failover.shop.try_restore("--latest", "--timeline", "1")
    restored.outcome.failed_with(WalMissing.status, before)


@contextmanager
def away(failover: Failover, name: str) -> Iterator[None]:
    """Take an archived file out of the repository, in every epoch, for the length of a block."""
    files = [path for path in (failover.shop.folder / "far").rglob(name) if path.is_file()]
    assert files
    for number, file in enumerate(files):
        file.rename(failover.shop.folder / f"aside{number}")
    try:
        yield
    finally:
        for number, file in enumerate(files):
            (failover.shop.folder / f"aside{number}").rename(file)
