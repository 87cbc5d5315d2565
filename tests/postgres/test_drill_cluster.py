"""Drills of Seawall's own repositories: what they prove, what they catch, how they are isolated, that nothing stays."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seawall.drill.isolation import ACCOUNTS
from seawall.drill.reaper import processes_in
from seawall.drill.scratch import PREFIX
from seawall.postgres.programs import ServerPrograms
from seawall.restore.planning.moment import CLOCK_DOUBT
from tests.support.drills import SHOP
from tests.support.recovery import CONSOLE, Outcome, Protected, seawall, wait_until
from tests.support.servers import remove_folder, temporary_folder

pytestmark = pytest.mark.postgres

FAILED, INCOMPLETE, DUE = 116, 120, 3
ORDERS = "SELECT count(*) >= 500 FROM orders"
PLAN = f"""\
checks:
  - {{name: orders, database: postgres, sql: "{ORDERS}"}}
  - {{name: fresh, database: postgres, sql: "SELECT max(at) > :recovered_to - interval '1h' FROM orders"}}
  - {{name: of the living alone, database: postgres, when: recovery, sql: "SELECT false"}}
  - {{name: of drills alone, database: postgres, when: drill, sql: "SELECT true"}}
drills: {{restore: {{schedule: "0 5 * * *"}}}}
"""


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    """A cluster with a tablespace, a backup, and archived WAL after it."""
    settings = {"max_worker_processes": "12", "max_connections": "33"}
    found = Protected.start(one_pg_programs, extra=PLAN, settings=settings)
    try:
        (found.folder / "space").mkdir(mode=0o700)
        found.cluster.sql(f"CREATE TABLESPACE fast LOCATION '{found.folder / 'space'}'")
        found.cluster.sql(
            "CREATE TABLE orders (id serial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp()) TABLESPACE fast",
            "INSERT INTO orders SELECT generate_series(1, 500)",
            "SELECT setval('orders_id_seq', 500)",
        )
        found.backup()
        found.cluster.sql(
            "INSERT INTO orders SELECT generate_series(501, 600)", "SELECT setval('orders_id_seq', 600)"
        )
        found.archive_now()
        yield found
    finally:
        found.destroy()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A place for drills that has to be empty again afterwards."""
    folder = temporary_folder()
    folder.chmod(0o755)
    yield folder
    left = list(folder.iterdir())
    remove_folder(folder)
    assert left == []


def _drill(shop: Protected, scratch: Path, *options: str | os.PathLike[str]) -> Outcome:
    programs = shop.cluster.programs.folder
    return shop.run("drill", "restore", "--json", "--scratch", scratch, "--pg-bin", programs, *options)


def _by_name(document: Any) -> dict[str, Any]:
    return {item["name"]: item for item in document["assertions"]}


def test_a_sound_cluster_passes_and_is_recorded(shop: Protected, scratch: Path) -> None:
    before = sorted((shop.folder / "far").rglob("*"))
    document = _drill(
        shop, scratch, "--check", "all=SELECT count(*) = 600 FROM orders", "--database", "postgres"
    )
    drill = document.succeeded().document

    found = _by_name(drill)
    assert {item["outcome"] for item in found.values()} == {"passed"}
    assert {"check: orders", "check: fresh", "check: of drills alone", "check: all", "page checksums"} <= set(
        found
    )
    assert "check: of the living alone" not in found
    assert drill["rpo"] == {"target_ms": 300_000, "reached_ms": 0, "detection_ms": None}, (
        "an idle primary loses nothing"
    )
    assert 180_000 < drill["rto"]["reached_ms"] < drill["rto"]["target_ms"] == 900_000
    assert [phase["name"] for phase in drill["phases"]] == ["decide", "restore", "replay", "check"]
    assert drill["source"]["cluster"] == "main" and len(drill["plan_sha256"]) == 64
    assert found["rows"]["figures"]["rows postgres.public.orders"] == 600
    assert drill["deviations"] == [], "nothing that this machine does not allow"

    made = [path for path in sorted((shop.folder / "far").rglob("*")) if path not in before]
    assert all("evidence" in path.parts for path in made), "the repository is only read"
    shop.run("evidence", "verify").succeeded()
    shown = shop.run("drill", "show", drill["drill"]).succeeded().out
    assert "PASSED" in shown and "kept: " in shown
    assert drill["drill"] in [
        item["drill"] for item in shop.run("drill", "list", "--json").document["drills"]
    ]
    headline = shop.run("audit", "--json", "--fail-on", "never").succeeded().document["headlines"][0]["back"]
    assert "as measured in a drill" in headline


