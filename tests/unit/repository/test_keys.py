from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.model.clock import SystemClock
from seawall.model.errors import SeawallError
from seawall.repository import key_ring
from seawall.repository.errors import ControlDamaged, KeyNeeded, LastKeySlot, NameInvalid, WrongKey
from seawall.repository.format.control_json import parse_control, render_control
from seawall.repository.format.crypto import hkdf_sha256
from seawall.repository.format.frames import ObjectKind
from seawall.repository.keys import (
    Argon2Cost,
    KeySlot,
    parse_slot,
    seal_slot,
    slot_fields,
    unseal_any,
    unseal_slot,
)
from seawall.repository.layout import slot_key
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile, MasterKey, Passphrase, RecoveryCode, SlotSecret
from tests.unit.repository.tiny_store import TinyStore

CLOCK = SystemClock()
CHEAP = Argon2Cost(iterations=1, lanes=1, memory_kib=8)
REPOSITORY = b"r" * 16
MASTER = b"\xa5" * 32
NOW = datetime(2026, 11, 25, tzinfo=UTC)
SECRETS: list[SlotSecret] = [
    KeyFile("file", b"0123456789abcdef" * 2),
    Passphrase("ada", "correct horse battery"),
    RecoveryCode("escrow", b"\x5a" * 32),
]
every_secret = pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: type(secret).__name__)


def slot_for(secret: SlotSecret) -> KeySlot:
    return seal_slot(REPOSITORY, MASTER, secret, now=NOW, cost=CHEAP)


@every_secret
def test_a_slot_opens_with_its_secret_and_no_other(secret: SlotSecret) -> None:
    slot = slot_for(secret)
    assert parse_slot(slot.render(), slot.key) == slot
    for other in SECRETS:
        assert unseal_slot(slot, other) == (MASTER if other is secret else None)
    assert unseal_slot(slot, Passphrase("ada", "correct horse batterx")) is None
    assert unseal_slot(slot, KeyFile("file", b"0123456789abcdef" * 2 + b"0")) is None


@given(
    st.sampled_from(SECRETS),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
    st.data(),
)
@settings(deadline=None)
def test_slots_round_trip_and_any_flip_or_cut_is_damage(
    secret: SlotSecret, master: bytes, repository_id: bytes, draw: st.DataObject
) -> None:
    slot = seal_slot(repository_id, master, secret, now=NOW, cost=CHEAP)
    data = bytearray(slot.render())
    assert unseal_slot(parse_slot(bytes(data), slot.key), secret) == master
    with pytest.raises(ControlDamaged):
        parse_slot(bytes(data[: draw.draw(st.integers(0, len(data) - 1))]), slot.key)
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ControlDamaged):
        parse_slot(bytes(data), slot.key)


@every_secret
def test_every_bit_of_a_slot_counts(secret: SlotSecret) -> None:
    slot = slot_for(secret)
    whole = slot.render()
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ControlDamaged):
            parse_slot(bytes(data), slot.key)


@pytest.mark.parametrize("changed", ["label", "created_at", "repository", "kind"])
def test_what_a_slot_says_is_authenticated_by_its_seal(changed: str) -> None:
    secret = SECRETS[0]
    slot = slot_for(secret)
    value = {"repository": "00" * 16, "kind": "recovery-code"}.get(changed, "2020")
    forged = parse_slot(render_control({**slot_fields(slot), changed: value}), slot.key)
    assert unseal_slot(forged, secret) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_any_json_with_a_good_checksum_is_still_no_slot(value: object) -> None:
    fields = {**slot_fields(slot_for(SECRETS[0])), "derivation": value}
    with pytest.raises(ControlDamaged):
        parse_slot(render_control(fields), slot_key("00000000"))


def test_a_forged_slot_can_not_make_its_reader_burn_the_machine() -> None:
    slot = slot_for(SECRETS[1])
    for field, value in (("memory_kib", 1 << 40), ("iterations", 10**9), ("lanes", 0), ("iterations", True)):
        fields = slot_fields(slot)
        fields["derivation"] = {**fields["derivation"], field: value}  # type: ignore[dict-item]
        with pytest.raises(ControlDamaged):
            parse_slot(render_control(fields), slot.key)


def test_a_slot_copied_to_another_name_is_damage() -> None:
    with pytest.raises(ControlDamaged):
        parse_slot(slot_for(SECRETS[0]).render(), slot_key("00000000"))


