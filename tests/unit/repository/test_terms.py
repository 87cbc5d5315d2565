"""Terms: one sequence, one winner for each number, and a head that is found without a listing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from seawall.model.lsn import Lsn
from seawall.repository.errors import ControlDamaged, FrameDamaged
from seawall.repository.format.frames import ObjectKind
from seawall.repository.layout import term_key
from seawall.repository.repository import Repository
from seawall.repository.wal.errors import TermTaken
from seawall.repository.wal.terms import ForkPoint, Term, TermEvent, TermLog
from seawall.storage.protocol import ObjectInfo
from tests.unit.repository.tiny_store import TinyStore

FORK = ForkPoint(1, Lsn(0x3000000))


def first(log: TermLog, writer: str = "first") -> Term:
    return log.claim_first(system_identifier=7, writer=writer, data_directory="/data")


def claim_next(log: TermLog, head: Term, writer: str) -> Term:
    return log.claim_next(head, system_identifier=7, writer=writer, data_directory="/d2", forked_from=FORK)


def test_nobody_has_claimed(repository: Repository) -> None:
    log = TermLog(repository, "main")
    assert log.head() is None and log.claims() == []


def test_a_claim_reads_back_as_it_was_written(repository: Repository) -> None:
    log = TermLog(repository, "main")
    written = log.claim_first(system_identifier=2**64 - 1, writer="w", data_directory="/data/\udcff")
    assert log.head() == written
    assert (written.number, written.epoch, written.claim, written.previous_claim) == (1, 1, 1, 0)
    later = log.claim_next(
        written,
        system_identifier=7,
        writer="v",
        data_directory="/d",
        forked_from=ForkPoint(3, Lsn.parse("A/B0000028"), is_same_timeline=True),
        claimed_by="ada",
    )
    assert log.head() == later
    assert (later.number, later.epoch, later.claimed_by) == (2, 2, "ada")


def test_only_a_claim_begins_an_epoch(repository: Repository) -> None:
    log = TermLog(repository, "main")
    head = first(log)
    for event in (TermEvent.RENEW, TermEvent.PROMOTED, TermEvent.RELEASE):
        head = log.append(head, event)
        assert (head.epoch, head.writer, head.event) == (1, "first", event)
    head = claim_next(log, head, "second")
    assert (head.number, head.epoch) == (5, 2)
    with pytest.raises(ValueError, match="claim_next"):
        log.append(head, TermEvent.CLAIM)


def test_claims_are_found_along_their_chain_without_reading_renewals(
    repository: Repository, store: TinyStore
) -> None:
    log = TermLog(repository, "main")
    head = first(log)
    for epoch in range(2, 5):
        for _ in range(20):
            head = log.append(head, TermEvent.RENEW)
        head = claim_next(log, head, f"w{epoch}")
    for number in range(2, 22):
        store.objects[term_key("main", number)] = b"must not be read"
    assert [claim.epoch for claim in log.claims()] == [1, 2, 3, 4]


def test_a_stale_head_loses_and_changes_nothing(repository: Repository, store: TinyStore) -> None:
    log = TermLog(repository, "main")
    head = first(log)
    winner = claim_next(log, head, "winner")
    before = dict(store.objects)
    with pytest.raises(TermTaken) as caught:
        claim_next(log, head, "loser")
    assert "/d2" in caught.value.message
    with pytest.raises(TermTaken):
        log.append(head, TermEvent.RENEW)  # a late renewal beside a claim is the split brain of two keys
    assert store.objects == before and log.head() == winner


def test_of_many_claimants_exactly_one_wins(repository: Repository) -> None:
    log = TermLog(repository, "main")
    head = first(log)
    outcomes: list[object] = []

    def race(number: int) -> None:
        try:
            outcomes.append(claim_next(log, head, f"racer {number}"))
        except TermTaken as error:
            outcomes.append(error)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, Term)]
    assert len(winners) == 1 and len(outcomes) == 8
    assert log.head() == winners[0]


def test_losing_the_first_claim_returns_the_winners(repository: Repository) -> None:
    log = TermLog(repository, "main")
    winner = first(log, "winner")
    assert first(log, "loser") == winner
    newest = log.append(winner, TermEvent.RENEW)
    assert first(log, "loser") == newest


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 8, 9, 100, 1023, 1024, 1025])
def test_the_head_is_galloped_to_and_never_listed(repository: Repository, count: int) -> None:
    class NoListing(TinyStore):
        stats = 0

        def stat(self, key: str) -> ObjectInfo | None:
            self.stats += 1
            return super().stat(key)

        def scan(self, prefix: str) -> Iterator[ObjectInfo]:
            raise AssertionError("a listing may be stale")

        def children(self, prefix: str) -> list[str]:
            raise AssertionError("a listing may be stale")

    store = NoListing()
    repository.store = store
    for number in range(1, count + 1):
        store.objects[term_key("main", number)] = b""
    log = TermLog(repository, "main")
    assert log.head_number() == count
    assert store.stats <= 2 * (count + 1).bit_length() + 1
    assert log.head_number(at_least=count // 2) == count


def test_a_moved_or_foreign_term_is_not_believed(repository: Repository, store: TinyStore) -> None:
    log = TermLog(repository, "main")
    head = first(log)
    store.objects[term_key("main", 2)] = store.objects[term_key("main", 1)]
    with pytest.raises(FrameDamaged):
        log.head()
    del store.objects[term_key("main", 2)]
    repository.write_object(term_key("main", 2), ObjectKind.TERM, b'{"number": 3}')
    with pytest.raises(ControlDamaged):
        log.head()
    assert head.number == 1
