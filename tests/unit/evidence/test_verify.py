"""What verification finds, what it can't, and that it says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.evidence.canonical import canonical, parse_canonical
from seawall.evidence.entry import Entry, Place, seal_entry
from seawall.evidence.envelope import parse_envelope, seal
from seawall.evidence.errors import EvidenceUnfit, LedgerDamaged, LedgerMissing, SignerUnproven
from seawall.evidence.keys import PublicKey, SigningKey
from seawall.evidence.model import Genesis, SignerAdded, SignerRetired
from seawall.evidence.places import find_ledger, place_in
from seawall.evidence.verify import KnownHead, Problem, verify_ledger
from seawall.repository.errors import FormatTooNew
from seawall.repository.repository import Repository
from seawall.storage.errors import ObjectMissing
from seawall.storage.memory import MemoryStore
from seawall.storage.posix import PosixStore
from tests.support.faulty_store import FaultyStore
from tests.support.manual_clock import ManualClock
from tests.unit.evidence.sample_ledger import (
    STARTED,
    copied_to,
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

COUNT = 6


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    filled(made)
    return made


def entries_of(store: MemoryStore) -> list[Entry]:
    return list(ledger(store).entries())


def object_key(number: int) -> str:
    return f"evidence/main/{number:06d}.json"


def swapped(store: MemoryStore, one: int, other: int) -> None:
    first, second = store.get(object_key(one)), store.get(object_key(other))
    replaced(store, one, lambda _: second)
    replaced(store, other, lambda _: first)


def test_a_sound_ledger_is_intact(store: MemoryStore) -> None:
    report = proven(store)
    assert report.is_intact and report.remarks == [] and len(report.entries) == COUNT
    assert report.head == f"6:{entries_of(store)[-1].sha256}"
    report.raise_if_damaged()


@settings(max_examples=100)
@given(st.integers(1, COUNT), st.data())
def test_any_flipped_bit_is_found(number: int, data: st.DataObject) -> None:
    """Each bit of a small ledger is tried in tests/faults."""
    store = MemoryStore()
    filled(store)
    written = store.get(object_key(number))
    position = data.draw(st.integers(0, len(written) - 1))
    bit = data.draw(st.integers(0, 7))
    replaced(
        store, number, lambda old: old[:position] + bytes([old[position] ^ 1 << bit]) + old[position + 1 :]
    )
    report = proven(store)
    assert [finding.number for finding in report.findings][:1] == [number]
    with pytest.raises(LedgerDamaged):
        report.raise_if_damaged()


@pytest.mark.parametrize("number", range(1, COUNT))
def test_a_removed_entry_is_found(store: MemoryStore, number: int) -> None:
    store.delete(object_key(number))
    assert (number, Problem.REMOVED) in problems(store)


def test_the_first_entries_removed(store: MemoryStore) -> None:
    for number in (1, 2, 3):
        store.delete(object_key(number))
    assert [tuple(finding) for finding in proven(store).findings] == [
        (1, Problem.REMOVED, "entries 1 to 3 are missing, and later ones are there")
    ]


def test_a_number_beyond_all_bounds_costs_nothing(store: MemoryStore) -> None:
    store.put("evidence/main/999999999999999999.json", store.get(object_key(6)))
    report = proven(store)
    assert [finding.problem for finding in report.findings] == [Problem.REMOVED, Problem.MISPLACED]
    assert report.head is None, "nobody should keep the head of a ledger that is not intact"


class Vanishing(MemoryStore):
    """An entry is deleted between the listing and the reading."""

    def get(self, object_key: str) -> bytes:
        if object_key.endswith("000003.json"):
            raise ObjectMissing("it is gone", hint="look again")
        return super().get(object_key)


def test_an_entry_that_vanishes_meanwhile_is_found(store: MemoryStore) -> None:
    vanishing = Vanishing()
    for number in range(1, COUNT + 1):
        vanishing.put(object_key(number), store.get(object_key(number)))
    assert problems(vanishing) == [(3, Problem.REMOVED)]


def test_a_ledger_in_the_place_of_another_is_remarked_on(store: MemoryStore) -> None:
    repository = Repository.create(store, [], clock=ManualClock(), encrypted=False)
    assert proven(store).remarks == ["it was not begun in this repository, but in a folder"]
    ledger(store, "second").append(note(), key())
    assert verify_ledger(place_in(store, "second")).remarks == []
    begun = ledger(store, "second").read(1).statement
    assert isinstance(begun, Genesis) and (begun.repository, begun.name) == (repository.id, "second")
    for number in (1, 2):
        data = store.get(f"evidence/second/{number:06d}.json")
        store.put(f"evidence/third/{number:06d}.json", data)
    assert verify_ledger(place_in(store, "third")).remarks == ["it was begun under the name second"]


def test_a_repositorys_other_folders_are_no_ledgers() -> None:
    store = MemoryStore()
    Repository.create(store, [], clock=ManualClock(), encrypted=False)
    store.put("keys/12345678.json", b"{}")
    with pytest.raises(LedgerMissing):
        find_ledger(store)


@pytest.mark.parametrize("one", range(1, COUNT + 1))
@pytest.mark.parametrize("other", range(1, COUNT + 1))
def test_reordered_entries_are_found(store: MemoryStore, one: int, other: int) -> None:
    if one == other:
        return
    swapped(store, one, other)
    assert {(one, Problem.MISPLACED), (other, Problem.MISPLACED)} <= set(problems(store))


@pytest.mark.parametrize("number", range(1, COUNT + 1))
def test_a_copy_put_behind_the_head_is_found(store: MemoryStore, number: int) -> None:
    store.put(object_key(COUNT + 1), store.get(object_key(number)))
    assert problems(store) == [(COUNT + 1, Problem.MISPLACED)]


@pytest.mark.parametrize("number", range(2, COUNT + 1))
def test_moving_all_up_to_close_a_hole_is_found(store: MemoryStore, number: int) -> None:
    for each in range(number, COUNT):
        store.delete(object_key(each))
        store.put(object_key(each), store.get(object_key(each + 1)))
    store.delete(object_key(COUNT))
    found = problems(store)
    assert found == [(each, Problem.MISPLACED) for each in range(number, COUNT)]


def test_an_entry_by_a_stranger_is_found(store: MemoryStore) -> None:
    store.put(object_key(7), forge(entries_of(store)[-1], note("forged"), key(9)))
    assert problems(store) == [(7, Problem.UNSIGNED)]


def test_a_stranger_who_introduces_himself_is_found(store: MemoryStore) -> None:
    store.put(
        object_key(7),
        forge(entries_of(store)[-1], SignerAdded(public_key=key(9).public.pem, label="evil"), key(9)),
    )
    store.put(object_key(8), forge(entries_of(store)[-1], note(), key(9), number=8))
    assert {(7, Problem.UNSIGNED), (8, Problem.UNSIGNED)} <= set(problems(store))


def test_an_entry_that_a_signer_replaced_is_found(store: MemoryStore) -> None:
    """A holder of a key may write a failed drill anew, but those behind it name the one that was there."""
    second = entries_of(store)[1]
    replaced(store, 3, lambda _: forge(second, drill("better"), key(1)))
    assert problems(store) == [(4, Problem.ALTERED)]


def test_the_head_replaced_by_a_signer_needs_the_known_head(store: MemoryStore) -> None:
    known = KnownHead.parse(str(proven(store).head))
    other = forge(entries_of(store)[-2], note("other words"), key(1))
    replaced(store, COUNT, lambda _: other)
    assert problems(store) == [], "nothing inside the ledger can tell"
    report = verify_ledger(place_in(store), known_head=known)
    assert [finding.problem for finding in report.findings] == [Problem.HEAD_MISSING]


def test_the_wrong_entry_for_who_may_sign_is_found(store: MemoryStore) -> None:
    store.put(object_key(7), forge(entries_of(store)[-1], note(), key(1), signers_at=1))
    assert problems(store) == [(7, Problem.ALTERED)]


def test_an_entry_of_another_ledger_is_found(store: MemoryStore) -> None:
    store.put(object_key(7), forge(entries_of(store)[-1], note(), key(1), ledger="cd" * 16))
    assert (7, Problem.INSERTED) in problems(store)


def test_a_change_of_signers_that_can_not_be_read_is_no_silence(store: MemoryStore) -> None:
    class LaterRetired(SignerRetired, frozen=True, kw_only=True):
        VERSION = 2

    later = LaterRetired(signer=key(2).public.fingerprint, reason="in another way")
    store.put(object_key(7), forge(entries_of(store)[-1], later, key(1)))
    assert problems(store) == [(7, Problem.UNSIGNED)]


def test_a_second_genesis_is_found(store: MemoryStore) -> None:
    genesis = Genesis(name="main", public_key=key(1).public.pem, label="x")
    store.put(object_key(7), forge(entries_of(store)[-1], genesis, key(1), signers_at=4))
    assert problems(store) == [(7, Problem.UNSIGNED)]


@pytest.mark.parametrize(("previous", "signers_at"), [("ab" * 32, 0), (None, 3)])
def test_a_first_entry_that_is_not_the_first_is_found(previous: str | None, signers_at: int) -> None:
    """A ledger whose beginning was cut off, and its next entry signed anew as the first."""
    genesis = Genesis(name="main", public_key=key(1).public.pem, label="x")
    place = Place("cd" * 16, 1, previous, signers_at)
    store = MemoryStore()
    store.put(object_key(1), seal_entry(genesis, place, key(1), entry_id="ab" * 16, at=STARTED))
    assert problems(store) == [(1, Problem.ALTERED)]


@pytest.mark.parametrize("name", ["7.json", "0000006.json", "000000.json", "1.json"])
def test_a_file_with_the_name_of_an_entry_spelt_otherwise_is_found(store: MemoryStore, name: str) -> None:
    store.put(f"evidence/main/{name}", b"{}")
    assert [problem for _, problem in problems(store)] == [Problem.INSERTED]


def test_other_files_beside_a_copy_are_remarked_on(store: MemoryStore, tmp_path: Path) -> None:
    folder = copied_to(tmp_path / "copy", store, [key(1), key(2)])
    (folder / "sub").mkdir()
    (folder / "sub" / "000001.json").write_text("{}")
    report = verify_ledger(find_ledger(PosixStore(folder)), trusted=[key(1).public, key(2).public])
    assert report.is_intact
    assert sorted(report.remarks) == [
        "not part of the ledger: key1.pem",
        "not part of the ledger: key2.pem",
        "not part of the ledger: sub/000001.json",
    ]


def test_a_huge_file_is_not_read(store: MemoryStore) -> None:
    store.put(object_key(7), b"{" * (5 << 20))
    traced = FaultyStore(store)
    assert [finding.problem for finding in verify_ledger(place_in(traced)).findings] == [Problem.ALTERED]
    assert ("get", object_key(6)) in traced.trace and ("get", object_key(7)) not in traced.trace


@pytest.mark.parametrize("left", range(1, COUNT + 1))
def test_a_cut_off_tail_is_told_only_by_the_known_head(store: MemoryStore, left: int) -> None:
    known = KnownHead.parse(str(proven(store).head))
    for number in range(left + 1, COUNT + 1):
        store.delete(object_key(number))
    assert problems(store) == [], "nothing inside the ledger can tell"
    report = verify_ledger(place_in(store), known_head=known)
    assert report.is_intact == (left == COUNT)
    if left < COUNT:
        with pytest.raises(LedgerDamaged, match="cut off or replaced"):
            report.raise_if_damaged()


def test_a_known_head_stays_known_when_the_ledger_grows(store: MemoryStore) -> None:
    known = KnownHead.parse(str(proven(store).head))
    ledger(store).append(note(), key())
    for head in (known, KnownHead(None, known.sha256), KnownHead.parse(known.sha256.upper())):
        assert verify_ledger(place_in(store), known_head=head).is_intact
    wrong = KnownHead(5, known.sha256)
    assert not verify_ledger(place_in(store), known_head=wrong).is_intact, (
        "the number counts where it is given"
    )


@pytest.mark.parametrize("text", ["", "6", "6:", "6:ab", "six:" + "ab" * 32, "ab" * 31, "1:" + "g" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(EvidenceUnfit, match="not a head"):
        KnownHead.parse(text)


def test_only_the_keys_that_were_given_are_trusted(store: MemoryStore) -> None:
    report = proven(store, key(1).public)
    assert report.findings == [] and report.unproven == [5] and not report.is_intact
    with pytest.raises(SignerUnproven):
        report.raise_if_damaged()
    assert proven(store, key(2).public).unproven == [1, 2, 3, 4, 6]
    assert proven(store, key(9).public).unproven == [1, 2, 3, 4, 5, 6]


def test_without_a_key_only_consistency_is_proven(store: MemoryStore) -> None:
    report = verify_ledger(place_in(store))
    assert report.is_intact and report.given == () and report.unproven == []
    assert [signer.fingerprint for signer in report.signers] == [
        key(1).public.fingerprint,
        key(2).public.fingerprint,
    ]


def test_a_ledger_written_anew_by_somebody_else_needs_a_public_key() -> None:
    """Everything in it is consistent, under a key that is not the host's."""
    store = MemoryStore()
    ledger(store).append(drill(), key(9))
    assert verify_ledger(place_in(store)).is_intact
    assert proven(store, key(1).public).unproven == [1, 2]


