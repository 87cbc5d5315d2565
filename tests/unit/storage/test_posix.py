"""The folder as a store, beyond the contract: order of calls, modes, owners, links, full disks, killed writers."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.storage.errors import (
    ObjectExists,
    ObjectMissing,
    StoreFull,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from seawall.storage.posix import PosixStore
from seawall.storage.posix_tree import store_error
from tests.architecture.source import ROOT

AN_HOUR_AGO = time.time() - 3600


@pytest.fixture
def store(tmp_path: Path) -> PosixStore:
    return PosixStore(tmp_path)


def test_modes_are_private(store: PosixStore, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store.put("a/b", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o600
    for folder in ("a", ".tmp"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_gives_everything_to_the_owner_of_the_root(store: PosixStore, tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    store.put("a/b/c", b"1")
    for path in (".tmp", "a", "a/b", "a/b/c"):
        status = (tmp_path / path).stat()
        assert (status.st_uid, status.st_gid) == (12345, 12346), path


def test_a_missing_root_is_told_and_never_made_by_a_write(tmp_path: Path) -> None:
    store = PosixStore(tmp_path / "unmounted")
    with pytest.raises(StoreMissing):
        store.put("a", b"")
    for call in (store.get, store.stat, store.delete):
        with pytest.raises(StoreMissing):
            call("a")
    for listing in (store.scan, store.children):
        with pytest.raises(StoreMissing):
            list(listing(""))
    assert not (tmp_path / "unmounted").exists()
    store.probe()
    store.put("a", b"")


def test_links_are_neither_read_nor_listed_nor_written_through(store: PosixStore, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x").write_bytes(b"not an object")
    (tmp_path / "folder").symlink_to(elsewhere)
    (tmp_path / "file").symlink_to(elsewhere / "x")
    (tmp_path / "dangling").symlink_to(elsewhere / "nothing")
    assert list(store.scan("")) == []
    assert store.stat("folder/x") is None
    assert store.stat("file") is None
    with pytest.raises(ObjectMissing):
        store.get("folder/x")
    with pytest.raises(StoreRefused):
        store.get("file")
    with pytest.raises(StoreRefused):
        store.put("folder/y", b"")
    with pytest.raises(ObjectExists):
        store.put("dangling", b"")
    store.delete("folder/x")
    assert sorted(path.name for path in elsewhere.iterdir()) == ["x"]


def test_what_others_put_there_is_passed_over(store: PosixStore, tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir(mode=0)
    (tmp_path / "ä").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    store.put("a", b"1")
    assert [info.key for info in store.scan("")] == ["a"]
    assert store.children("") == ["a"]
    with pytest.raises(ObjectMissing):
        store.get("pipe")


def test_a_folder_without_objects_is_no_child(store: PosixStore, tmp_path: Path) -> None:
    (tmp_path / "killed/after/mkdir").mkdir(parents=True)
    assert store.children("") == []
    store.put("killed/after/mkdir/x", b"")
    assert store.children("killed/") == ["after"]


def test_deleting_the_last_object_removes_its_folders(store: PosixStore, tmp_path: Path) -> None:
    store.put("a/b/c", b"")
    store.put("a/d", b"")
    store.delete("a/b/c")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["d"]


def test_an_object_is_synced_before_and_its_folder_after_the_link(store: PosixStore, tmp_path: Path) -> None:
    """The order of calls, as the kernel saw them."""
    code = f"from seawall.storage.posix import PosixStore; PosixStore({str(tmp_path)!r}).put('n/o', b'x')"
    calls = traced(code)
    linked = index(calls, "linkat(")
    assert index(calls, "fsync(") < linked, "the folder n was made"
    assert any(call.startswith("fsync(") for call in calls[index(calls, "write(") : linked])
    assert any(call.startswith("fsync(") for call in calls[linked:])
    assert index(calls, "unlink(") > linked


def test_who_meets_an_existing_name_syncs_its_folder_first(store: PosixStore, tmp_path: Path) -> None:
    store.put("n/o", b"x")
    code = (
        "from seawall.storage.posix import PosixStore\n"
        "from seawall.storage.errors import ObjectExists\n"
        f"try: PosixStore({str(tmp_path)!r}).put('n/o', b'x')\n"
        "except ObjectExists: pass"
    )
    calls = traced(code)
    assert any(call.startswith("fsync(") for call in calls[index(calls, "linkat(") :])


def traced(code: str) -> list[str]:
    """Return the file system calls of a Python program."""
    try:
        done = subprocess.run(
            [
                "strace",
                "-qq",
                "-e",
                "trace=linkat,link,fsync,write,unlink,unlinkat,mkdirat",
                sys.executable,
                "-c",
                code,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"strace can't be used here: {error}")
    return done.stderr.splitlines()


def index(calls: list[str], start: str) -> int:
    return next(number for number, call in enumerate(calls) if call.startswith(start))


def test_a_killed_writers_file_goes_and_a_living_ones_stays(store: PosixStore, tmp_path: Path) -> None:
    code = (
        "import sys; from seawall.storage.posix import PosixStore\n"
        f"writer = PosixStore({str(tmp_path)!r}).open_writer('a'); writer.write(b'half')\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        (left,) = (tmp_path / ".tmp").iterdir()
        os.utime(left, (AN_HOUR_AGO, AN_HOUR_AGO))
        store.put("b", b"")
        assert left.exists(), "its writer lives"
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=30)
        assert list(store.scan("a/")) == []
        PosixStore(tmp_path).put("c", b"")
        assert not left.exists()
    finally:
        child.kill()
        child.wait(timeout=30)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
    assert [info.key for info in store.scan("")] == ["b", "c"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", folder],
        capture_output=True,
        check=False,
        timeout=30,
    )
    if done.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True, timeout=30)


def test_a_full_disk_is_told_and_nothing_of_the_object_stays(tiny_disk: Path) -> None:
    store = PosixStore(tiny_disk)
    store.put("small", b"1")
    with pytest.raises(StoreFull) as caught, store.open_writer("large") as writer:
        for _ in range(4):
            writer.write(bytes(1 << 19))
        writer.commit()
    assert str(tiny_disk) in caught.value.hint
    assert [info.key for info in store.scan("")] == ["small"]
    assert list((tiny_disk / ".tmp").iterdir()) == []
    store.put("fits", bytes(1 << 19))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, StoreRefused),
        (errno.EPERM, StoreRefused),
        (errno.EROFS, StoreRefused),
        (errno.EXDEV, StoreRefused),
        (errno.ENOTDIR, StoreRefused),
        (errno.EIO, StoreUnavailable),
        (errno.ESTALE, StoreUnavailable),
    ],
)
def test_errors_of_the_system_are_translated_with_a_remedy(
    tmp_path: Path, number: int, kind: type[Exception]
) -> None:
    error = store_error(OSError(number, os.strerror(number)), str(tmp_path))
    assert type(error) is kind
    assert error.hint


def test_folders_that_vanish_under_a_put_are_made_again(store: PosixStore) -> None:
    """Deleters remove empty folders while others create in them: every put still succeeds."""
    code = (
        "import sys; from seawall.storage.posix import PosixStore\n"
        "store = PosixStore(sys.argv[1])\n"
        "for number in range(150): store.put(f'f/g/{sys.argv[2]}-{number}', b''); "
        "store.delete(f'f/g/{sys.argv[2]}-{number}')"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, store.url.removeprefix("file://"), str(number)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        for number in range(3)
    ]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    assert list(store.scan("")) == []
