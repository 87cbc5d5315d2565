"""What ``archive_command`` can be handed by a real server, and who may hand it anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.control_files import with_system_identifier
from tests.support.recovery import Outcome, Protected, contents, protected, wait_until
from tests.support.servers import TestCluster, copy_tree

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    with protected(one_pg_programs, settings={"wal_keep_size": "1GB"}) as found:
        found.cluster.sql("CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 1000) g")
        found.backup()
        found.archive_now()
        yield found


def push(shop: Protected, path: Path, data: Path | None = None) -> Outcome:
    return shop.run("wal", "push", "--data-directory", data or shop.cluster.data, path)


@pytest.fixture
def segment(shop: Protected, tmp_path: Path) -> Path:
    """A copy of an archived segment, to be tampered with."""
    name = str(shop.archive_now())
    copy = tmp_path / name
    shutil.copyfile(shop.cluster.data / "pg_wal" / name, copy)
    return copy


def test_an_identical_duplicate_succeeds_and_a_different_one_is_refused(
    shop: Protected, segment: Path
) -> None:
    assert push(shop, segment).status == 0
    content = bytearray(segment.read_bytes())
    content[-1] ^= 1
    segment.write_bytes(content)
    push(shop, segment).failed_with(44, "already holds another", segment.name)


@pytest.mark.parametrize("damage", ["zeros", "short", "renamed", "empty"])
def test_what_is_no_segment_of_this_place_is_refused(shop: Protected, segment: Path, damage: str) -> None:
    content = segment.read_bytes()
    path = segment
    if damage == "zeros":
        content = bytes(len(content))
    elif damage == "short":
        content = content[: len(content) // 2]
    elif damage == "empty":
        content = b""
    else:
        path = segment.with_name("0000000100000000000000FE")
    path.write_bytes(content)
    push(shop, path).failed_with(65, path.name)


def test_a_segment_of_another_system_is_refused(shop: Protected, segment: Path, tmp_path: Path) -> None:
    content = bytearray(segment.read_bytes())
    content[24:32] = (int.from_bytes(content[24:32], "little") ^ 1).to_bytes(8, "little")
    segment.write_bytes(content)
    push(shop, segment).failed_with(65, "system")
    other = tmp_path / "other" / "global"
    other.mkdir(parents=True)
    control = (shop.cluster.data / "global" / "pg_control").read_bytes()
    identifier = int.from_bytes(content[24:32], "little")
    (other / "pg_control").write_bytes(with_system_identifier(control, identifier))
    push(shop, segment, other.parent).failed_with(45, "belongs to system")


def test_names_that_postgresql_never_archives_are_refused(shop: Protected, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    push(shop, tmp_path / "notes.txt").failed_with(23, "no WAL file", "%p")
    push(shop, tmp_path / "000000010000000000000001").failed_with(23, "can't be read")


def test_backup_history_and_partial_files_are_kept(shop: Protected, tmp_path: Path) -> None:
    partial = tmp_path / "0000000100000000000000F0.partial"
    name = str(shop.archive_now())
    whole = tmp_path / (name + ".partial")
    shutil.copyfile(shop.cluster.data / "pg_wal" / name, whole)
    push(shop, whole).succeeded()
    assert shop.archive().fetch(whole.name) == whole.read_bytes()
    partial.write_bytes(bytes(16 << 20))
    push(shop, partial).failed_with(65, partial.name)
    history = tmp_path / "000000F0.history"
    history.write_text("1\t0/5000000\tno recovery target specified\n")
    push(shop, history).succeeded()
    assert shop.archive().fetch(history.name) == history.read_bytes()
    shop.wal_object(history.name).unlink()  # the other tests' newest timeline is 1
    labels = list((shop.folder / "far").rglob("*.backup"))
    assert labels, "the server's own backup history file arrived through archive_command"


def test_danger_06_clone_that_pushes_is_refused(shop: Protected) -> None:
    """pgbackrest#1616: a snapshot of the machine has the same system identifier and the same command."""
    clone = TestCluster(shop.cluster.programs, shop.new_folder())
    shop.cluster.sql("CHECKPOINT")
    copy_tree(shop.cluster.data, clone.data)
    (clone.data / "postmaster.pid").unlink()
    name = str(shop.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    (clone.data / "pg_wal" / "archive_status" / f"{name}.ready").touch()
    push(shop, clone.data / "pg_wal" / name, clone.data).failed_with(46, "written by another data directory")
    clone.start()
    clone.sql("CREATE TABLE only_in_the_clone AS SELECT 1", "SELECT pg_switch_wal()")
    wait_until(lambda: clone.value("SELECT failed_count FROM pg_stat_archiver") > 0, "a refused push")
    assert clone.value("SELECT archived_count FROM pg_stat_archiver") == 0
    assert "archive_mode = off" in clone.log()
    before = contents(shop.cluster)
    shop.archive_now()
    restored = shop.restore("--latest")
    assert contents(restored) == before
    shop.forget(restored)


def test_a_copy_never_archives_and_its_promotion_leaves_no_trace(shop: Protected) -> None:
    objects = {str(path) for path in (shop.folder / "far").rglob("*") if path.is_file()}
    restored = shop.restore("--latest")
    restored.sql("CREATE TABLE only_in_the_copy AS SELECT 1", "SELECT pg_switch_wal()", "CHECKPOINT")
    restored.restart()
    restored.sql("SELECT pg_switch_wal()")
    added = {str(path) for path in (shop.folder / "far").rglob("*") if path.is_file()} - objects
    assert not [path for path in added if "00000002" in path], added
    shop.forget(restored)
