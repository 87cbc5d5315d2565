"""The ledger keeps its promises on every store, bare and behind retries over injected faults; S3 is a real one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seawall.evidence.ledger import Ledger
from seawall.evidence.places import find_ledger, place_in
from seawall.evidence.verify import KnownHead, Problem, verify_ledger
from seawall.model.clock import SystemClock
from seawall.storage.coordinated import CoordinatedStore
from seawall.storage.memory import MemoryStore
from seawall.storage.posix import PosixStore
from seawall.storage.protocol import Buffer, ObjectStore
from tests.unit.evidence.sample_ledger import copied_to, drill, key, note


def ledger(store: ObjectStore) -> Ledger:
    return Ledger(place_in(store), clock=SystemClock())


def test_entries_are_proven_in_place_and_as_a_copy(store: ObjectStore, tmp_path: Path) -> None:
    made = ledger(store)
    made.append(drill(), key())
    head = made.append(note(), key())
    report = verify_ledger(find_ledger(store), trusted=[key().public], known_head=KnownHead.parse(head.head))
    assert report.is_intact and report.head == head.head and len(report.entries) == 3
    copy = find_ledger(PosixStore(copied_to(tmp_path / "copy", store)))
    assert verify_ledger(copy, trusted=[key().public]).head == head.head


def test_of_racing_writers_none_loses_an_entry(store: ObjectStore) -> None:
    ledger(store).prepare(key())

    def write(number: int) -> None:
        for turn in range(3):
            ledger(store).append(note(f"{number}.{turn}"), key())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    report = verify_ledger(place_in(store), trusted=[key().public])
    assert report.is_intact
    said = [str(entry.body["text"]) for entry in report.entries[1:]]
    assert sorted(said) == sorted(f"{number}.{turn}" for number in range(4) for turn in range(3))


def test_of_racing_beginners_one_begins(store: ObjectStore) -> None:
    store.put("x/makes-the-folder", b"")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ledger(store).append(note(str(number)), key()), range(4)))
    report = verify_ledger(place_in(store), trusted=[key().public])
    assert report.is_intact
    assert [entry.type for entry in report.entries] == ["genesis", *["note"] * 4]


def test_what_is_taken_away_is_missed(store: ObjectStore) -> None:
    for _ in range(3):
        ledger(store).append(note(), key())
    store.delete("evidence/main/000002.json")
    findings = verify_ledger(place_in(store)).findings
    assert [(finding.number, finding.problem) for finding in findings] == [(2, Problem.REMOVED)]


def test_a_folder_is_made_by_the_first_entry(tmp_path: Path) -> None:
    """A plain folder needs no preparation; it is probed, and then holds the ledger alone."""
    store = PosixStore(tmp_path / "new" / "evidence-of-shop")
    ledger(store).append(drill(), key())
    assert store.children("") == ["evidence"]
    assert (tmp_path / "new" / "evidence-of-shop" / "evidence" / "main" / "000002.json").exists()


class Overwriting(MemoryStore):
    """A server that ignores the condition of a put."""

    def put(self, object_key: str, data: Buffer) -> None:
        self.delete(object_key)
        super().put(object_key, data)


def test_evidence_is_kept_where_one_creator_wins() -> None:
    """With a coordination store beside a bucket that overwrites, entries belong to the former."""
    data, control = Overwriting(), MemoryStore()
    ledger(CoordinatedStore(data, control)).append(drill(), key())
    assert control.children("evidence/main/") == ["000001.json", "000002.json"]
    assert data.children("evidence/") == []
