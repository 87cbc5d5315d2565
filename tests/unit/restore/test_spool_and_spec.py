"""The spool, the restore's spec, and the exit codes of ``restore_command`` in a planned restore."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seawall.model.wal_name import SegmentName
from seawall.repository.wal.errors import WalNotFound
from seawall.restore.errors import WalMissing
from seawall.restore.planning.spec import RepositoryAddress, RestoreSpec, WalFolder
from seawall.restore.wal.get import ABSENT, AHEAD_SEGMENTS, FOUND, Fetch, get_planned
from seawall.restore.wal.ready import serve_ready, write_histories
from seawall.restore.wal.spool import Spool
from seawall.storage.errors import StoreUnavailable

SIZE = 1 << 20
SPEC = RestoreSpec(
    cluster="main",
    system_identifier=7412345678901234567,
    wal_segment_bytes=SIZE,
    repositories=(RepositoryAddress("file:///r", None, None, {"key_id": "env:K"}, ("file:/k",)),),
    path=(WalFolder(1, 1, 3, 5), WalFolder(2, 2, 6, 20)),
)
HISTORY = b"1\t0/600000\tno recovery target specified\n"


def name(number: int, timeline: int = 1) -> str:
    return str(SegmentName(timeline, number, SIZE))


class Archive:
    """Answers with the epoch and name as content; ``failing`` names raise."""

    def __init__(self, failing: dict[str, Exception] | None = None) -> None:
        self.asked: list[tuple[int, str]] = []
        self.failing = failing or {}

    def fetch(self, epoch: int, name: str) -> bytes:
        self.asked.append((epoch, name))
        if name in self.failing:
            raise self.failing[name]
        return f"{epoch} {name}".encode()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    (tmp_path / "spool").mkdir()
    write_histories(str(tmp_path), {"00000002.history": HISTORY})
    return Spool(tmp_path / "spool")


def get(spool: Spool, wanted: str, archive: Archive) -> tuple[int, Path]:
    work = Path(spool.folder).parent
    destination = work / "RECOVERYXLOG"
    destination.unlink(missing_ok=True)
    opener: Callable[[], Fetch] = lambda: archive.fetch  # noqa: E731 - typed for the protocol
    return get_planned(SPEC, work, wanted, destination, opener), destination


def test_the_spec_is_read_as_it_was_written() -> None:
    assert RestoreSpec.decode(SPEC.encode()) == SPEC
    assert b"secret-value" not in SPEC.encode()
    with pytest.raises((ValueError, KeyError, TypeError)):
        RestoreSpec.decode(b"{}")


def test_a_segment_on_the_path_comes_from_its_epoch_and_brings_the_next_ones(spool: Spool) -> None:
    archive = Archive()
    status, destination = get(spool, name(6, 2), archive)
    assert status == FOUND and destination.read_bytes() == f"2 {name(6, 2)}".encode()
    assert len(archive.asked) == AHEAD_SEGMENTS
    asked = len(archive.asked)
    status, destination = get(spool, name(7, 2), archive)
    assert status == FOUND and destination.read_bytes() == f"2 {name(7, 2)}".encode()
    assert len(archive.asked) == asked, "it was in the spool"


@pytest.mark.parametrize(
    "wanted", [name(21, 2), name(6, 1), name(3, 3), "00000003.history", name(3) + ".partial"]
)
def test_what_is_proven_not_to_be_there_is_absent(spool: Spool, wanted: str) -> None:
    archive = Archive()
    assert get(spool, wanted, archive)[0] == ABSENT
    assert archive.asked == [], "nobody has to be asked"


def test_histories_come_from_the_plan(spool: Spool) -> None:
    status, destination = get(spool, "00000002.history", Archive())
    assert status == FOUND and destination.read_bytes() == HISTORY


def test_without_the_list_of_histories_none_is_called_absent(spool: Spool) -> None:
    """PostgreSQL would take a number that another timeline has."""
    shutil.rmtree(Path(spool.folder).parent / "histories")
    with pytest.raises(WalMissing, match="nobody knows whether"):
        get(spool, "00000003.history", Archive())


def test_absence_below_the_proven_end_is_damage(spool: Spool) -> None:
    gone = WalNotFound("not there", hint="none")
    with pytest.raises(WalMissing, match="was in the archive when this restore was planned"):
        get(spool, name(4), Archive({name(4): gone}))


def test_a_store_that_is_out_is_never_the_end_of_the_wal(spool: Spool) -> None:
    with pytest.raises(StoreUnavailable):
        get(spool, name(4), Archive({name(4): StoreUnavailable("out", hint="wait")}))


def test_trouble_further_ahead_is_left_to_the_call_that_needs_it(spool: Spool) -> None:
    archive = Archive({name(5): StoreUnavailable("out", hint="wait")})
    assert get(spool, name(4), archive)[0] == FOUND
    with pytest.raises(StoreUnavailable):
        get(spool, name(5), archive)


def test_the_spool_gives_a_file_whole_and_keeps_it(spool: Spool, tmp_path: Path) -> None:
    spool.put("a", b"one")
    spool.put("a", b"one")
    assert spool.has("a")
    assert sorted(entry.name for entry in Path(spool.folder).iterdir()) == [".a.hash", "a"]
    for _ in range(2):
        assert spool.give("a", tmp_path / "out") and (tmp_path / "out").read_bytes() == b"one"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["histories", "out", "spool"]
    (tmp_path / "out").write_bytes(b"recycled")  # a second name of the same file
    (tmp_path / "out").unlink()
    assert not spool.give("a", tmp_path / "out") and not (tmp_path / "out").exists()
    assert list(Path(spool.folder).iterdir()) == []


def test_what_replay_is_past_goes(spool: Spool, tmp_path: Path) -> None:
    for number in range(3, 8):
        spool.put(name(number), b"x")
    for number in (4, 3, 4, 5, 6):  # the checkpoint's record first, then back to redo
        assert serve_ready(str(tmp_path), name(number), str(tmp_path / "out"))
    assert sorted(spool.names()) == [name(5), name(6), name(7)]


@pytest.mark.parametrize("left", [b"", b"on", b"onf", b"\0\0\0"], ids=["empty", "cut", "other", "zeros"])
def test_what_a_loss_of_power_left_in_the_spool_is_fetched_again(spool: Spool, left: bytes) -> None:
    """Renamed but never synced, a file may come back so; as WAL it would look like the end of the WAL."""
    spool.put(name(4), b"one")
    (Path(spool.folder) / name(4)).write_bytes(left)
    archive = Archive()
    status, destination = get(spool, name(4), archive)
    assert status == FOUND and destination.read_bytes() == f"1 {name(4)}".encode()
    assert archive.asked[0] == (1, name(4))


def test_the_spool_serves_a_pg_wal_on_another_file_system(spool: Spool) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == Path(spool.folder).stat().st_dev:
        pytest.skip("no second file system here")
    spool.put("a", b"one")
    destination = elsewhere / f"seawall-{Path(spool.folder).parent.name}"
    try:
        assert spool.give("a", destination) and destination.read_bytes() == b"one"
        assert not list(elsewhere.glob(f"{destination.name}.*"))
    finally:
        destination.unlink(missing_ok=True)


def test_what_lies_ready_is_served_without_the_archive(spool: Spool, tmp_path: Path) -> None:
    destination = tmp_path / "RECOVERYXLOG"
    spool.put(name(4), b"four")
    assert serve_ready(str(tmp_path), name(4), str(destination)) is True
    assert destination.read_bytes() == b"four"
    assert serve_ready(str(tmp_path), "00000002.history", str(destination)) is True
    assert destination.read_bytes() == HISTORY
    assert serve_ready(str(tmp_path), "00000003.history", str(destination)) is False
    assert spool.last_served() == name(4)


@pytest.mark.parametrize("wanted", [name(5), name(4) + ".partial", "x", "../spool/x", ""])
def test_all_else_is_left_to_the_archive(spool: Spool, tmp_path: Path, wanted: str) -> None:
    assert serve_ready(str(tmp_path), wanted, str(tmp_path / "RECOVERYXLOG")) is None


def test_a_place_that_cannot_be_written_is_left_to_who_can_say_why(spool: Spool, tmp_path: Path) -> None:
    spool.put(name(4), b"four")
    assert serve_ready(str(tmp_path), name(4), str(tmp_path / "no" / "RECOVERYXLOG")) is None
    assert serve_ready(str(tmp_path), "00000002.history", str(tmp_path / "no" / "x")) is None
    assert spool.has(name(4)), "and it is still there"


@pytest.mark.parametrize("absent", ["1", "74"])
def test_the_program_answers_at_once(spool: Spool, tmp_path: Path, absent: str) -> None:
    spool.put(name(4), b"four")
    spec = tmp_path / "restore.json"  # not even looked at
    words = ["get", "--restore", str(spec), "--absent-status", absent]
    for wanted, status in ((name(4), 0), ("00000003.history", int(absent))):
        program = (
            "import sys; sys.argv[1:] = sys.argv[2:]; from seawall.cli.start import wal\n"
            "try: wal()\n"
            "finally: print(*sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, "-", *words, wanted, str(tmp_path / "out")],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_answering_at_once_imports_next_to_nothing() -> None:
    program = (
        "import os, sys, __future__\n"
        "before = set(sys.modules)\n"
        "import seawall.cli.start, seawall.restore.wal.ready\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [
        "seawall",
        "seawall.cli",
        "seawall.cli.start",
        "seawall.restore",
        "seawall.restore.beside",
        "seawall.restore.wal",
        "seawall.restore.wal.ready",
        "seawall.restore.wal.spool",
    ]
