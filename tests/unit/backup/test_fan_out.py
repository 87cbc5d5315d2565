"""One read feeds several repositories: one that fails is dropped, and the backup is complete in the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.backup.errors import WriterNotBound
from seawall.backup.physical import BackupOutcome, BackupPolicy, take_full_backup
from seawall.model.errors import Unavailable
from seawall.postgres.backup_session import StoppedBackup
from seawall.repository.backups.catalog import Catalog
from seawall.repository.repository import Repository
from seawall.repository.wal.terms import TermLog
from seawall.storage.errors import StoreUnavailable
from seawall.storage.memory import MemoryStore
from tests.faults.paper_server import (
    CLUSTER,
    FILES,
    SYSTEM,
    ManualClock,
    PaperServer,
    PaperSession,
    content_of,
)
from tests.support.faulty_store import Fault, FaultyStore


class Two:
    """A paper server and two repositories, each on a store that can be told to fail."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.server = PaperServer(folder, self.clock)
        self.stores = {name: FaultyStore(MemoryStore(self.clock)) for name in ("near", "far")}
        self.repositories = {
            name: Repository.create(store, [], clock=self.clock, encrypted=False)
            for name, store in self.stores.items()
        }

    def backup(self) -> BackupOutcome:
        return take_full_backup(
            self.server.source,
            self.repositories,
            BackupPolicy(jobs=2, wal_timeout_s=5),
            self.clock,
            open_session=lambda dsn: Session(self.server, self.repositories),
        )

    def complete_in(self) -> set[str]:
        return {name for name, store in self.stores.items() if self.backups(store)}

    def backups(self, store: FaultyStore) -> int:
        return len(Catalog(Repository.open(store.inner, [], clock=self.clock), CLUSTER).backups(SYSTEM))


class Session(PaperSession):
    """Archives into both repositories, as far as they answer."""

    def __init__(self, server: PaperServer, repositories: dict[str, Repository]) -> None:
        super().__init__(server, repositories["far"])
        self._all = repositories

    def __enter__(self) -> Session:
        return self

    def stop(self) -> StoppedBackup:
        for repository in self._all.values():
            for number in (2, 3):
                try:
                    self._server.push(repository, number)
                except Unavailable:
                    continue
        return super().stop()


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)


def down() -> StoreUnavailable:
    return StoreUnavailable("the wire was cut", hint="wait")


def test_both_are_complete_and_equal(two: Two) -> None:
    outcome = two.backup()
    assert outcome.failures == {} and two.complete_in() == {"near", "far"}
    for name, record in outcome.records.items():
        content = content_of(two.repositories[name], record)
        assert {path: content[path] for path in FILES} == FILES


@pytest.mark.parametrize("part", ["/pack/", "/commits/", "/manifest"])
def test_one_that_dies_in_the_middle_is_dropped(two: Two, part: str) -> None:
    store = two.stores["near"]

    class Dying(Fault):
        def matches(self, operation: str, key: str) -> bool:
            return part in f"/{key}"

    store.fail(Dying(down, times=1000))
    outcome = two.backup()
    assert list(outcome.records) == ["far"] and list(outcome.failures) == ["near"]
    assert two.complete_in() == {"far"}
    content = content_of(two.repositories["far"], outcome.records["far"])
    assert {path: content[path] for path in FILES} == FILES
    store.faults.clear()
    two.clock.sleep(60)
    assert set(two.backup().records) == {"near", "far"}


def test_one_that_is_down_from_the_start_is_dropped(two: Two) -> None:
    two.stores["near"].fail(Fault(down, times=1000))
    outcome = two.backup()
    assert list(outcome.records) == ["far"] and list(outcome.failures) == ["near"]


def test_when_all_are_down_the_backup_fails(two: Two) -> None:
    for store in two.stores.values():
        store.fail(Fault(down, times=1000))
    with pytest.raises(StoreUnavailable):
        two.backup()
    assert two.complete_in() == set()


def test_one_that_says_this_is_no_writer_ends_it_for_all(two: Two) -> None:
    TermLog(two.repositories["near"], CLUSTER).claim_first(
        system_identifier=SYSTEM, writer="somebody else", data_directory="/other"
    )
    with pytest.raises(WriterNotBound):
        two.backup()
    assert two.complete_in() == set()
