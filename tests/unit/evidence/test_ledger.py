"""Appending: one winner for each number, nothing twice, and nobody who isn't known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from seawall.evidence.errors import EvidenceUnfit, LedgerBusy, LedgerDamaged, LedgerMissing, SignerUnknown
from seawall.evidence.ledger import new_entry_id
from seawall.evidence.model import AssertionOutcome, Genesis, SignerAdded, SignerRetired, SignOff
from seawall.evidence.places import find_ledger
from seawall.storage.errors import StoreUnavailable
from seawall.storage.memory import MemoryStore
from seawall.storage.protocol import Buffer
from tests.support.faulty_store import Fault, FaultyStore
from tests.unit.evidence.sample_ledger import (
    correction,
    drill,
    filled,
    forge,
    key,
    ledger,
    note,
    problems,
    proven,
    replaced,
)


def unavailable() -> StoreUnavailable:
    return StoreUnavailable("the wire was cut", hint="wait")


def test_the_first_entry_is_the_genesis() -> None:
    made = ledger(MemoryStore())
    assert made.head() is None and list(made.entries()) == []
    entry = made.append(drill(), key())
    first = made.read(1)
    assert entry.number == 2 and entry.statement == drill()
    assert isinstance(first.statement, Genesis)
    assert (first.statement.name, first.statement.repository) == ("main", None)
    assert first.statement.public_key == key().public.pem
    assert entry.place.previous == first.sha256 and entry.place.ledger == first.place.ledger


def test_entries_are_behind_each_other() -> None:
    store = MemoryStore()
    entries = filled(store)
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert list(ledger(store).entries(newest_first=True)) == entries[::-1]
    assert [entry.place.signers_at for entry in entries] == [0, 1, 1, 1, 4, 4]
    assert [entry.signer for entry in entries][4] == key(2).public.fingerprint
    assert problems(store) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 30])
def test_the_head_is_found_without_a_listing(count: int) -> None:
    store = FaultyStore(MemoryStore())
    made = ledger(store)
    for _ in range(count - 1):
        made.append(note(), key())
    made.prepare(key())
    asked = store.count
    head = made.head()
    assert head is not None and head.number == count
    assert not {"scan", "children"} & {operation for operation, _ in store.trace[asked:]}
    assert store.count - asked < 14, "galloping and halving, not counting"


def test_an_append_reads_little_of_a_long_ledger() -> None:
    store = FaultyStore(MemoryStore())
    made = ledger(store)
    for _ in range(30):
        made.append(note(), key())
    asked = store.count
    made.append(note(), key())
    gets = [operation for operation, _ in store.trace[asked:]].count("get")
    assert gets <= 6, "the head, and the entries that decide who may sign"


def test_racing_writers_lose_nothing() -> None:
    store = MemoryStore()
    ledger(store).prepare(key())

    def write(number: int) -> None:
        for turn in range(5):
            ledger(store).append(note(f"{number}.{turn}"), key())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    said = [str(entry.body["text"]) for entry in ledger(store).entries() if entry.type == "note"]
    assert sorted(said) == sorted(f"{number}.{turn}" for number in range(6) for turn in range(5))
    assert problems(store) == []


def test_of_two_who_begin_one_wins_and_the_other_is_told() -> None:
    store = MemoryStore()
    ledger(store).append(drill(), key(1))
    with pytest.raises(SignerUnknown) as raised:
        ledger(store).append(drill(), key(2))
    assert raised.value.fields["fingerprint"] == key(2).public.fingerprint
    assert "evidence keys add" in raised.value.hint
    with pytest.raises(SignerUnknown):
        ledger(store).prepare(key(2))
    assert len(list(ledger(store).entries())) == 2


class Overtaken:
    """A store in which somebody else appends just before each put."""

    def __init__(self, inner: MemoryStore, times: int) -> None:
        self._inner, self._times = inner, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def put(self, object_key: str, data: Buffer) -> None:
        if self._times:
            self._times -= 1
            ledger(self._inner).append(note("faster"), key())
        self._inner.put(object_key, data)


def test_who_is_overtaken_goes_behind() -> None:
    store = MemoryStore()
    ledger(store).prepare(key())
    entry = ledger(Overtaken(store, 3)).append(drill(), key())  # type: ignore[arg-type]
    assert entry.number == 5 and problems(store) == []


def test_who_is_overtaken_for_ever_gives_up() -> None:
    store = MemoryStore()
    ledger(store).prepare(key())
    with pytest.raises(LedgerBusy):
        ledger(Overtaken(store, 1000)).append(drill(), key())  # type: ignore[arg-type]
    assert not [entry for entry in ledger(store).entries() if entry.type == "drill"]


def test_a_lost_answer_is_read_back() -> None:
    """The put took effect and nobody heard of it (design rule 1)."""
    store = FaultyStore(MemoryStore())
    ledger(store).prepare(key())
    store.fail(Fault(unavailable, "put", when="after"))
    entry = ledger(store).append(drill(), key())
    assert entry.number == 2 and problems(store.inner) == []
    assert len(list(ledger(store).entries())) == 2


def test_a_put_that_never_arrived_is_an_error() -> None:
    store = FaultyStore(MemoryStore())
    ledger(store).prepare(key())
    store.fail(Fault(unavailable, "put", when="before"))
    with pytest.raises(StoreUnavailable):
        ledger(store).append(drill(), key())
    assert len(list(ledger(store).entries())) == 1


@pytest.mark.parametrize("arrives", [True, False])
def test_trying_again_with_the_same_id_adds_nothing_twice(arrives: bool) -> None:
    store = FaultyStore(MemoryStore())
    ledger(store).prepare(key())
    entry_id = new_entry_id()
    store.fail(Fault(unavailable, "put", when="after" if arrives else "before"))
    late = OutAfterAPut(store)
    with pytest.raises(StoreUnavailable):
        ledger(late).append(drill(), key(), entry_id=entry_id)  # type: ignore[arg-type]
    ledger(store).append(note("somebody else, meanwhile"), key())
    for _ in range(2):
        ledger(store).append(drill(), key(), entry_id=entry_id)
    assert [entry.type for entry in ledger(store).entries()].count("drill") == 1
    assert problems(store.inner) == []


class OutAfterAPut:
    """A store that answers nothing any more once a put failed."""

    def __init__(self, inner: FaultyStore) -> None:
        self._inner, self._is_out = inner, False

    def __getattr__(self, name: str) -> object:
        if self._is_out:
            raise unavailable()
        return getattr(self._inner, name)

    def put(self, object_key: str, data: Buffer) -> None:
        self._is_out = True
        self._inner.put(object_key, data)


def test_a_put_that_arrives_while_it_is_tried_again() -> None:
    """The first try lands late, at the very number that the second one takes."""
    store = MemoryStore()
    ledger(store).prepare(key())
    entry_id = new_entry_id()
    ledger(store).append(drill(), key(), entry_id=entry_id)
    first_try = store.get("evidence/main/000002.json")
    store.delete("evidence/main/000002.json")

    class Late(Overtaken):
        def put(self, object_key: str, data: Buffer) -> None:
            store.put(object_key, first_try)
            store.put(object_key, data)

    entry = ledger(Late(store, 0)).append(drill(), key(), entry_id=entry_id)  # type: ignore[arg-type]
    assert entry.number == 2
    assert len(list(ledger(store).entries())) == 2


def test_another_signers_entry_with_the_same_id_is_not_taken_for_ours() -> None:
    store = MemoryStore()
    ledger(store).append(SignerAdded(public_key=key(2).public.pem, label="db2"), key(1))
    entry_id = new_entry_id()

    class Forestalled(Overtaken):
        def put(self, object_key: str, data: Buffer) -> None:
            if not ledger(store).find(entry_id, key(2).public.fingerprint):
                ledger(store).append(note("mine now"), key(2), entry_id=entry_id)
            store.put(object_key, data)

    entry = ledger(Forestalled(store, 0)).append(drill(), key(1), entry_id=entry_id)  # type: ignore[arg-type]
    assert entry.number == 4 and entry.statement == drill() and problems(store) == []
    assert ledger(store).append(drill(), key(1), entry_id=entry_id) == entry
    assert ledger(store).append(note("mine now"), key(2), entry_id=entry_id).number == 3


@pytest.mark.parametrize("number", [0, 3, 99])
def test_an_entry_speaks_only_of_those_before_it(number: int) -> None:
    store = MemoryStore()
    ledger(store).append(drill("d", AssertionOutcome.FAILED), key())
    for statement in (
        correction(number),
        msgspec.structs.replace(note(), about=number),
        SignOff(about=number),
    ):
        with pytest.raises(EvidenceUnfit, match=f"no entry {number}"):
            ledger(store).append(statement, key())
    assert len(list(ledger(store).entries())) == 2


def test_only_drills_are_corrected_and_stay() -> None:
    store = MemoryStore()
    before = ledger(store).append(drill("d", AssertionOutcome.FAILED), key())
    with pytest.raises(EvidenceUnfit, match="no drill"):
        ledger(store).append(correction(1), key())
    ledger(store).append(correction(2), key())
    assert ledger(store).read(2) == before


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (SignerAdded(public_key=key(1).public.pem, label="again"), "had before"),
        (SignerAdded(public_key="no key", label="x"), "no public key"),
        (SignerRetired(signer=key(3).public.fingerprint, reason="gone"), "not known"),
        (Genesis(name="main", public_key=key(1).public.pem, label="x"), "only one"),
    ],
)
def test_what_would_be_damage_is_never_appended(statement: SignerAdded | SignerRetired, what: str) -> None:
    store = MemoryStore()
    ledger(store).prepare(key())
    with pytest.raises(EvidenceUnfit, match=what):
        ledger(store).append(statement, key())
    assert len(list(ledger(store).entries())) == 1


def test_signers_come_and_go() -> None:
    store = MemoryStore()
    made = ledger(store)
    with pytest.raises(EvidenceUnfit, match="the last one"):
        made.append(SignerRetired(signer=key(1).public.fingerprint, reason="x"), key(1))
    made.append(SignerAdded(public_key=key(2).public.pem, label="db2"), key(1))
    made.append(SignerRetired(signer=key(1).public.fingerprint, reason="host gone"), key(2))
    with pytest.raises(SignerUnknown):
        made.append(note(), key(1))
    made.append(SignerAdded(public_key=key(3).public.pem, label="db3"), key(2))
    head = made.append(note(), key(3))
    signers = {signer.fingerprint: signer for signer in made.signers(head)}
    assert signers[key(1).public.fingerprint].until == 3
    assert signers[key(3).public.fingerprint].since == 4
    with pytest.raises(EvidenceUnfit, match="had before"):
        made.append(SignerAdded(public_key=key(1).public.pem, label="back"), key(2))
    assert proven(store, *(key(number).public for number in (1, 2, 3))).findings == []


def test_a_key_may_retire_itself() -> None:
    store = MemoryStore()
    ledger(store).append(SignerAdded(public_key=key(2).public.pem, label="db2"), key(1))
    ledger(store).append(SignerRetired(signer=key(1).public.fingerprint, reason="gone"), key(1))
    ledger(store).append(note(), key(2))
    assert problems(store) == []


@pytest.mark.parametrize("number", [1, 4, 6])
def test_nobody_builds_on_damage(number: int) -> None:
    """The genesis, the entry that introduced a signer, and the head are proven at each append."""
    store = MemoryStore()
    filled(store)
    replaced(store, number, lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(LedgerDamaged) as raised:
        ledger(store).append(note(), key())
    assert f"entry {number} " in raised.value.message and raised.value.hint
    assert store.stat("evidence/main/000007.json") is None


def test_an_entry_in_the_place_of_another_is_not_read() -> None:
    store = MemoryStore()
    filled(store)
    fifth = store.get("evidence/main/000005.json")
    replaced(store, 6, lambda _: fifth)
    with pytest.raises(LedgerDamaged, match="says that it is entry 5"):
        ledger(store).read(6)


def test_nobody_builds_on_the_first_entry_of_another_ledger() -> None:
    """Both by the same host's key, so that every signature is right."""
    store, other = MemoryStore(), MemoryStore()
    ledger(store).append(note(), key())
    ledger(other).append(note(), key())
    replaced(store, 1, lambda _: other.get("evidence/main/000001.json"))
    with pytest.raises(LedgerDamaged, match="belongs to another ledger"):
        ledger(store).append(note(), key())