def test_a_damaged_first_entry_does_not_hide_the_rest(store: MemoryStore) -> None:
    replaced(store, 1, lambda data: data[:50] + b"!" + data[51:])
    store.delete(object_key(5))
    assert problems(store) == [(1, Problem.ALTERED), (5, Problem.REMOVED)]


def test_a_clock_that_was_set_back_is_remarked_on(store: MemoryStore) -> None:
    made = ledger(store)
    made._clock.advance(86_400)  # type: ignore[attr-defined]
    made.append(note("tomorrow"), key())
    ledger(store).append(note("today"), key())
    report = proven(store)
    assert report.is_intact
    assert report.remarks == [
        "entry 8 says that it is older than entry 7: a host's clock was wrong, or was set back"
    ]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("trusted", [[], [key(1).public]])
def test_a_later_format_is_not_judged(number: int, trusted: list[PublicKey], store: MemoryStore) -> None:
    replaced(store, number, lambda data: of_later_format(data, key(1)))
    with pytest.raises(FormatTooNew):
        verify_ledger(place_in(store), trusted=trusted)
    with pytest.raises(FormatTooNew):
        ledger(store).read(number)


@pytest.mark.parametrize("number", [1, 2])
def test_a_later_format_that_nobody_signed_is_damage(number: int, store: MemoryStore) -> None:
    replaced(store, number, lambda data: of_later_format(data, key(9)))
    assert (number, Problem.ALTERED) in problems(store)


def of_later_format(data: bytes, signer: SigningKey) -> bytes:
    fields = parse_canonical(parse_envelope(data).payload)
    return seal(canonical({**fields, "format": 2, "signer": signer.public.fingerprint}), signer)


def test_a_long_ledger_is_read_ahead_and_in_order() -> None:
    store = MemoryStore()
    made = ledger(store)
    for number in range(150):
        made.append(note(str(number)), key())
    report = proven(store)
    assert report.is_intact and [entry.number for entry in report.entries] == list(range(1, 152))


@pytest.mark.parametrize("below", ["", "evidence/", "evidence/main/", "copy/"])
def test_a_copy_is_found_however_deep_it_was_taken(store: MemoryStore, tmp_path: Path, below: str) -> None:
    copied_to(tmp_path / "x" / "evidence" / "main", store)
    where = tmp_path / "x" / below
    if below == "copy/":
        where = copied_to(tmp_path / "copy", store)
    assert verify_ledger(find_ledger(PosixStore(where))).is_intact


def test_no_ledger_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerMissing):
        verify_ledger(place_in(MemoryStore()))
    (tmp_path / "key.pem").write_text("x")
    with pytest.raises(LedgerMissing):
        find_ledger(PosixStore(tmp_path))
