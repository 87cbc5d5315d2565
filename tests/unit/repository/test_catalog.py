from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.model.lsn import Lsn
from seawall.repository.backups.catalog import Catalog, cluster_names
from seawall.repository.backups.record import (
    AbortedBackup,
    BackupRecord,
    decode_commit,
    encode_commit,
)
from seawall.repository.errors import BackupMissing, FrameDamaged, NameInvalid
from seawall.repository.format.frames import ObjectKind
from seawall.repository.layout import commit_key
from seawall.repository.repository import Repository
from tests.unit.repository.test_backups import SYSTEM, record_of
from tests.unit.repository.tiny_store import TinyStore

A, B, C = "20260101T000000Z-aaaaaa", "20260201T000000Z-bbbbbb", "20260201T000000Z-bbbccc"


def commit(repository: Repository, outcome: BackupRecord | AbortedBackup, backup_id: str) -> None:
    key = commit_key("main", SYSTEM, backup_id)
    repository.write_object(key, ObjectKind.COMMIT, encode_commit(outcome))


def test_backups_are_ordered_by_lineage_and_position_not_by_name(repository: Repository) -> None:
    commit(repository, record_of(A, stop_lsn=Lsn(900), timeline=2, epoch=2), A)
    commit(repository, record_of(B, stop_lsn=Lsn(800)), B)
    commit(repository, record_of(C, stop_lsn=Lsn(500)), C)
    catalog = Catalog(repository, "main")
    assert [backup.id for backup in catalog.backups(SYSTEM)] == [C, B, A]
    assert catalog.get().id == A
    assert catalog.system_identifiers() == [SYSTEM]
    assert cluster_names(repository) == ["main"]


def test_one_is_named_by_id_or_an_unambiguous_beginning(repository: Repository) -> None:
    for backup_id in (A, B, C):
        commit(repository, record_of(backup_id), backup_id)
    catalog = Catalog(repository, "main")
    assert catalog.get(A).id == catalog.get("202601").id == A
    assert catalog.get("20260201T000000Z-bbbc", SYSTEM).id == C
    with pytest.raises(NameInvalid) as caught:
        catalog.get("202602")
    assert B in caught.value.hint and C in caught.value.hint
    for missing in ("2025", "", "x"):
        with pytest.raises((BackupMissing, NameInvalid)):
            catalog.get(missing)
    with pytest.raises(BackupMissing):
        catalog.get("latest", SYSTEM + 1)


def test_a_damaged_commit_is_reported_beside_the_good_ones(repository: Repository, store: TinyStore) -> None:
    commit(repository, record_of(A), A)
    commit(repository, record_of(B), B)
    commit(repository, AbortedBackup(repository.clock.now(), "killed"), C)
    key = commit_key("main", SYSTEM, B)
    store.objects[key] = store.objects[key][:-1]
    listing = Catalog(repository, "main").listing(SYSTEM)
    assert [backup.id for backup in listing.backups] == [A]
    assert listing.aborted == (C,)
    assert [item.backup_id for item in listing.unreadable] == [B]
    with pytest.raises(BackupMissing) as caught:
        Catalog(repository, "main").get(B)
    assert B in caught.value.hint


def test_an_empty_repository_says_so(repository: Repository) -> None:
    assert cluster_names(repository) == []
    with pytest.raises(BackupMissing, match="no complete backup"):
        Catalog(repository, "main").get()


def test_a_record_survives_a_later_field() -> None:
    record = record_of()
    payload = encode_commit(record).replace(b'"backup":{', b'"backup":{"added_later":[1],')
    assert decode_commit(payload, "key") == record


@given(st.binary(max_size=80))
def test_garbage_is_a_damaged_commit(garbage: bytes) -> None:
    with pytest.raises(FrameDamaged):
        decode_commit(garbage, "key")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b'"start_lsn":"0/2000028"', b'"start_lsn":"x"'),
        (b'"timeline":1', b'"timeline":"1"'),
        (b'"id":', b'"ID":'),
    ],
)
def test_a_record_of_wrong_types_is_damage(field: bytes, value: bytes) -> None:
    payload = encode_commit(record_of())
    assert field in payload
    with pytest.raises(FrameDamaged):
        decode_commit(payload.replace(field, value), "key")
