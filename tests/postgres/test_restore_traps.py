"""What a restore must not fall into: holes in the WAL, live tablespaces, leftovers of the source's replication."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.model.wal_name import SegmentName
from seawall.postgres.programs import ServerPrograms
from seawall.restore.beside import work_directory
from seawall.restore.directory.target import exclusive
from seawall.restore.wal.get import FOUND
from tests.support.recovery import Protected, contents, protected, seawall, wait_until
from tests.support.server_programs import server_programs, wanted_majors

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    """A backup and three whole segments of WAL behind it, each with a row of its own."""
    with protected(one_pg_programs) as found:
        found.cluster.sql(
            "CREATE TABLE t (n int)", "CREATE TABLE filler AS SELECT generate_series(1, 50000) g"
        )
        found.backup()
        for n in (1, 2, 3):
            found.cluster.sql(f"INSERT INTO t VALUES ({n})", f"SELECT pg_create_restore_point('after {n}')")
            found.archive_now()
        yield found


@pytest.fixture
def hole(shop: Protected) -> Iterator[tuple[str, str]]:
    """The segment with row 2 is missing: its name, and the position where it begins."""
    archive = shop.archive()
    (wal,) = archive.segments(1)
    segment = SegmentName(1, wal.last - 1, wal.segment_bytes)
    place = shop.wal_object(str(segment))
    kept = shop.folder / "kept"
    place.rename(kept)
    yield str(segment), str(segment.start)
    kept.rename(place)


def rows(restored: object) -> list[int]:
    assert hasattr(restored, "sql")
    return [n for (n,) in restored.sql("SELECT n FROM t ORDER BY n")]


def test_danger_02_gap_in_wal_is_not_the_end(shop: Protected, hole: tuple[str, str]) -> None:
    segment, start = hole
    now = str(shop.cluster.value("SELECT now()::text"))
    for target in (("--latest",), ("--to-name", "after 3"), ("--to", now), ("--to-xid", "999999")):
        failed = shop.try_restore(*target)
        failed.outcome.failed_with(68, segment, "is missing")
        assert not failed.data.exists() or not any(failed.data.iterdir()), target
    restored = shop.restore("--to-lsn", start)
    assert rows(restored) == [1], "up to the hole, everything"
    shop.forget(restored)
    assert segment in shop.run("wal", "gaps").out


def test_danger_02_a_segment_that_vanishes_during_recovery_stops_it(shop: Protected) -> None:
    restored = shop.restore("--latest", starts=False)
    spool = restored.data.with_name("data.seawall") / "spool"
    for entry in spool.iterdir():
        entry.unlink()
    (wal,) = shop.archive().segments(1)
    place = shop.wal_object(str(SegmentName(1, wal.last - 1, wal.segment_bytes)))
    kept = shop.folder / "kept"
    place.rename(kept)
    try:
        with pytest.raises(Exception, match="ended before it was up"):
            restored.start()
        assert "was in the archive when this restore was planned" in restored.log()
        assert (restored.data / "recovery.signal").exists(), "it did not promote"
    finally:
        kept.rename(place)
    restored.start()
    wait_until(lambda: restored.value("SELECT pg_is_in_recovery()") is False, "promotion")
    assert rows(restored) == [1, 2, 3]
    shop.forget(restored)


def test_restore_command_tells_absence_from_trouble(shop: Protected, tmp_path: Path) -> None:
    restored = shop.restore("--latest", starts=False)
    spec = restored.data.with_name("data.seawall") / "restore.json"
    (wal,) = shop.archive().segments(1)
    last = SegmentName(1, wal.last, wal.segment_bytes)

    def get(name: str) -> int:
        return seawall("wal", "get", "--restore", spec, name, tmp_path / "wal").status

    def empty_spool() -> None:
        for entry in (spec.parent / "spool").iterdir():
            entry.unlink()

    assert get(str(last)) == FOUND and get(str(last)) == FOUND, "replay may go back"
    empty_spool()
    assert get(str(last)) == FOUND, "also when the spool no longer has it"
    assert get(str(last.next())) == 1, "behind the proven end: the end of the WAL"
    assert get("00000002.history") == 1 and get(f"{last}.partial") == 1
    moved = shop.folder / "moved"
    empty_spool()
    (shop.folder / "far").rename(moved)
    try:
        assert get(str(last)) >= 126, "a store that is away is not the end of the WAL"
    finally:
        moved.rename(shop.folder / "far")
    spec.write_text("{")
    assert get(str(last)) >= 126
    shop.forget(restored)


def test_danger_01_a_tablespace_newer_than_the_backup_is_a_live_servers(
    one_pg_programs: ServerPrograms,
) -> None:
    with protected(one_pg_programs) as shop:
        shop.backup()
        before = shop.archive_now().end
        live = shop.folder / "live"
        live.mkdir(mode=0o700)
        shop.cluster.sql(
            f"CREATE TABLESPACE live LOCATION '{live}'", "CREATE TABLE v TABLESPACE live AS SELECT 1"
        )
        shop.archive_now()
        files = sorted(str(path) for path in live.rglob("*"))
        failed = shop.try_restore("--latest")
        failed.outcome.failed_with(88, str(live), "--to-lsn")
        assert not any(failed.data.iterdir()) and not failed.is_running
        restored = shop.restore("--to-lsn", str(before))
        assert restored.value("SELECT count(*) FROM pg_tablespace") == 2
        assert sorted(str(path) for path in live.rglob("*")) == files
        assert shop.cluster.value("SELECT count(*) FROM v") == 1


def test_an_interrupted_restore_with_another_mapping_never_takes_a_live_tablespace(
    one_pg_programs: ServerPrograms,
) -> None:
    with protected(one_pg_programs) as shop:
        live = shop.folder / "live"
        live.mkdir(mode=0o700)
        shop.cluster.sql(
            f"CREATE TABLESPACE live LOCATION '{live}'", "CREATE TABLE v TABLESPACE live AS SELECT 1"
        )
        shop.backup()
        files = {path: path.read_bytes() for path in live.rglob("*") if path.is_file()}
        before = contents(shop.cluster)
        shop.archive_now()
        spaces = shop.new_folder()
        half = shop.restore("--latest", "--tablespaces-in", spaces, starts=False)
        (half.data / "global" / "pg_control").unlink()
        (half.data.with_name("data.seawall") / "unfinished").write_text(f'["{spaces}"]')
        shop.try_restore("--latest", folder=half.folder).outcome.failed_with(88, str(live))
        assert {path: path.read_bytes() for path in live.rglob("*") if path.is_file()} == files
        again = shop.try_restore("--latest", "--tablespaces-in", spaces, folder=half.folder)
        again.outcome.failed_with(88, "where there is something")
        (half.data.with_name("data.seawall") / "unfinished").write_text(f'["{next(spaces.iterdir())}"]')
        again = shop.try_restore("--latest", "--tablespaces-in", spaces, folder=half.folder)
        again.outcome.succeeded()
        assert contents(again) == before


def test_a_deleted_backup_label_keeps_the_server_from_starting(shop: Protected) -> None:
    restored = shop.restore("--latest", starts=False)
    (restored.data / "backup_label").unlink()
    (restored.data / "recovery.signal").unlink()
    with pytest.raises(Exception, match="ended before it was up"):
        restored.start()
    assert "checkpoint" in restored.log()
    shop.forget(restored)


def test_what_the_source_followed_is_silenced(one_pg_programs: ServerPrograms) -> None:
    with protected(one_pg_programs) as shop:
        shop.cluster.sql(
            "CREATE TABLE t AS SELECT 1 AS n",
            "ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'",
            "ALTER SYSTEM SET primary_slot_name = 'old'",
            "ALTER SYSTEM SET recovery_target_time = '2020-01-01 00:00:00+00'",
            "ALTER SYSTEM SET restore_command = 'false'",
            "ALTER SYSTEM SET recovery_min_apply_delay = '1h'",
            "ALTER SYSTEM SET work_mem = '5MB'",
        )
        shop.cluster.reload()
        (shop.cluster.data / "standby.signal").touch()
        shop.backup()
        (shop.cluster.data / "standby.signal").unlink()
        shop.archive_now()
        restored = shop.restore("--latest")
        assert not (restored.data / "standby.signal").exists()
        for name, value in (("primary_conninfo", ""), ("recovery_target_time", ""), ("work_mem", "5MB")):
            assert restored.value(f"SHOW {name}") == value
        restored.restart()
        assert restored.value("SHOW primary_conninfo") == "" and restored.value("SHOW restore_command") == ""
        assert restored.value("SELECT count(*) FROM t") == 1


def test_settings_raised_later_in_the_wal_are_replayed(one_pg_programs: ServerPrograms) -> None:
    settings = {"max_connections": "20", "max_prepared_transactions": "2"}
    with protected(one_pg_programs, settings=settings) as shop:
        shop.cluster.sql("CREATE TABLE t (n int)")
        with shop.cluster.connect() as connection:
            connection.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'open'")
        shop.backup()
        shop.cluster.configure({"max_connections": "60", "max_locks_per_transaction": "100"})
        shop.cluster.restart()
        shop.cluster.sql("INSERT INTO t VALUES (2)")
        shop.archive_now()
        restored = shop.restore("--latest")
        assert rows(restored) == [2]
        restored.sql("COMMIT PREPARED 'open'")
        assert rows(restored) == [1, 2]
        restored.restart()
        assert rows(restored) == [1, 2]


def test_a_directory_in_use_or_full_is_refused_and_moved_aside_on_demand(shop: Protected) -> None:
    folder = shop.new_folder()
    (folder / "data").mkdir()
    (folder / "data" / "precious").write_text("x")
    shop.try_restore("--latest", folder=folder).outcome.failed_with(86, "not empty", "--move-aside")
    assert (folder / "data" / "precious").read_text() == "x"
    restored = shop.try_restore("--latest", "--move-aside", folder=folder)
    restored.outcome.succeeded()
    (aside,) = folder.glob("data.before-*")
    assert (aside / "precious").read_text() == "x"
    shop.try_restore("--latest", "--move-aside", folder=folder).outcome.failed_with(86, "runs in")
    assert rows(restored) == [1, 2, 3]
    restored.stop()
    shop.try_restore("--to-name", "never made", "--move-aside", folder=folder).outcome.failed_with(27)
    assert (folder / "data" / "PG_VERSION").exists(), "what was there is back in its place"
    shop.forget(restored)


def test_a_killed_restore_is_run_again(shop: Protected) -> None:
    for attempt in range(4):
        folder = shop.new_folder()
        argv = ("restore", "--latest", "--into", folder / "data", "--pg-bin", shop.cluster.programs.folder)
        process = shop.popen(*argv)
        time.sleep(0.35 + 0.15 * attempt)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        if not (folder / "data" / "global" / "pg_control").exists():
            again = shop.try_restore("--latest", folder=folder)
            again.outcome.succeeded()
            assert rows(again) == [1, 2, 3]
            shop.forget(again)


def test_two_restores_into_one_directory_do_not_meet(shop: Protected) -> None:
    folder = shop.new_folder()
    with exclusive(work_directory(folder / "data")):
        shop.try_restore("--latest", folder=folder).outcome.failed_with(48, "another restore")


def test_every_wrong_thing_has_its_own_clear_error(shop: Protected, tmp_path: Path) -> None:
    def restore(plan: Path, *arguments: str | Path) -> tuple[int, str]:
        outcome = seawall("restore", "--latest", "--into", tmp_path / "d", "--plan", plan, *arguments)
        outcome.failed_with(outcome.status)
        assert not (tmp_path / "d").exists()
        return outcome.status, outcome.err

    text = shop.plan.read_text()
    plan = tmp_path / "plan.yaml"
    statuses = {}
    (tmp_path / "key").write_bytes(b"another key altogether, long enough to be one: 0123456789abcdef")
    (tmp_path / "key").chmod(0o600)
    plan.write_text(text.replace(f"file:{shop.folder / 'key'}", f"file:{tmp_path / 'key'}"))
    statuses["wrong key"], said = restore(plan)
    assert "key" in said
    plan.write_text(text.replace(f"file:{shop.folder / 'key'}", f"file:{tmp_path / 'none'}"))
    statuses["no key file"], _ = restore(plan)
    (tmp_path / "empty").mkdir()
    plan.write_text(text.replace(f"file://{shop.folder / 'far'}", f"file://{tmp_path / 'empty'}"))
    statuses["no repository"], said = restore(plan)
    assert "repository init" in said
    plan.write_text(text.replace(f"file://{shop.folder / 'far'}", "ftp://nowhere"))
    statuses["wrong URL"], _ = restore(plan)
    plan.write_text(text.replace("  main:\n", "  other:\n"))
    statuses["another cluster"], _ = restore(plan)
    statuses["no such backup"], _ = restore(shop.plan, "--backup", "20200101T000000Z-000000")
    statuses["no such timeline"], said = restore(shop.plan, "--timeline", "7")
    assert "--timeline takes one of: 1" in said
    assert len(set(statuses.values())) == len(statuses), statuses


def test_the_programs_of_another_major_are_refused(shop: Protected) -> None:
    other = next(
        (
            found
            for major in wanted_majors()
            if major != shop.cluster.major and (found := server_programs(major))
        ),
        None,
    )
    if other is None:
        pytest.skip("only one major here")
    folder = shop.new_folder()
    outcome = shop.run("restore", "--latest", "--into", folder / "data", "--pg-bin", other.folder)
    outcome.failed_with(outcome.status, str(shop.cluster.major))
    assert 30 <= outcome.status < 40 and not (folder / "data").exists()
