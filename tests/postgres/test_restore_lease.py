"""A restore's lease on a real store: seen while it recovers, gone afterwards, and no condition of a recovery."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms
from seawall.repository.collect import execute_collection, observe_traces, plan_collection
from seawall.repository.leases import LeaseEntry, LeaseRole, observe_leases
from tests.support.recovery import Protected, protected, wait_until

pytestmark = pytest.mark.postgres

SLOW_CHECK = 'checks:\n  - {name: slow, database: postgres, sql: "select pg_sleep(2) is not null"}\n'


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    with protected(one_pg_programs, repositories=("near", "far"), extra=SLOW_CHECK) as found:
        found.cluster.sql("CREATE TABLE t AS SELECT 1 AS n")
        found.backup()
        found.archive_now()
        yield found


def leases(shop: Protected, repository: str) -> list[LeaseEntry]:
    return list(observe_leases(shop.open_repository(repository)))


def start_restore(shop: Protected, folder: Path) -> subprocess.Popen[str]:
    """Start a restore whose check keeps it busy once its server has recovered."""
    return shop.popen(
        *("restore", "--latest", "--start", "--into", folder / "data", "--deadline", "60s"),
        *("--set", f"unix_socket_directories={folder}", "--pg-bin", shop.cluster.programs.folder),
    )


def collect(shop: Protected, repository: str) -> None:
    opened = shop.open_repository(repository)
    execute_collection(opened, plan_collection(observe_traces(opened)))


def test_the_lease_lasts_until_the_recovery_has_ended(shop: Protected) -> None:
    folder = shop.new_folder()
    restoring = start_restore(shop, folder)
    wait_until(lambda: (folder / ".s.PGSQL.5432").exists(), "the restored server")
    for name in shop.repositories:
        collect(shop, name)
        (entry,) = leases(shop, name)
        assert entry.role is LeaseRole.READER and entry.backup_id in os.listdir(
            next((shop.folder / name).glob("clusters/*/*/backups"))
        )
    out, err = restoring.communicate(timeout=60)
    assert restoring.returncode == 0, out + err
    assert "lease" not in out
    for name in shop.repositories:
        assert leases(shop, name) == []


def test_a_killed_restore_leaves_nothing_to_clear(shop: Protected) -> None:
    folder = shop.new_folder()
    restoring = start_restore(shop, folder)
    wait_until(lambda: leases(shop, "far") != [], "a lease")
    restoring.send_signal(signal.SIGKILL)
    restoring.communicate(timeout=60)
    (left,) = leases(shop, "far")
    shop.forget(shop.restore("--latest"))
    assert [entry.key for entry in leases(shop, "far")] == [left.key], "it hinders nobody"
    entry = shop.folder / "far" / left.key
    hour_ago = time.time() - 3600
    os.utime(entry, (hour_ago, hour_ago))
    collect(shop, "far")
    assert leases(shop, "far") == []


@contextmanager
def on_own_disk(folder: Path, mib: int) -> Iterator[None]:
    """Put a copy of a folder on a tmpfs in its place; skip where that can't be done."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a tmpfs needs root")
    aside = folder.with_name(secrets.token_hex(4))
    folder.rename(aside)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder], capture_output=True, timeout=20
    )
    try:
        if mounted.returncode != 0:
            pytest.skip("mounting a tmpfs is not allowed here")
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True, timeout=20)
        folder.rmdir()
        aside.rename(folder)


def without_lease(shop: Protected) -> list[str]:
    """Restore and verify; return the restore's notes of leases."""
    restored = shop.restore("--latest", starts=False)
    notes = [str(note) for note in restored.report["notes"] if "lease" in note]
    report = shop.run("verify", "--json", "--repository", "far").succeeded().document
    assert "gave no reader's lease" in report["repositories"]["far"]["notes"][0]
    shop.forget(restored)
    return notes


def test_a_read_only_mount_is_no_obstacle(shop: Protected) -> None:
    with on_own_disk(shop.folder / "far", 200):
        subprocess.run(["mount", "-o", "remount,ro", shop.folder / "far"], check=True, timeout=20)
        (note,) = without_lease(shop)
    assert note.startswith("repository far gave no reader's lease") and "ead-only" in note


def test_a_full_repository_is_no_obstacle(shop: Protected) -> None:
    far = shop.folder / "far"
    with on_own_disk(far, 200):
        with open(far / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
            while True:
                ballast.write(bytes(1 << 20))
        (note,) = without_lease(shop)
    assert note.startswith("repository far gave no reader's lease") and "no space" in note
