from __future__ import annotations

import json

import pytest

from seawall.model.clock import SystemClock
from seawall.repository.errors import (
    ControlDamaged,
    EncryptionMismatch,
    FormatTooNew,
    FrameDamaged,
    KeyNeeded,
    RepositoryExists,
    RepositoryMissing,
    WrongKey,
)
from seawall.repository.format.control_json import canonical, render_control
from seawall.repository.format.frames import ObjectKind
from seawall.repository.layout import HEADER_KEY
from seawall.repository.repository import Repository, put_once
from seawall.repository.secrets import KeyFile
from seawall.storage.errors import ObjectExists, ObjectMissing, StoreUnsafe
from seawall.storage.protocol import Abilities, Buffer
from tests.unit.repository.tiny_store import TinyStore

CLOCK = SystemClock()
OTHER_KEY = KeyFile("other", b"o" * 40)


def secrets_of(repository: Repository, key_file: KeyFile) -> list[KeyFile]:
    return [key_file] if repository.encrypted else []


def test_what_was_created_opens_again(repository: Repository, store: TinyStore, key_file: KeyFile) -> None:
    again = Repository.open(store, secrets_of(repository, key_file), clock=CLOCK)
    assert (again.id, again.encrypted) == (repository.id, repository.encrypted)
    assert again.created_at == repository.created_at


