"""``--as primary``: of two restores at once, one becomes the primary, everywhere or with an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.model.clock import SystemClock
from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory
from seawall.repository.repository import Repository
from seawall.repository.wal.errors import TermTaken
from seawall.repository.wal.terms import TermEvent, TermLog
from seawall.restore.adopt import claim_primary, observe_heads
from seawall.restore.errors import ClaimRefused
from seawall.restore.planning.moment import Latest
from seawall.restore.planning.prove import ProvenPath
from seawall.restore.planning.request import PrimaryClaim, RestoreRequest
from seawall.storage.memory import MemoryStore
from tests.unit.repository.sample_repository import CLUSTER, SEGMENT_BYTES, claim

PATH = ProvenPath(TimelineHistory(1), (), Lsn(0), Lsn(7 * SEGMENT_BYTES), SEGMENT_BYTES, None)


@pytest.fixture
def repositories() -> list[Repository]:
    made = [
        Repository.create(MemoryStore(), [], clock=SystemClock(), encrypted=False) for _ in ("near", "far")
    ]
    for repository in made:
        claim(repository, 1)
    return made


class Machine:
    """One machine that restores: its own state folder and data directory."""

    def __init__(self, folder: Path) -> None:
        data = folder / "data"
        data.mkdir(parents=True)
        self.claim = PrimaryClaim("ada", folder / "state", "seawall wal push %p")
        self.request = RestoreRequest(CLUSTER, Latest(), data, "seawall", claim=self.claim)

    def holds(self, repository: Repository) -> bool:
        head = TermLog(repository, CLUSTER).head()
        return head is not None and head.data_directory == str(self.request.data_directory)


def test_who_claimed_while_the_restore_ran_is_not_claimed_over(
    repositories: list[Repository], tmp_path: Path
) -> None:
    one, other = Machine(tmp_path / "one"), Machine(tmp_path / "other")
    seen = observe_heads(repositories, CLUSTER)
    claim_primary(one.claim, repositories, seen, one.request, PATH)
    with pytest.raises(TermTaken, match="while this restore was under way"):
        claim_primary(other.claim, repositories[::-1], seen, other.request, PATH)
    assert all(one.holds(repository) for repository in repositories)


def test_a_claim_that_was_cut_short_is_completed(repositories: list[Repository], tmp_path: Path) -> None:
    machine = Machine(tmp_path / "one")
    first = min(repositories, key=lambda item: item.id)
    claim_primary(machine.claim, [first], observe_heads([first], CLUSTER), machine.request, PATH)
    claim_primary(
        machine.claim, repositories, observe_heads(repositories, CLUSTER), machine.request, PATH
    )  # fmt: skip
    for repository in repositories:
        assert machine.holds(repository)
        assert [term.epoch for term in TermLog(repository, CLUSTER).claims()] == [1, 2]


def test_a_renewal_of_the_old_holder_does_not_hinder(repositories: list[Repository], tmp_path: Path) -> None:
    machine = Machine(tmp_path / "one")
    seen = observe_heads(repositories, CLUSTER)
    for repository in repositories:
        log = TermLog(repository, CLUSTER)
        head = log.head()
        assert head is not None
        log.append(head, TermEvent.RENEW)
    claim_primary(machine.claim, repositories, seen, machine.request, PATH)
    assert all(machine.holds(repository) for repository in repositories)


def test_a_cluster_that_nobody_wrote_is_refused_before_anything_is_copied() -> None:
    empty = Repository.create(MemoryStore(), [], clock=SystemClock(), encrypted=False)
    with pytest.raises(ClaimRefused):
        observe_heads([empty], CLUSTER)