def test_the_server_reaches_nobody(shop: Protected, scratch: Path) -> None:
    """Asked from inside: no route, no interface but a loopback that is down, and a user that owns nothing else."""
    if os.geteuid() != 0:
        pytest.skip("only root can give the drill a user of its own")
    route, device, status = (
        f"pg_read_file('/proc/{name}')" for name in ("net/route", "net/dev", "self/status")
    )
    inside = {
        "no route": f"SELECT count(*) = 1 FROM regexp_split_to_table(trim({route}, E'\\n'), E'\\n')",
        "no interface": f"SELECT {device} !~ 'eth|ens|wlan|enp'",
        "not root": f"SELECT {status} !~ 'Uid:\\s+0'",
        "nobody's files": f"SELECT (pg_stat_file('{shop.folder}/key', true)).size IS NULL",
        "no jobs": "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type ~ '^(logical|auto)'",
        "spaces moved": "SELECT pg_tablespace_location(oid) LIKE '%/seawall-drill-%' FROM pg_tablespace "
        "WHERE spcname = 'fast'",
    }
    words = [word for name, sql in inside.items() for word in ("--check", f"{name}={sql}")]
    found = _by_name(_drill(shop, scratch, "--database", "postgres", *words).document)

    nobody_sees_it = found.pop("check: nobody's files")
    assert nobody_sees_it["outcome"] == "failed" and "Permission denied" in nobody_sees_it["detail"]
    assert {name: item["detail"] for name, item in found.items() if item["outcome"] != "passed"} == {}
    assert ACCOUNTS


def test_a_random_moment_is_recorded_with_its_seed(shop: Protected, scratch: Path) -> None:
    drill = _drill(shop, scratch, "--moment", "random", "--seed", "42").succeeded().document
    assert "random, seed 42" in drill["recovery_point"]["asked"]
    time.sleep(CLOCK_DOUBT.total_seconds() + 2)  # now there is more than the latest moment
    drill = _drill(shop, scratch, "--moment", "random", "--seed", "42").succeeded().document
    assert "UTC (random, seed 42)" in drill["recovery_point"]["asked"]
    assert drill["rpo"]["reached_ms"] is None, "what is lost is measured for the latest moment alone"
    _drill(shop, scratch, "--moment", "1999-01-01 00:00:00+00").failed_with(
        FAILED, "every backup ended after"
    )


def test_data_that_is_older_than_promised(shop: Protected, scratch: Path) -> None:
    """The primary has gone on, and its WAL did not come: the time since the last transaction counts as lost."""
    time.sleep(1.1)
    shop.cluster.sql("CREATE TABLE newer (n int)")
    try:
        drill = _drill(shop, scratch, "--rpo", "1s").failed_with(FAILED, "the RPO was missed").document
    finally:
        shop.cluster.sql("DROP TABLE newer")
        shop.archive_now()
    assert drill["rpo"]["reached_ms"] > 1000
    assert {item["outcome"] for item in drill["assertions"]} == {"passed"}


def test_missing_wal(shop: Protected, scratch: Path) -> None:
    gone = shop.archive_now()
    shop.archive_now()
    wal = shop.wal_object(str(gone))
    aside = wal.rename(shop.folder / "aside")
    try:
        drill = _drill(shop, scratch).failed_with(FAILED, str(gone)).document
    finally:
        aside.rename(wal)
    assert _by_name(drill)["restored and started"]["outcome"] == "failed"
    assert drill["rto"]["reached_ms"] is None


def test_a_wrong_key_and_a_damaged_backup(shop: Protected, scratch: Path) -> None:
    key = shop.folder / "key"
    right = key.read_bytes()
    key.write_bytes(right[::-1])
    try:
        drill = _drill(shop, scratch).failed_with(FAILED).document
    finally:
        key.write_bytes(right)
    assert "key" in _by_name(drill)["restored and started"]["detail"]
    assert drill["source"]["cluster"] == "main", (
        "the drill of the plan's cluster failed, and the ledger knows"
    )
    backups = (shop.folder / "far").glob("clusters/*/*/backups/**/*")
    pack = max((path for path in backups if path.is_file()), key=lambda path: path.stat().st_size)
    whole = pack.read_bytes()
    pack.chmod(0o600)
    middle = len(whole) // 2
    pack.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    try:
        _drill(shop, scratch).failed_with(FAILED, "restored and started")
    finally:
        pack.write_bytes(whole)


def test_a_tablespace_that_is_newer_than_the_backup(shop: Protected, scratch: Path) -> None:
    """Replaying its creation would lead the copy to the living server's folder: refused, with nothing made there."""
    place = shop.folder / "late"
    place.mkdir(mode=0o700)
    shop.cluster.sql(f"CREATE TABLESPACE late LOCATION '{place}'")
    shop.archive_now()
    kept = sorted(place.rglob("*"))
    drill = _drill(shop, scratch).failed_with(INCOMPLETE, "creates tablespace").document
    assert drill["outcome"] == "incomplete" and sorted(place.rglob("*")) == kept
    shop.cluster.sql("DROP TABLESPACE late")
    shop.backup()


