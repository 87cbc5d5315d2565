"""Where the first archive fails in mid-restore, the others are asked for the same WAL, in their own epochs."""

from __future__ import annotations

import pytest

from seawall.model.clock import SystemClock
from seawall.model.lsn import Lsn
from seawall.repository.repository import Repository
from seawall.repository.wal.archive import WalArchive
from seawall.repository.wal.errors import WalNotFound
from seawall.repository.wal.terms import ForkPoint
from seawall.restore.wal.get import first_that_gives
from seawall.storage.errors import StoreUnavailable
from seawall.storage.memory import MemoryStore
from tests.unit.repository.sample_repository import (
    SEGMENT_BYTES,
    archive_of,
    claim,
    push_segments,
    segment,
    segment_name,
)


@pytest.fixture
def near() -> Repository:
    """Has seen a change of primary, so the newest WAL is of epoch 2; the wanted segment was lost."""
    made = Repository.create(MemoryStore(), [], clock=SystemClock(), encrypted=False)
    claim(made, 1)
    push_segments(made, range(3, 6))
    claim(made, 2, ForkPoint(1, Lsn(6 * SEGMENT_BYTES)))
    return made


@pytest.fixture
def far() -> Repository:
    """Joined the plan after that: its epoch 1 is what is epoch 2 in the other."""
    made = Repository.create(MemoryStore(), [], clock=SystemClock(), encrypted=False)
    claim(made, 1)
    push_segments(made, range(6, 9), timeline=2)
    return made


def test_another_repository_counts_its_own_epochs(near: Repository, far: Repository) -> None:
    fetch = first_that_gives([lambda: archive_of(near), lambda: archive_of(far)])
    assert fetch(2, segment_name(7, 2)) == segment(7, 2)
    assert fetch(1, segment_name(4)) == segment(4)


def test_the_first_ones_error_is_the_one_that_is_told(near: Repository, far: Repository) -> None:
    fetch = first_that_gives([lambda: archive_of(near), lambda: archive_of(far)])
    with pytest.raises(WalNotFound, match=segment_name(9)):
        fetch(1, segment_name(9))


def test_a_repository_that_does_not_open_is_passed_over(far: Repository) -> None:
    def refuse() -> WalArchive:
        raise StoreUnavailable("no answer", hint="wait")

    fetch = first_that_gives([refuse, lambda: archive_of(far)])
    assert fetch(1, segment_name(7, 2)) == segment(7, 2)
    with pytest.raises(StoreUnavailable, match="no answer"):
        fetch(1, segment_name(9))


def test_an_archive_is_opened_once(far: Repository) -> None:
    opened: list[WalArchive] = []

    def open_it() -> WalArchive:
        opened.append(archive_of(far))
        return opened[-1]

    fetch = first_that_gives([open_it])
    assert fetch(1, segment_name(6, 2)) == segment(6, 2)
    assert fetch(1, segment_name(7, 2)) == segment(7, 2)
    assert len(opened) == 1
