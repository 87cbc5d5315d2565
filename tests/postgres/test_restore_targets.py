"""Every kind of recovery target on a real server: what is in, what is out, and what the server does there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from seawall.postgres.files.control_file import ClusterState
from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import Protected, Restored, protected, wait_until

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class History:
    """A backup, then rows 1 to 5 in a table, each in a transaction of its own; each with where it was."""

    shop: Protected
    times: dict[int, datetime]
    lsns: dict[int, str]
    xids: dict[int, int]


@pytest.fixture(scope="module")
def history(one_pg_programs: ServerPrograms) -> Iterator[History]:
    with protected(one_pg_programs) as shop:
        sql = shop.cluster.sql
        sql("CREATE TABLE t (n int)", "SELECT pg_create_restore_point('before the second backup')")
        shop.backup()
        sql("INSERT INTO t VALUES (-1)", "SELECT pg_create_restore_point('between')")
        (early,) = sql("SELECT pg_current_xact_id()")[0]
        times, lsns, xids = {}, {}, {}
        shop.backup()
        for n in range(1, 6):
            sql("SELECT pg_sleep(2.1)" if n == 1 else "SELECT pg_sleep(0.05)")
            with shop.cluster.connect() as connection, connection.transaction():
                (xid,) = connection.execute("SELECT pg_current_xact_id()::text::int").fetchone() or (0,)
                connection.execute("INSERT INTO t VALUES (%s)", (n,))
            sql("SELECT pg_sleep(0.02)")
            times[n] = shop.cluster.value("SELECT clock_timestamp()")
            lsns[n] = shop.cluster.value("SELECT pg_current_wal_lsn()::text")
            xids[n] = xid
            if n == 3:
                sql("SELECT pg_create_restore_point('third')")
        xids[-1] = int(early) - 1
        shop.archive_now()
        yield History(shop, times, lsns, xids)


def rows(restored: Restored) -> list[int]:
    return [n for (n,) in restored.sql("SELECT n FROM t WHERE n > 0 ORDER BY n")]


def test_time_between_two_commits(history: History) -> None:
    restored = history.shop.restore("--to", history.times[2].isoformat(sep=" "))
    assert rows(restored) == [1, 2]
    last = datetime.fromisoformat(restored.report["last_transaction_at"])
    assert history.times[2] - timedelta(seconds=1) < last < history.times[2]
    assert restored.report["seconds"].keys() >= {"prove", "copy", "survey", "configure", "recover", "check"}
    settings = (restored.data / "postgresql.auto.conf").read_text()
    assert "recovery_target" not in settings and "restore_command" not in settings
    assert restored.value("SHOW archive_mode") == "off"
    for _ in range(2):
        restored.restart()
        assert rows(restored) == [1, 2]
    assert restored.value("SHOW recovery_target_time") == "" and restored.value("SHOW hot_standby") == "on"
    restored.sql("INSERT INTO t VALUES (77)")
    history.shop.forget(restored)


def test_lsn_inclusive_and_exclusive(history: History) -> None:
    for option in ([], ["--exclusive"]):
        restored = history.shop.restore("--to-lsn", history.lsns[3], *option)
        assert rows(restored) == [1, 2, 3]
        history.shop.forget(restored)


def test_xid_inclusive_and_exclusive(history: History) -> None:
    restored = history.shop.restore("--to-xid", str(history.xids[4]))
    assert rows(restored) == [1, 2, 3, 4]
    history.shop.forget(restored)
    restored = history.shop.restore("--to-xid", str(history.xids[4]), "--exclusive")
    assert rows(restored) == [1, 2, 3]
    history.shop.forget(restored)


def test_a_named_point(history: History) -> None:
    restored = history.shop.restore("--to-name", "third")
    assert rows(restored) == [1, 2, 3]
    history.shop.forget(restored)


def test_a_point_or_transaction_before_the_newest_backup_is_found_from_the_older_one(
    history: History,
) -> None:
    restored = history.shop.restore("--to-name", "between")
    assert restored.sql("SELECT n FROM t") == [(-1,)]
    history.shop.forget(restored)
    restored = history.shop.restore("--to-xid", str(history.xids[-1]))
    assert restored.sql("SELECT n FROM t") == [(-1,)]
    history.shop.forget(restored)


def test_a_point_before_every_backup_is_nowhere(history: History) -> None:
    for target in (("--to-name", "before the second backup"), ("--to-name", "never made"), ("--to-xid", "3")):
        failed = history.shop.try_restore(*target)
        failed.outcome.failed_with(27, "is not in the WAL")
        assert not failed.data.exists() or not any(failed.data.iterdir())


def test_immediate_and_latest(history: History) -> None:
    restored = history.shop.restore("--immediate")
    assert restored.sql("SELECT n FROM t") == [(-1,)]
    history.shop.forget(restored)
    restored = history.shop.restore("--latest")
    assert rows(restored) == [1, 2, 3, 4, 5]
    history.shop.forget(restored)


def test_pause_lets_people_look_and_then_go_on(history: History) -> None:
    restored = history.shop.restore("--to-name", "third", "--action", "pause")
    assert rows(restored) == [1, 2, 3]
    assert restored.value("SELECT pg_is_in_recovery()") is True
    restored.sql("SELECT pg_wal_replay_resume()")
    wait_until(lambda: restored.value("SELECT pg_is_in_recovery()") is False, "promotion")
    restored.restart()
    assert rows(restored) == [1, 2, 3]
    assert "recovery_target" not in (restored.data / "postgresql.auto.conf").read_text()
    history.shop.forget(restored)


def test_shutdown_leaves_a_clean_directory_at_the_target(history: History) -> None:
    restored = history.shop.restore("--to-name", "third", "--action", "shutdown")
    assert restored.report["started"] is False and not restored.is_running
    assert restored.control().state is ClusterState.SHUT_DOWN_IN_RECOVERY
    history.shop.forget(restored)


def test_prepared_directories_are_started_by_hand_and_clean_up_themselves(history: History) -> None:
    restored = history.shop.restore("--to-name", "third", starts=False)
    assert (restored.data / "recovery.signal").exists() and not restored.is_running
    restored.start()
    wait_until(lambda: restored.value("SELECT pg_is_in_recovery()") is False, "promotion")
    assert rows(restored) == [1, 2, 3]
    assert "recovery_target" not in (restored.data / "postgresql.auto.conf").read_text()
    history.shop.forget(restored)


def test_time_before_the_end_of_the_first_backup(history: History) -> None:
    failed = history.shop.try_restore("--to", "2020-01-01 00:00:00+00")
    failed.outcome.failed_with(26, "the earliest one")
    assert not failed.data.exists()


def test_time_in_the_future(history: History) -> None:
    history.shop.try_restore("--to", "2999-01-01 00:00:00+00").outcome.failed_with(25, "future")


def test_danger_03_an_idle_database_reaches_a_time_after_its_last_commit(history: History) -> None:
    after = history.times[5] + timedelta(seconds=1)
    wait_until(lambda: history.shop.cluster.value("SELECT clock_timestamp()") > after, "the clock")
    restored = history.shop.restore("--to", after.isoformat(sep=" "))
    assert rows(restored) == [1, 2, 3, 4, 5]
    assert any("no transaction after" in note for note in restored.report["notes"])
    history.shop.forget(restored)


def test_a_position_behind_the_last_record_is_served_by_all_there_is(history: History) -> None:
    end = history.shop.archive_now().end
    restored = history.shop.restore("--to-lsn", str(end))
    assert rows(restored) == [1, 2, 3, 4, 5]
    history.shop.forget(restored)
    inside = str(type(end)(end - 4096))
    restored = history.shop.restore("--to-lsn", inside)
    assert rows(restored) == [1, 2, 3, 4, 5]
    history.shop.forget(restored)
    behind = str(type(end)(end + (1 << 30)))
    history.shop.try_restore("--to-lsn", behind).outcome.failed_with(27, "lies behind it")
