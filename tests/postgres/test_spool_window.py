"""A recovery over more WAL than its spool may hold: the window moves, nothing is lost, nothing is mistaken."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seawall.app import App
from seawall.postgres.errors import ServerStartFailed
from seawall.postgres.programs import ServerPrograms
from seawall.restore.beside import SPOOL_NAME
from seawall.restore.planning.moment import AtName, Immediate, Latest, Moment
from seawall.restore.planning.request import RestoreReport, RestoreRequest
from seawall.restore.run import restore
from tests.support.plans import CLUSTER
from tests.support.recovery import Outcome, Protected, Restored, protected, wait_until
from tests.support.servers import InitOptions

pytestmark = pytest.mark.postgres

MIB = 1 << 20
SPOOL_BYTES = 8 * MIB
SEGMENTS = 40


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    """A server with WAL segments of 1 MiB, a backup, and some 40 segments behind it."""
    with protected(one_pg_programs, options=InitOptions(wal_segment_mib=1)) as found:
        found.cluster.sql("CREATE TABLE t (n int, filler text)")
        found.backup()
        for n in range(SEGMENTS):
            found.cluster.sql(
                f"INSERT INTO t SELECT {n}, string_agg(md5((g * {n + 1})::text), '') FROM generate_series(1, 28000) g"
            )
            if n == SEGMENTS - 10:
                found.cluster.sql("SELECT pg_create_restore_point('late')")
        found.archive_now()
        yield found


def request(shop: Protected, folder: Path, moment: Moment, *, starts: bool) -> RestoreRequest:
    app = App.load(shop.plan)
    return RestoreRequest(
        CLUSTER,
        moment,
        folder / "data",
        app.seawall_command(),
        pg_bin=shop.cluster.programs.folder,
        starts=starts,
        login_user=functools.partial(app.login_user, CLUSTER),
        settings={"unix_socket_directories": str(folder / "s")},
        deadline_s=60,
        spool_bytes=SPOOL_BYTES,
    )


def run(shop: Protected, moment: Moment, *, starts: bool = True) -> tuple[Restored, RestoreReport, int]:
    """Restore with a small spool; return how many segments lay there at once, at most."""
    folder = shop.new_folder()
    (folder / "s").mkdir()
    app = App.load(shop.plan)
    opened = app.opened_repositories(app.repository_names(CLUSTER))
    with watched(folder / "data.seawall" / SPOOL_NAME) as seen:
        report = restore(request(shop, folder, moment, starts=starts), opened, app.clock)
    return Restored(shop.cluster.programs, folder, Outcome(0, "", "")), report, max(seen, default=0)


@contextmanager
def watched(spool: Path) -> Iterator[list[int]]:
    """Count the segments in a spool all the while."""
    seen: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            if spool.is_dir():
                seen.append(sum(not path.name.startswith(".") for path in spool.iterdir()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def rows(restored: Restored) -> int:
    return int(restored.value("SELECT count(DISTINCT n) FROM t"))


def test_everything_comes_back_through_a_small_spool(shop: Protected) -> None:
    restored, report, most = run(shop, Latest())
    assert rows(restored) == SEGMENTS and report.started
    assert 1 < most <= SPOOL_BYTES // MIB
    assert list((restored.folder / "data.seawall" / SPOOL_NAME).iterdir()) == []
    served = restored.recovery_log.count("restored log file")
    assert served > 3 * SPOOL_BYTES // MIB, "there was far more WAL than room"
    shop.forget(restored)


def test_a_point_late_in_the_wal_is_found_and_reached(shop: Protected) -> None:
    restored, _, most = run(shop, AtName("late"))
    assert rows(restored) == SEGMENTS - 9
    assert most <= SPOOL_BYTES // MIB
    shop.forget(restored)


def test_a_prepared_directory_fetches_for_itself(shop: Protected) -> None:
    restored, _, most = run(shop, Latest(), starts=False)
    spool = restored.data.with_name("data.seawall") / SPOOL_NAME
    with watched(spool) as seen:
        restored.start()
        wait_until(lambda: restored.value("SELECT pg_is_in_recovery()") is False, "promotion")
    assert rows(restored) == SEGMENTS
    assert max([most, *seen]) <= SPOOL_BYTES // MIB
    shop.forget(restored)


def test_what_vanishes_behind_the_window_stops_recovery_instead_of_ending_it(shop: Protected) -> None:
    """The archive was whole when the restore was planned; a hole that appears later must not promote."""
    restored, _, _ = run(shop, Latest(), starts=False)
    names = sorted(item.name for item in (shop.folder / "far").rglob("*") if len(item.name) == 24)
    gone = shop.wal_object(names[-5])
    aside = gone.rename(shop.folder / "aside")
    try:
        with pytest.raises(ServerStartFailed):
            restored.start()
    finally:
        aside.rename(gone)
    assert not restored.is_running
    assert "was in the archive when this restore was planned" in restored.log()
    restored.start()
    wait_until(lambda: restored.value("SELECT pg_is_in_recovery()") is False, "promotion")
    assert rows(restored) == SEGMENTS
    shop.forget(restored)


def test_the_end_of_the_backup_needs_no_wal_but_its_own(shop: Protected) -> None:
    restored, _, most = run(shop, Immediate(), starts=False)
    assert most <= 3
    shop.forget(restored)