def test_one_of_several_secrets_is_enough() -> None:
    slots = [slot_for(secret) for secret in SECRETS]
    opened = unseal_any(slots, [Passphrase("bob", "not the right one"), SECRETS[2]])
    assert opened == (MASTER, slots[2].slot)
    assert unseal_any(slots, [KeyFile("renamed", b"0123456789abcdef" * 2)]) == (MASTER, slots[0].slot)
    assert unseal_any(slots, [Passphrase("bob", "not the right one")]) is None


def test_hkdf_gives_the_answer_of_rfc_5869() -> None:
    derived = hkdf_sha256(bytes([0x0B] * 22), salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), length=42)
    assert derived.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


# --- the ring -------------------------------------------------------------------------------------


@pytest.fixture
def ring(store: TinyStore) -> Repository:
    repository = Repository.create(store, SECRETS, clock=CLOCK, cost=CHEAP)
    repository.write_object("leases/a", ObjectKind.LEASE, b"content")
    return repository


def can_open(store: TinyStore, secret: SlotSecret) -> bool:
    try:
        repository = Repository.open(store, [secret], clock=CLOCK)
    except WrongKey:
        return False
    return repository.read_object("leases/a", ObjectKind.LEASE) == b"content"


def test_keys_come_and_go_without_touching_data(ring: Repository, store: TinyStore) -> None:
    data = {key: value for key, value in store.objects.items() if not key.startswith("keys/")}
    bob = Passphrase("bob", "another passphrase")
    key_ring.add_slot(ring, bob, cost=CHEAP)
    assert all(can_open(store, secret) for secret in [*SECRETS, bob])
    assert [slot.label for slot in key_ring.list_slots(ring).slots].count("bob") == 1
    key_ring.remove_slot(ring, "bob")
    assert not can_open(store, bob)
    assert {key: value for key, value in store.objects.items() if not key.startswith("keys/")} == data


def test_a_rotated_secret_opens_no_more(ring: Repository, store: TinyStore) -> None:
    new = Passphrase("ada", "a better passphrase")
    slot = key_ring.rotate_slot(ring, "ada", new, cost=CHEAP)
    assert can_open(store, new) and not can_open(store, SECRETS[1])
    assert key_ring.list_slots(ring).slots.count(slot) == 1
    assert len(key_ring.list_slots(ring).slots) == len(SECRETS)


def test_rotation_adds_before_it_removes(ring: Repository, store: TinyStore) -> None:
    class Locked(TinyStore):
        def delete(self, key: str) -> None:
            raise NameInvalid("an object lock holds it")

    locked = Locked()
    locked.objects = dict(store.objects)
    repository = Repository.open(locked, [SECRETS[0]], clock=CLOCK)
    new = Passphrase("ada", "a better passphrase")
    with pytest.raises(NameInvalid, match="lock"):
        key_ring.rotate_slot(repository, "ada", new, cost=CHEAP)
    assert can_open(locked, new) and can_open(locked, SECRETS[1])


def test_the_last_key_can_not_be_removed(ring: Repository, store: TinyStore) -> None:
    for name in ("file", "escrow"):
        key_ring.remove_slot(ring, name)
    with pytest.raises(LastKeySlot):
        key_ring.remove_slot(ring, "ada")
    assert can_open(store, SECRETS[1])


def test_slots_are_named_by_label_or_slot(ring: Repository) -> None:
    first = key_ring.list_slots(ring).slots[0]
    key_ring.remove_slot(ring, first.slot)
    with pytest.raises(NameInvalid) as caught:
        key_ring.remove_slot(ring, "nobody")
    assert "escrow" in caught.value.hint or "ada" in caught.value.hint
    with pytest.raises(NameInvalid, match="already"):
        key_ring.add_slot(
            ring, Passphrase(key_ring.list_slots(ring).slots[0].label, "one of this name exists")
        )


def test_a_damaged_slot_is_named_and_hides_no_other(ring: Repository, store: TinyStore) -> None:
    slot = next(slot for slot in key_ring.list_slots(ring).slots if slot.label == "ada")
    store.objects[slot.key] = store.objects[slot.key].replace(b"ada", b"adb")
    assert key_ring.list_slots(ring).damaged == (slot.key,)
    assert can_open(store, SECRETS[0])
    with pytest.raises(WrongKey) as caught:
        Repository.open(store, [SECRETS[1]], clock=CLOCK)
    assert slot.key in caught.value.hint and "file (key-file)" in caught.value.hint


