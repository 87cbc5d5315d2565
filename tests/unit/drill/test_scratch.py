"""The scratch folder: private, gone afterwards, and only what a drill made is ever removed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.drill import reaper
from seawall.drill.errors import ScratchUnfit
from seawall.drill.scratch import PREFIX, check_space, scratch_folder, sweep


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder with a short path: sockets have short names."""
    with tempfile.TemporaryDirectory(prefix="sw-", dir="/tmp") as folder:
        yield Path(folder)


def test_a_folder_lives_as_long_as_its_block(tmp_path: Path, base: Path) -> None:
    with scratch_folder(base, tmp_path / "state") as scratch:
        assert scratch.folder.stat().st_mode & 0o777 == 0o700
        assert sweep(tmp_path / "state") == [], "a drill that lives is left alone"
        assert scratch.folder.exists()
        worker = subprocess.Popen(["sleep", "60"], cwd=scratch.folder)
    assert not scratch.folder.exists()
    assert worker.wait(10) == -signal.SIGKILL
    assert list((tmp_path / "state" / "drills").iterdir()) == []


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path, base: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch_folder(base, tmp_path / "state") as scratch:
        raise KeyboardInterrupt
    assert not scratch.folder.exists()


def test_the_reaper_outlives_a_killed_drill_and_signals(tmp_path: Path) -> None:
    folder, note = tmp_path / f"{PREFIX}1", tmp_path / "note"
    folder.mkdir()
    note.touch()
    argv = [sys.executable, "-I", "-S", reaper.__file__, str(folder), str(note)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
    time.sleep(0.3)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
    time.sleep(0.1)
    assert process.poll() is None and folder.exists()
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0
    assert not folder.exists() and not note.exists()


def test_only_folders_of_drills_are_swept(tmp_path: Path) -> None:
    notes = tmp_path / "state" / "drills"
    notes.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(victim)
    for number, place in enumerate(
        (victim, tmp_path / f"{PREFIX}link", tmp_path / f"{PREFIX}gone", Path("/"))
    ):
        (notes / str(number)).write_text(str(place))
    assert sweep(tmp_path / "state") == []
    assert victim.exists()
    assert sorted(path.name for path in notes.iterdir()) == ["0", "1", "3"]


def test_what_is_unfit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScratchUnfit, match="needs"):
        check_space(tmp_path, 1 << 60)
    with pytest.raises(ScratchUnfit, match="can't be used"):
        check_space(tmp_path / "none", 1)
    long = tmp_path / ("x" * 90)
    with pytest.raises(ScratchUnfit, match="Unix socket"), scratch_folder(long, tmp_path / "state"):
        raise AssertionError
    (tmp_path / "file").touch()
    with (
        pytest.raises(ScratchUnfit, match="can't be written"),
        scratch_folder(Path("/tmp"), tmp_path / "file"),
    ):
        raise AssertionError
