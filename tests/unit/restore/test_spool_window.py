"""How much WAL lies ready, what a moment needs of it, and how the window follows replay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory
from seawall.model.wal_name import SegmentName
from seawall.restore.planning.moment import AtLsn, AtName, Immediate, Latest, Moment
from seawall.restore.planning.prove import ProvenPath
from seawall.restore.planning.request import DEFAULT_SPOOL_BYTES
from seawall.restore.planning.spec import WalFolder
from seawall.restore.wal.feed import SpoolFeed
from seawall.restore.wal.ready import serve_ready
from seawall.restore.wal.spool import Spool
from seawall.restore.wal.window import WalWindow, spool_need_bytes, wanted_segments
from seawall.storage.errors import StoreUnavailable

MIB = 1 << 20
PATH = ProvenPath(
    TimelineHistory(1), (WalFolder(1, 1, 10, 59),), Lsn(10 * MIB + 40), Lsn(60 * MIB), MIB, None
)
STOP = Lsn(12 * MIB)
"""The end of the backup, at the very end of segment 11."""


@pytest.mark.parametrize("segment_mib", [1, 2, 16, 64, 256, 512, 1024])
def test_the_window_fits_into_its_space(segment_mib: int) -> None:
    window = WalWindow.within(DEFAULT_SPOOL_BYTES, segment_mib * MIB)
    assert window.ahead >= 1 and window.stretch >= 1
    assert window.most * segment_mib * MIB <= max(DEFAULT_SPOOL_BYTES, 3 * segment_mib * MIB)


def test_the_ordinary_recovery_lies_ready_as_a_whole() -> None:
    window = WalWindow.within(DEFAULT_SPOOL_BYTES, 16 * MIB)
    assert (window.ahead, window.stretch) == (95, 32)


@pytest.mark.parametrize(
    ("moment", "numbers"),
    [
        (Immediate(), range(10, 12)),
        (AtLsn(Lsn(20 * MIB + 5)), range(10, 22)),
        (AtLsn(Lsn(12 * MIB)), range(10, 14)),
        (AtLsn(Lsn(60 * MIB)), range(10, 60)),
        (AtName("x"), range(10, 60)),
        (Latest(), range(10, 60)),
    ],
)
def test_what_a_moment_may_need(moment: Moment, numbers: range) -> None:
    assert [segment.number for _, segment in wanted_segments(PATH, moment, STOP)] == list(numbers)


def test_the_space_is_that_of_the_window_at_most() -> None:
    window = WalWindow(ahead=5, stretch=2)
    assert spool_need_bytes(PATH, Latest(), STOP, window) == 8 * MIB
    assert spool_need_bytes(PATH, Immediate(), STOP, window) == 2 * MIB
    assert spool_need_bytes(PATH, Latest(), STOP, WalWindow(200, 32)) == 50 * MIB


SEGMENTS = [(1, SegmentName(1, number, MIB)) for number in range(20)]


def name(number: int) -> str:
    return str(SEGMENTS[number][1])


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool with the first four of the segments, as a copy leaves it."""
    (tmp_path / "spool").mkdir()
    found = Spool(tmp_path / "spool")
    for number in range(4):
        found.put(name(number), b"x")
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("waited in vain")


def serve(spool: Spool, number: int, tmp_path: Path) -> bool:
    """Do what ``wal get`` does for one segment; say whether it was there."""
    return serve_ready(str(tmp_path), name(number), str(tmp_path / "RECOVERYXLOG")) is True


def numbers_in(spool: Spool) -> set[int]:
    return {int(entry[16:], 16) for entry in spool.names()}


def numbers_are(spool: Spool, numbers: set[int]) -> bool:
    return numbers_in(spool) == numbers


@pytest.fixture
def asked() -> list[str]:
    return []


