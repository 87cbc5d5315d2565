"""No space left, on file systems of a few MiB: said clearly, nothing lost, and all well once there is space."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seawall.app import App
from seawall.postgres.programs import ServerPrograms
from seawall.repository.verify.whole import verify
from seawall.restore.errors import SpaceShort
from seawall.restore.planning.moment import Latest
from seawall.restore.planning.request import RestoreRequest
from seawall.restore.run import restore
from tests.support.plans import CLUSTER
from tests.support.recovery import Protected, contents, protected

pytestmark = pytest.mark.postgres

STORE_FULL = 70
SPACE_SHORT = 87


@contextmanager
def small_disk(place: Path, mib: int) -> Iterator[Path]:
    """Mount a tmpfs of so many MiB at ``place``; skip where that can't be done."""
    place.mkdir(parents=True, exist_ok=True)
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small tmpfs needs root")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", place],
        capture_output=True,
        text=True,
        timeout=20,
    )
    if done.returncode != 0:
        pytest.skip(f"mounting a small tmpfs is not allowed here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True, timeout=20)


def resize(place: Path, mib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={mib}m", place], check=True, timeout=20)


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    with protected(one_pg_programs) as found:
        noise = "encode(sha256(g::text::bytea), 'hex') || encode(sha256((g * 7)::text::bytea), 'base64')"
        found.cluster.sql(f"CREATE TABLE noise AS SELECT g, {noise} AS t FROM generate_series(1, 60000) g")
        found.backup()
        found.archive_now()
        yield found


def test_a_repository_that_fills_up_in_a_backup(one_pg_programs: ServerPrograms) -> None:
    with protected(one_pg_programs) as shop:
        shop.cluster.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
        full = shop.folder / "far"
        aside = shop.folder / "aside"
        full.rename(aside)
        with small_disk(full, 48):
            shutil.copytree(aside, full, dirs_exist_ok=True)
            first = shop.backup()["backup"]
            free = os.statvfs(full).f_bavail * os.statvfs(full).f_frsize
            ballast = full / "ballast"
            ballast.write_bytes(bytes(max(free - (1 << 20), 0)))
            outcome = shop.run("backup", "--wal-timeout", "5s")
            outcome.failed_with(STORE_FULL, str(full), "no space left")
            report = verify(shop.open_repository())
            assert report.backups == [first] and report.is_intact, "what was there before is still good"

            segment = shop.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())")
            noisy(shop)
            shop.cluster.sql("SELECT pg_switch_wal()")
            pushed = shop.run("wal", "push", "--data-directory", shop.cluster.data, f"pg_wal/{segment}")
            pushed.failed_with(STORE_FULL, str(full))

            ballast.unlink()
            resize(full, 256)
            second = shop.backup()["backup"]
            report = verify(shop.open_repository())
            assert report.is_intact and report.backups == [first, second] and not report.unfinished
            assert contents(shop.restore("--latest")) == contents(shop.cluster)
            stop(shop)


def noisy(shop: Protected) -> None:
    """Fill the current segment with what no compression makes small."""
    for _ in range(4):
        shop.cluster.sql(f"SELECT pg_logical_emit_message(false, 'x', '{secrets.token_hex(1 << 20)}')")


def stop(shop: Protected) -> None:
    """End the archiver before its disk is taken away."""
    shop.cluster.kill()


def test_a_target_that_is_too_small_is_refused_before_a_byte(shop: Protected) -> None:
    folder = shop.new_folder()
    with small_disk(folder / "disk", 8) as disk:
        outcome = shop.run(
            "restore", "--latest", "--into", disk / "data", "--pg-bin", shop.cluster.programs.folder
        )
        outcome.failed_with(SPACE_SHORT, str(disk))
        assert sorted(path.name for path in disk.rglob("*")) == [], "nothing was begun"


def test_a_target_that_fills_up_is_restored_once_there_is_space(shop: Protected) -> None:
    """The space was there when the restore looked, and somebody else takes it while the files are copied."""
    disk = shop.new_folder() / "disk"
    programs = shop.cluster.programs.folder
    with small_disk(disk, 512):
        app = App.load(shop.plan)
        request = RestoreRequest(
            CLUSTER, Latest(), disk / "data", app.seawall_command(), pg_bin=programs, jobs=1
        )
        ballast = disk / "ballast"

        def take_all_space(phase: str, done: int, total: int | None) -> None:
            if phase == "copy" and not ballast.exists():
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                ballast.write_bytes(bytes(free - (4 << 20)))

        with pytest.raises(SpaceShort, match="no space left") as caught:
            restore(request, app.opened_repositories(["far"]), app.clock, take_all_space)
        assert caught.value.status == SPACE_SHORT and "df -h" in (caught.value.hint or "")
        assert not (disk / "data" / "global" / "pg_control").exists(), "no server may start on half a copy"
        ballast.unlink()
        shop.run("restore", "--latest", "--into", disk / "data", "--pg-bin", programs).succeeded()
        assert (disk / "data" / "global" / "pg_control").exists()