def test_a_primary_that_is_gone(shop: Protected, scratch: Path) -> None:
    """The drill that matters most: the living can't be asked any more."""
    shop.archive_now()
    shop.cluster.stop()
    try:
        drill = _drill(shop, scratch).succeeded().document
    finally:
        shop.cluster.start()
    assert any("could not be asked" in item for item in drill["deviations"])
    assert drill["rpo"]["reached_ms"] > 0


def test_killed_drills_leave_nothing(shop: Protected, scratch: Path) -> None:
    process = shop.popen(
        *("drill", "restore", "--scratch", scratch, "--pg-bin", shop.cluster.programs.folder),
        *("--check", "long=SELECT pg_sleep(120) IS NULL", "--database", "postgres"),
    )
    folders: list[Path] = []

    def is_asking() -> bool:
        folders[:] = list(scratch.glob(f"{PREFIX}*"))
        return any(
            "pg_sleep" in _command_line(pid) or "SELECT" in _command_line(pid) for pid in _servers(folders)
        )

    wait_until(is_asking, "the drill's server to be asked")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    wait_until(lambda: not folders[0].exists(), "the reaper to clear away")
    assert _servers(folders) == []
    wait_until(lambda: not list((shop.folder / "state" / "drills").iterdir()), "the note to be taken back")


def _servers(folders: list[Path]) -> list[int]:
    return [pid for folder in folders for pid in processes_in(str(folder))]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_what_a_dead_machine_left_is_cleared_away(shop: Protected, scratch: Path) -> None:
    """After a reboot nobody holds the note's lock; what is no drill's folder is never touched."""
    notes = shop.folder / "state" / "drills"
    left, mine = scratch / f"{PREFIX}0000", scratch / "mine"
    for folder, note in ((left, "0000"), (mine, "0001")):
        (folder / "data").mkdir(parents=True)
        (notes / note).write_text(str(folder))
    outcome = shop.run("drill", "due", "--cluster", "main")
    assert str(left) in outcome.err and not left.exists()
    assert mine.exists() and [path.name for path in notes.iterdir()] == ["0001"]
    (notes / "0001").unlink()
    shutil.rmtree(mine)


def test_due_and_run(shop: Protected, scratch: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    fresh = shop.plan.read_text().replace(f"{shop.folder}/far", f"{tmp_path}/far")
    plan.write_text(fresh)
    seawall("repository", "init", "--plan", plan).succeeded()
    first = seawall("drill", "due", "--plan", plan)
    assert first.status == DUE and "DUE, none was ever held" in first.out
    held = seawall("drill", "due", "--run", "--scratch", scratch, "--plan", plan)
    held.failed_with(
        FAILED, "has nothing of cluster"
    )  # the new repository is empty: the drill failed, and counts as held
    assert seawall("drill", "due", "--plan", plan).status == 0
    plan.write_text(fresh.replace('schedule: "0 5 * * *"', "remind: 1ms"))
    assert "reminder" in seawall("drill", "due", "--plan", plan).out
    plan.write_text(fresh.partition("drills:")[0])
    assert "no timetable" in seawall("drill", "due", "--plan", plan).succeeded().out


def test_every_major(pg_programs: ServerPrograms, scratch: Path) -> None:
    """Settings of the isolated server differ by version, and so do the catalogs that are asked."""
    found = Protected.start(pg_programs)
    try:
        found.cluster.sql("CREATE DATABASE shop")
        found.cluster.sql(*SHOP, database="shop")
        found.backup()
        found.archive_now()
        found.cluster.program("pg_dumpall", "-d", found.cluster.dsn(), "-f", found.folder / "all.sql")
        programs = ("--pg-bin", pg_programs.folder, "--scratch", scratch, "--json")
        for source in (["plan"], [found.folder / "all.sql"]):
            drill = found.run("drill", "restore", *source, *programs).succeeded().document
            assert {item["outcome"] for item in drill["assertions"]} == {"passed"}
            assert drill["measures"]["postgresql"] == pg_programs.version
    finally:
        found.destroy()


def test_errors_of_the_command_line(shop: Protected, scratch: Path, tmp_path: Path) -> None:
    for words, status in (
        (["--check", "nonsense"], 10),
        (["--full-size", "big"], 10),
        (["--moment", "yesterday"], 24),
        (["--cluster", "nobody"], 11),
        (["--expect", str(tmp_path / "none")], 10),
    ):
        _drill(shop, scratch, *words).failed_with(status)
    seawall("drill", "restore", "pgbackrest:?x=y", "--scratch", scratch, "--state", tmp_path).failed_with(103)
    shop.run("drill", "show", "nothing").failed_with(107)
    long = tmp_path / ("x" * 100)
    long.mkdir()
    _drill(shop, long).failed_with(INCOMPLETE, "Unix socket")
    assert CONSOLE.exists()
