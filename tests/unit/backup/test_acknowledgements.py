"""A note says that a segment is safe only while nothing that it was about has changed, and only once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seawall.backup.wal.acknowledgements import Acknowledgements, take_acknowledgement

SEGMENT = "000000010000000000000007"
LONG_AGO_S = 1_500_000_000


class Place:
    """A plan and a segment, long settled, with the notes' folder beside them."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache" / "seawall" / "pushed"
        self.plan = folder / "plan.yaml"
        self.segment = folder / SEGMENT
        self.plan.write_text("version: 1\n")
        self.segment.write_bytes(b"wal" * 1000)

    def notes(self, cluster: str | None = "main") -> Acknowledgements:
        return Acknowledgements(str(self.plan), cluster, settled_ns=0)

    def leave(self, cluster: str | None = "main") -> None:
        notes = self.notes(cluster)
        assert notes.leave(str(self.segment), notes.describe(str(self.segment)))

    def take(self, cluster: str | None = "main", plan: str | None = None) -> bool:
        return take_acknowledgement(plan or str(self.plan), cluster, str(self.segment))

    def files(self) -> list[Path]:
        return [path for path in self.cache.rglob("*") if path.is_file()]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Place(tmp_path)


def test_a_note_is_taken_once(place: Place) -> None:
    assert not place.take()
    place.leave()
    assert place.take()
    assert not place.take()
    assert place.files() == []


def test_notes_are_nobody_elses_to_read(place: Place) -> None:
    place.leave()
    (note,) = place.files()
    assert note.stat().st_mode & 0o777 == 0o600
    assert note.parent.stat().st_mode & 0o077 == 0


def _rewrite(place: Place) -> None:
    place.segment.write_bytes(b"WAL" * 1000)


def _replace_by_the_same(place: Place) -> None:
    copy = place.segment.with_name("copy")
    copy.write_bytes(place.segment.read_bytes())
    os.replace(copy, place.segment)


def _recycle(place: Place) -> None:
    """PostgreSQL renames an old segment to the name of a future one; only ctime tells (xlog.c)."""
    state = place.segment.stat()
    os.rename(place.segment, place.segment.with_name("away"))
    os.rename(place.segment.with_name("away"), place.segment)
    os.utime(place.segment, ns=(state.st_atime_ns, state.st_mtime_ns))


def _edit_plan(place: Place) -> None:
    place.plan.write_text("version: 2\n")


def _touch_plan(place: Place) -> None:
    os.utime(place.plan)


def _remove_segment(place: Place) -> None:
    place.segment.unlink()


def _age(place: Place) -> None:
    (note,) = place.files()
    os.utime(note, (time.time() - 301, time.time() - 301))


def _date_ahead(place: Place) -> None:
    (note,) = place.files()
    os.utime(note, (time.time() + 60, time.time() + 60))


def _open_note(place: Place) -> None:
    place.files()[0].chmod(0o644)


def _open_folder(place: Place) -> None:
    place.files()[0].parent.chmod(0o770)


def _link_note(place: Place) -> None:
    (note,) = place.files()
    os.rename(note, note.with_suffix(".x"))
    note.symlink_to(note.with_suffix(".x"))


def _tear_note(place: Place) -> None:
    (note,) = place.files()
    note.write_bytes(note.read_bytes()[:-1])


@pytest.mark.parametrize(
    "change",
    [
        _rewrite,
        _replace_by_the_same,
        _recycle,
        _edit_plan,
        _touch_plan,
        _remove_segment,
        _age,
        _date_ahead,
        _open_note,
        _open_folder,
        _link_note,
        _tear_note,
    ],
)
def test_a_note_about_something_else_is_not_believed(place: Place, change: Callable[[Place], None]) -> None:
    place.leave()
    time.sleep(0.02)  # a tick of the file system's clock
    change(place)
    assert not place.take()


def test_a_note_is_for_the_words_of_one_archive_command(place: Place, tmp_path: Path) -> None:
    place.leave("main")
    other = tmp_path / "other.yaml"
    other.write_text(place.plan.read_text())
    assert not place.take("other")
    assert not place.take(None)
    assert not place.take("main", str(other))
    assert place.take("main")


def test_no_note_is_left_about_what_changed_while_it_was_pushed(place: Place) -> None:
    notes = place.notes()
    described = notes.describe(str(place.segment))
    time.sleep(0.02)
    place.segment.write_bytes(b"WAL" * 1000)
    assert not notes.leave(str(place.segment), described)
    assert not place.take()


def test_no_note_is_left_under_a_plan_that_changed_meanwhile(place: Place) -> None:
    notes = place.notes()
    described = notes.describe(str(place.segment))
    time.sleep(0.02)
    place.plan.write_text("version: 3\n")
    notes.leave(str(place.segment), described)
    assert not place.take()


def test_no_note_is_left_under_a_plan_that_may_still_be_changing(place: Place) -> None:
    place.plan.write_text("version: 1 \n")
    assert Acknowledgements(str(place.plan), "main").describe(str(place.segment)) is None


def test_without_a_plan_there_are_no_notes(place: Place, tmp_path: Path) -> None:
    missing = Acknowledgements(str(tmp_path / "none.yaml"), None)
    assert missing.describe(str(place.segment)) is None
    assert not take_acknowledgement(str(tmp_path / "none.yaml"), None, str(place.segment))


def test_what_nobody_came_for_is_swept(place: Place) -> None:
    place.leave()
    (note,) = place.files()
    place.notes().sweep()
    assert place.files() == [note]
    os.utime(note, (LONG_AGO_S, LONG_AGO_S))
    place.notes().sweep()
    assert place.files() == []


def test_asking_imports_next_to_nothing() -> None:
    program = (
        "import os, sys, time, __future__\n"
        "before = set(sys.modules)\n"
        "import seawall.cli.start, seawall.backup.wal.acknowledgements\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [
        "seawall",
        "seawall.backup",
        "seawall.backup.wal",
        "seawall.backup.wal.acknowledgements",
        "seawall.cli",
        "seawall.cli.start",
        "seawall.plan",
        "seawall.plan.locate",
        "seawall.plan.private_files",
    ]