def test_the_window_follows_replay_to_the_end(spool: Spool, tmp_path: Path, asked: list[str]) -> None:
    def fetch(epoch: int, wanted: str) -> bytes:
        asked.append(wanted)
        return wanted.encode()

    with SpoolFeed(SEGMENTS, spool, fetch, ahead=4):
        for number in range(20):
            window = set(range(max(number - 2, 0), min(number + 4, 20)))
            wait_until(partial(numbers_are, spool, window))
            assert serve(spool, number, tmp_path)
            assert (tmp_path / "RECOVERYXLOG").read_bytes() == (name(number).encode() if number > 3 else b"x")
    assert sorted(asked) == [name(number) for number in range(4, 20)], "each is fetched once"
    assert numbers_in(spool) == {18, 19}, "replay may go back once"


def feeding() -> bool:
    return any(thread.name.startswith("spool-feed") for thread in threading.enumerate())


def test_what_lies_there_as_a_whole_is_left_alone(spool: Spool) -> None:
    with SpoolFeed(SEGMENTS[:4], spool, lambda epoch, wanted: b"", ahead=4):
        assert not feeding()
    assert numbers_in(spool) == {0, 1, 2, 3}


def test_what_was_fetched_past_it_is_not_fetched_again(
    spool: Spool, tmp_path: Path, asked: list[str]
) -> None:
    """``wal get`` was faster and served segment 9 itself; what came too late is not kept for ever."""

    def fetch(epoch: int, wanted: str) -> bytes:
        asked.append(wanted)
        return b"x"

    serve(spool, 9, tmp_path)
    with SpoolFeed(SEGMENTS, spool, fetch, ahead=4):
        wait_until(lambda: numbers_in(spool) == {10, 11, 12, 13})
    assert sorted(asked) == [name(number) for number in range(10, 14)]


def test_recovery_that_goes_back_from_its_checkpoint_to_redo_finds_it(spool: Spool, tmp_path: Path) -> None:
    with SpoolFeed(SEGMENTS, spool, lambda epoch, wanted: b"x", ahead=4):
        assert serve(spool, 1, tmp_path)
        wait_until(lambda: 5 in numbers_in(spool))
        assert serve(spool, 0, tmp_path), "it is still there"
        wait_until(lambda: numbers_in(spool) >= {2, 3, 4, 5})


def test_trouble_is_left_to_the_call_that_needs_it(spool: Spool, tmp_path: Path) -> None:
    tried = threading.Event()

    def fetch(epoch: int, wanted: str) -> bytes:
        tried.set()
        raise StoreUnavailable("out", hint="wait")

    with SpoolFeed(SEGMENTS, spool, fetch, ahead=4):
        serve(spool, 0, tmp_path)
        assert tried.wait(5)
    assert numbers_in(spool) == {0, 1, 2, 3}


def test_a_store_that_hangs_holds_nobody_up(spool: Spool, tmp_path: Path) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def fetch(epoch: int, wanted: str) -> bytes:
        begun.set()
        let_go.wait(20)
        return b"late"

    with SpoolFeed(SEGMENTS, spool, fetch, ahead=4, end_within_s=0.05):
        serve(spool, 0, tmp_path)
        assert begun.wait(5)
    let_go.set()
    wait_until(lambda: not feeding())
    assert numbers_in(spool) == {0, 1, 2, 3}, "what comes late is thrown away"


def test_a_bug_is_not_swallowed(spool: Spool, tmp_path: Path) -> None:
    def fetch(epoch: int, wanted: str) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), SpoolFeed(SEGMENTS, spool, fetch, ahead=4):
        serve(spool, 0, tmp_path)
        wait_until(lambda: not feeding())


def test_only_what_is_wanted_is_kept(spool: Spool) -> None:
    spool.keep({name(1), name(2)})
    assert numbers_in(spool) == {1, 2}
    assert sorted(entry.name for entry in Path(spool.folder).iterdir()) == sorted(
        [f".{name(1)}.hash", f".{name(2)}.hash", name(1), name(2)]
    )