@every_secret
def test_escrow_opens_it_after_every_slot_is_lost(
    ring: Repository, store: TinyStore, secret: SlotSecret
) -> None:
    document = key_ring.export_sealed(ring, secret, cost=CHEAP)
    for slot in key_ring.list_slots(ring).slots:
        store.delete(slot.key)
    assert not can_open(store, secret)
    assert can_open(store, key_ring.open_escrow(document, secret))
    with pytest.raises(WrongKey):
        key_ring.open_escrow(document, KeyFile("x", b"w" * 32))
    with pytest.raises(KeyNeeded):
        key_ring.open_escrow(document)
    recovered = Repository.open(store, [key_ring.open_escrow(document, secret)], clock=CLOCK)
    key_ring.add_slot(recovered, SECRETS[0])
    assert can_open(store, SECRETS[0])


def test_the_exported_master_key_opens_it_alone(ring: Repository, store: TinyStore) -> None:
    document = key_ring.export_master_key(ring)
    assert can_open(store, key_ring.open_escrow(document))
    bits = range(0, 8 * len(document), 7)
    for bit in bits:
        data = bytearray(document)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ControlDamaged):
            key_ring.open_escrow(bytes(data))
    with pytest.raises(WrongKey):
        Repository.open(store, [MasterKey.generate()], clock=CLOCK)


def test_an_unencrypted_repository_has_no_keys(store: TinyStore) -> None:
    repository = Repository.create(store, [], clock=CLOCK, encrypted=False)
    for attempt in (
        lambda: key_ring.add_slot(repository, SECRETS[0]),
        lambda: key_ring.export_master_key(repository),
    ):
        with pytest.raises(KeyNeeded):
            attempt()


# --- secrets --------------------------------------------------------------------------------------


def test_a_recovery_code_survives_being_written_down() -> None:
    code = RecoveryCode.generate()
    text = code.reveal()
    assert RecoveryCode.parse(text).key == code.key
    assert RecoveryCode.parse(text.lower().replace("-", " ")).key == code.key
    wrong = ("B" if text[3] != "B" else "C").join((text[:3], text[4:]))
    for damaged in (wrong, text[:-1], "", "ü" * 56):
        with pytest.raises(NameInvalid):
            RecoveryCode.parse(damaged)


def test_a_key_file_may_end_in_a_newline_or_not(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"k" * 44 + b"\n")
    assert KeyFile.read(path).content == b"k" * 44
    path.write_bytes(b"short\n")
    with pytest.raises(NameInvalid, match="32 bytes"):
        KeyFile.read(path)


def test_weak_or_unlabelled_secrets_are_refused() -> None:
    with pytest.raises(NameInvalid):
        Passphrase("ada", "short")
    with pytest.raises(NameInvalid):
        KeyFile("a b", b"k" * 32)
    with pytest.raises(NameInvalid):
        MasterKey("m", b"short")
    with pytest.raises(NameInvalid):
        seal_slot(REPOSITORY, MASTER, MasterKey("m", MASTER), now=NOW)


def test_no_secret_is_ever_shown(store: TinyStore) -> None:
    hidden = ["0123456789abcdef", "correct horse battery", (b"\x5a" * 32).hex(), "\\x5a" * 4, "ZZZZZZZZ"]
    repository = Repository.create(store, SECRETS, clock=CLOCK, cost=CHEAP)
    master = repository.context.reveal_master_key()
    assert master is not None
    shown = [repr(secret) + str(secret) for secret in SECRETS] + [repr(repository), repr(repository.context)]
    shown += [f"{MasterKey('m', master)!r}"]
    for attempt in (
        lambda: Repository.open(TinyStore(), SECRETS, clock=CLOCK),
        lambda: Repository.open(store, [Passphrase("bob", "correct horse battery x")], clock=CLOCK),
        lambda: key_ring.open_escrow(key_ring.export_sealed(repository, SECRETS[0]), SECRETS[2]),
    ):
        with pytest.raises(SeawallError) as caught:
            attempt()
        error = caught.value
        shown.append("".join(traceback.format_exception_only(error)) + error.hint + repr(error.fields))
    for text in shown:
        assert not any(secret in text for secret in [*hidden, master.hex(), repr(master)])
    for data in store.objects.values():
        assert master not in data and master.hex().encode() not in data


def test_control_objects_are_small_and_flat_text(store: TinyStore) -> None:
    Repository.create(store, SECRETS, clock=CLOCK, cost=CHEAP)
    for key, data in store.objects.items():
        assert json.loads(data)["seawall"] in ("repository", "key-slot")
        assert parse_control(data, key)
        with pytest.raises(ControlDamaged):
            parse_control(data + b" " * 70_000, key)
    with pytest.raises(ControlDamaged):
        parse_control(b"[" * 60_000, "deep")
