"""What a backup can meet on a real server: damage, unreadable files, odd tablespaces, dead repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.plans import CLUSTER
from tests.support.recovery import CONSOLE, Protected, contents, protected, wait_until
from tests.support.user_namespace import as_ordinary_user

pytestmark = pytest.mark.postgres


@pytest.fixture
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    with protected(one_pg_programs) as found:
        found.cluster.sql("CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 20000) g")
        yield found


def relation_file(shop: Protected, relation: str) -> Path:
    return shop.cluster.data / str(shop.cluster.value(f"SELECT pg_relation_filepath('{relation}')"))


def flip(path: Path, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0xFF]))


def test_damaged_pages_are_reported_by_relation_and_block_and_marked(shop: Protected) -> None:
    table = relation_file(shop, "t")
    shop.cluster.stop()
    flip(table, 3 * 8192 + 4000)
    flip(table, 7 * 8192 + 4000)
    shop.cluster.start()
    outcome = shop.run("backup", "--json").failed_with(67, "postgres.public.t", "block 3, 7")
    path = str(table.relative_to(shop.cluster.data))
    assert outcome.document["corrupt"] == {path: [3, 7]}
    listed = shop.run("list", "--json").succeeded().document
    assert listed["repositories"]["far"]["backups"][0]["corrupt_files"] == 1
    shop.archive_now()
    restored = shop.try_restore("--immediate", starts=False)
    restored.outcome.succeeded()
    assert any("damaged pages" in note and path in note for note in restored.report["notes"])


def test_danger_11_unreadable_files_are_all_found_before_the_first_byte(shop: Protected) -> None:
    places = [shop.cluster.data / "base" / "stray1", shop.cluster.data / "stray2"]
    for place in places:
        place.write_text("x")
        place.chmod(0)
    closed = shop.cluster.data / "closed"
    closed.mkdir(mode=0)
    done = subprocess.run(
        as_ordinary_user([CONSOLE, "backup", "--plan", shop.plan]),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    closed.chmod(0o700)
    assert done.returncode == 82, done.stderr
    assert all(str(place) in done.stderr for place in [*places, closed]), done.stderr
    assert not (shop.folder / "far" / "leases").exists(), "nothing was begun"
    assert shop.cluster.value("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'backup_start'") == 1


def test_danger_12_tablespaces_inside_the_data_directory_or_beside_it_with_its_name(shop: Protected) -> None:
    inside, beside = shop.cluster.data / "space", Path(f"{shop.cluster.data}2")
    for number, place in enumerate((inside, beside)):
        place.mkdir(mode=0o700)
        shop.cluster.sql(
            f"CREATE TABLESPACE s{number} LOCATION '{place}'",
            f"CREATE TABLE u{number} TABLESPACE s{number} AS TABLE t",
        )
    shop.backup()
    before = contents(shop.cluster)
    shop.archive_now()
    oid = str(shop.cluster.value("SELECT oid FROM pg_tablespace WHERE spcname = 's1'"))
    failed = shop.try_restore("--latest")
    failed.outcome.failed_with(88, str(beside), "--tablespace")
    assert not failed.data.exists(), "nothing was changed"
    elsewhere = shop.new_folder() / "space"
    restored = shop.restore("--latest", "--tablespace", f"{oid}={elsewhere}")
    assert contents(restored) == before
    places = {Path(link.readlink()) for link in (restored.data / "pg_tblspc").iterdir()}
    assert places == {restored.data / "space", elsewhere}
    shop.try_restore("--latest", "--tablespace", "99=/x").outcome.failed_with(24, "no tablespace '99'")


def test_a_tablespace_made_while_the_backup_runs_is_left_to_the_wal(shop: Protected) -> None:
    place = shop.folder / "late"
    place.mkdir(mode=0o700)
    big = shop.cluster.data / "base" / "zz"
    big.write_bytes(os.urandom(48 << 20))
    text = shop.plan.read_text()
    shop.plan.write_text(text.replace("    wal: {", "    backup: {throttle: 16MiB/s}\n    wal: {"))
    process = shop.popen("backup", "--json")
    leases = shop.folder / "far" / "leases" / CLUSTER
    wait_until(lambda: leases.exists() or process.poll() is not None, "the copy to begin")
    assert process.poll() is None, "the backup goes on while the tablespace is made"
    shop.cluster.sql(
        f"CREATE TABLESPACE late LOCATION '{place}'", "CREATE TABLE v TABLESPACE late AS TABLE t"
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    shop.archive_now()
    shop.try_restore("--latest").outcome.failed_with(88, "creates tablespace", str(place))
    before = contents(shop.cluster)
    shop.cluster.stop()
    shutil.rmtree(place)  # as on another machine, where the folder never was
    assert contents(shop.restore("--latest")) == before


def test_a_linked_pg_wal_becomes_an_ordinary_folder(shop: Protected) -> None:
    shop.cluster.stop()
    elsewhere = shop.folder / "wal-disk"
    (shop.cluster.data / "pg_wal").rename(elsewhere)
    (shop.cluster.data / "pg_wal").symlink_to(elsewhere)
    shop.cluster.start()
    shop.backup()
    before = contents(shop.cluster)
    shop.archive_now()
    restored = shop.restore("--latest")
    assert contents(restored) == before
    assert (restored.data / "pg_wal").is_dir() and not (restored.data / "pg_wal").is_symlink()


def test_a_link_to_a_folder_of_relations_is_refused(shop: Protected) -> None:
    (shop.cluster.data / "odd").symlink_to("/tmp")
    shop.run("backup").failed_with(83, "odd", "link")


def test_temporary_and_unlogged_tables_are_not_copied(shop: Protected) -> None:
    shop.cluster.sql("CREATE UNLOGGED TABLE cache AS TABLE t")
    cache = relation_file(shop, "cache").name
    with shop.cluster.connect() as connection:
        connection.execute("CREATE TEMP TABLE scratch AS TABLE t")
        (name,) = connection.execute("SELECT pg_relation_filepath('scratch')").fetchone() or ("",)
        shop.backup()
    shop.archive_now()
    restored = shop.restore("--latest", starts=False)
    names = {path.name for path in restored.data.rglob("*")}
    assert Path(name).name not in names and f"{cache}_init" in names and cache not in names


def test_without_archiving_no_backup_is_begun(shop: Protected) -> None:
    shop.cluster.restart({"archive_mode": "off"})
    shop.run("backup").failed_with(22, "archive_mode is off")


def test_wal_that_never_arrives_is_named_after_the_deadline(shop: Protected) -> None:
    shop.archive_now()
    shop.cluster.configure({"archive_command": "/bin/true"})  # danger 6: pg_stat_archiver looks perfect
    shop.cluster.reload()
    shop.run("backup", "--wal-timeout", "2s").failed_with(56, "did not arrive", "WAL 0000000100000000")
    assert shop.run("list", "--json").succeeded().document["repositories"]["far"]["backups"] == []


def test_another_server_than_the_plans_directory_is_refused(
    shop: Protected, one_pg_programs: ServerPrograms
) -> None:
    with protected(one_pg_programs) as other:
        text = shop.plan.read_text()
        shop.plan.write_text(text.replace(shop.cluster.url(), other.cluster.url()))
        shop.run("backup").failed_with(45, "is system")
        shop.plan.write_text(text.replace(str(shop.cluster.data), str(other.cluster.data)))
        shop.run("backup").failed_with(45, "belongs to system")


def test_one_dead_repository_does_not_cost_the_backup_in_the_other(one_pg_programs: ServerPrograms) -> None:
    with protected(one_pg_programs, repositories=("near", "far")) as shop:
        shop.backup()
        shutil.move(shop.folder / "near", shop.folder / "gone")
        text = shop.plan.read_text().replace(f"file://{shop.folder / 'near'}", "file:///nowhere/at/all")
        shop.plan.write_text(text)
        shop.cluster.configure({"archive_command": f"{shop.archive_command()} || true"})
        shop.cluster.reload()
        outcome = shop.run("backup", "--json").failed_with(66, "near")
        assert list(outcome.document["repositories"]) == ["far"]
        assert list(outcome.document["failed"]) == ["near"]
        before = contents(shop.cluster)
        assert contents(shop.restore("--latest")) == before, "and a restore needs only the other"
