from __future__ import annotations

from datetime import UTC, datetime

import pytest

from seawall.repository import layout
from seawall.repository.errors import NameInvalid
from seawall.storage.protocol import check_key

ID = "20261125T104107Z-3fa9c1"


def test_the_keys_are_those_of_the_format_document() -> None:
    assert layout.slot_key("1a2b3c4d") == "keys/1a2b3c4d.json"
    assert layout.term_key("main", 1) == "clusters/main/term/000001"
    assert layout.pack_key("main", 7, ID, "ab") == f"clusters/main/7/backups/{ID}/pack/ab"
    assert layout.manifest_key("main", 7, ID) == f"clusters/main/7/backups/{ID}/manifest"
    assert layout.commit_key("main", 7, ID) == f"clusters/main/7/commits/{ID}"
    assert layout.lease_key("main", ID, 12) == f"leases/main/{ID}/000012"
    segment = "0000000100000000000000FE"
    assert layout.wal_key("main", 7, 2, 26, segment) == f"clusters/main/7/wal/00000002-0000001A/{segment}"
    assert (
        layout.diverged_key("main", 7, 2, 1, segment)
        == f"clusters/main/7/diverged/00000002-00000001/{segment}"
    )


def test_the_longest_names_fit_a_key() -> None:
    cluster = "c" * 63
    check_key(layout.pack_key(cluster, 2**64 - 1, ID, layout.new_pack_name()))
    check_key(layout.wal_key(cluster, 2**64 - 1, 2**32 - 1, 2**32 - 1, "0" * 24 + ".00000028.backup"))


@pytest.mark.parametrize("name", ["", "Main", "a/b", "..", "-a", "_a", "a b", "ä", "c" * 64, "a\n"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        layout.cluster_prefix(name)


@pytest.mark.parametrize("backup_id", ["", "latest", ID.upper(), ID + "0", f"../{ID}", ID + "\n"])
def test_only_backup_ids_become_keys(backup_id: str) -> None:
    with pytest.raises(NameInvalid):
        layout.commit_key("main", 7, backup_id)


def test_ids_sort_by_time_and_differ_within_a_second() -> None:
    now = datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)
    ids = {layout.new_backup_id(now) for _ in range(20)}
    assert len(ids) > 15 and all(
        layout.is_backup_id(item) and item.startswith("20261125T104107Z-") for item in ids
    )