@pytest.mark.parametrize("size", [0, 1, 5000, (1 << 20) + 1, 3 << 20])
def test_control_objects_round_trip(repository: Repository, store: TinyStore, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    repository.write_object("clusters/main/term/000001", ObjectKind.TERM, payload)
    assert repository.read_object("clusters/main/term/000001", ObjectKind.TERM) == payload
    if repository.encrypted and size > 300:
        assert payload[:256] not in store.objects["clusters/main/term/000001"]


def test_a_second_repository_is_refused(repository: Repository, store: TinyStore, key_file: KeyFile) -> None:
    before = dict(store.objects)
    with pytest.raises(RepositoryExists):
        Repository.create(store, [key_file], clock=CLOCK)
    assert store.objects == before


def test_losing_the_race_to_create_takes_the_losers_slots_away(key_file: KeyFile) -> None:
    class Race(TinyStore):
        def probe(self) -> Abilities:
            winner = TinyStore()
            Repository.create(winner, [OTHER_KEY], clock=CLOCK)
            self.objects.update(winner.objects)
            return super().probe()

    store = Race()
    with pytest.raises(RepositoryExists):
        Repository.create(store, [key_file], clock=CLOCK)
    assert len(store.objects) == 2
    Repository.open(store, [OTHER_KEY], clock=CLOCK)


def test_slots_of_a_crashed_creation_are_ignored(store: TinyStore, key_file: KeyFile) -> None:
    Repository.create(store, [key_file], clock=CLOCK)
    del store.objects[HEADER_KEY]  # the crash came before the last write
    repository = Repository.create(store, [key_file], clock=CLOCK)
    repository.write_object("leases/a", ObjectKind.LEASE, b"x")
    assert len([key for key in store.objects if key.startswith("keys/")]) == 2
    assert Repository.open(store, [key_file], clock=CLOCK).read_object("leases/a", ObjectKind.LEASE) == b"x"


def test_unencrypted_must_be_asked_for(store: TinyStore, key_file: KeyFile) -> None:
    with pytest.raises(KeyNeeded, match="at least one key"):
        Repository.create(store, [], clock=CLOCK)
    with pytest.raises(EncryptionMismatch):
        Repository.create(store, [key_file], clock=CLOCK, encrypted=False)
    assert not store.objects


@pytest.mark.parametrize("lacking", ["conditional_put", "read_after_write"])
def test_a_store_that_can_not_keep_rule_1_is_refused(
    store: TinyStore, key_file: KeyFile, lacking: str
) -> None:
    details = ("put of an existing key succeeded",)
    store.abilities = store.abilities._replace(**{lacking: False}, details=details)
    with pytest.raises(StoreUnsafe, match="put of an existing key succeeded"):
        Repository.create(store, [key_file], clock=CLOCK)
    assert not store.objects


def test_nothing_there(store: TinyStore, key_file: KeyFile) -> None:
    with pytest.raises(RepositoryMissing) as caught:
        Repository.open(store, [key_file], clock=CLOCK)
    assert "seawall repository init" in caught.value.hint


def test_the_wrong_key_names_the_slots_that_would_do(store: TinyStore, key_file: KeyFile) -> None:
    Repository.create(store, [key_file], clock=CLOCK)
    with pytest.raises(WrongKey) as caught:
        Repository.open(store, [OTHER_KEY], clock=CLOCK)
    assert "shop (key-file)" in caught.value.hint
    assert "kkkk" not in f"{caught.value!r} {caught.value.hint} {caught.value.fields}"
    with pytest.raises(KeyNeeded) as needed:
        Repository.open(store, [], clock=CLOCK)
    assert "shop (key-file)" in needed.value.hint


def test_every_bit_of_the_header_counts(repository: Repository, store: TinyStore, key_file: KeyFile) -> None:
    whole = store.objects[HEADER_KEY]
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        store.objects[HEADER_KEY] = bytes(data)
        with pytest.raises(ControlDamaged):
            Repository.open(store, secrets_of(repository, key_file), clock=CLOCK)


def tampered(store: TinyStore, **changes: object) -> bytes:
    fields = json.loads(store.objects[HEADER_KEY])
    del fields["checksum"]
    return render_control({**fields, **changes})


def test_a_bucket_writer_can_neither_turn_encryption_off_nor_swap_the_identity(
    store: TinyStore, key_file: KeyFile
) -> None:
    repository = Repository.create(store, [key_file], clock=CLOCK)
    original = store.objects[HEADER_KEY]
    store.objects[HEADER_KEY] = tampered(store, encryption="none")
    with pytest.raises(EncryptionMismatch):
        Repository.open(store, [key_file], clock=CLOCK)
    store.objects[HEADER_KEY] = original
    store.objects[HEADER_KEY] = tampered(store, created_at="2020-01-01T00:00:00+00:00")
    with pytest.raises(ControlDamaged, match="holder of the master key"):
        Repository.open(store, [key_file], clock=CLOCK)
    store.objects[HEADER_KEY] = tampered(store, repository="00" * 16)
    with pytest.raises((ControlDamaged, WrongKey)):
        Repository.open(store, [key_file], clock=CLOCK)
    assert repository.encrypted


def test_a_later_format_is_refused_not_guessed_at(store: TinyStore, key_file: KeyFile) -> None:
    Repository.create(store, [key_file], clock=CLOCK)
    store.objects[HEADER_KEY] = tampered(store, format=2)
    with pytest.raises(FormatTooNew, match="format 2"):
        Repository.open(store, [key_file], clock=CLOCK)


def test_the_header_is_what_jq_would_print(store: TinyStore, key_file: KeyFile) -> None:
    Repository.create(store, [key_file], clock=CLOCK)
    data = store.objects[HEADER_KEY]
    assert data == canonical(json.loads(data))
    assert data.endswith(b"}\n")


def test_a_put_whose_answer_was_lost_is_no_conflict(store: TinyStore) -> None:
    class LostAnswer(TinyStore):
        def put(self, key: str, data: Buffer) -> None:
            super().put(key, data)
            super().put(key, data)  # what a retry below does

    put_once(LostAnswer(), "a", b"mine")
    store.put("a", b"theirs")
    with pytest.raises(ObjectExists):
        put_once(store, "a", b"mine")


def test_two_writers_of_one_control_object_conflict(repository: Repository) -> None:
    repository.write_object("leases/a", ObjectKind.LEASE, b"same")
    with pytest.raises(ObjectExists):
        repository.write_object("leases/a", ObjectKind.LEASE, b"same")


def test_reading_what_is_missing_moved_or_of_another_kind(repository: Repository, store: TinyStore) -> None:
    with pytest.raises(ObjectMissing):
        repository.read_object("leases/a", ObjectKind.LEASE)
    repository.write_object("leases/a", ObjectKind.LEASE, b"x")
    store.objects["leases/b"] = store.objects["leases/a"]
    for key, kind in (("leases/b", ObjectKind.LEASE), ("leases/a", ObjectKind.TERM)):
        with pytest.raises(FrameDamaged) as caught:
            repository.read_object(key, kind)
        assert key in caught.value.message