def test_nobody_builds_on_a_forged_head() -> None:
    store = MemoryStore()
    entries = filled(store)
    store.put("evidence/main/000007.json", forge(entries[-1], note("forged"), key(9)))
    with pytest.raises(LedgerDamaged, match="may not sign"):
        ledger(store).append(note(), key())


def test_a_forged_chain_of_signers_is_not_followed() -> None:
    store = MemoryStore()
    entries = filled(store)
    added = forge(entries[-1], SignerAdded(public_key=key(9).public.pem, label="evil"), key(9))
    store.put("evidence/main/000007.json", added)
    with pytest.raises(LedgerDamaged):
        ledger(store).append(note(), key(9))
    replaced(store, 7, lambda _: forge(entries[-1], note(), key(1), signers_at=6))
    with pytest.raises(LedgerDamaged, match="names no entry that decides"):
        ledger(store).append(note(), key())


def test_reading_what_is_not_there() -> None:
    store = MemoryStore()
    filled(store)
    with pytest.raises(LedgerMissing):
        ledger(store).read(7)
    with pytest.raises(LedgerMissing, match="no ledger"):
        find_ledger(MemoryStore())


def test_ledgers_of_one_store_are_told_by_name() -> None:
    store = MemoryStore()
    ledger(store, "a").append(drill(), key(1))
    ledger(store, "b").append(drill(), key(2))
    assert find_ledger(store, "b").name == "b"
    for name in (None, "c"):
        with pytest.raises(LedgerMissing) as raised:
            find_ledger(store, name)
        assert "a, b" in raised.value.hint
    assert ledger(store, "a").read(1).place.ledger != ledger(store, "b").read(1).place.ledger
