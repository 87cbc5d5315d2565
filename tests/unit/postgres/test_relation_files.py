"""Names of files, and the fate of every kind of entry in a data directory."""

from __future__ import annotations

import pytest

from seawall.postgres.files.relation_files import (
    BackupRules,
    EntryKind,
    Fork,
    RelationFile,
    Treatment,
    empty_folders,
    has_page_checksums,
    is_relation_folder,
    is_temporary_relation,
    parse_relation_file,
    path_inside,
    tablespace_version_folder,
    unlogged_relations,
)

VERSION = "PG_15_202209061"
RULES = BackupRules(VERSION)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("16384", RelationFile(16384, Fork.MAIN, 0)),
        ("16384.1", RelationFile(16384, Fork.MAIN, 1)),
        ("16384.131", RelationFile(16384, Fork.MAIN, 131)),
        ("1_fsm", RelationFile(1, Fork.FREE_SPACE_MAP, 0)),
        ("16384_vm.2", RelationFile(16384, Fork.VISIBILITY_MAP, 2)),
        ("16384_init", RelationFile(16384, Fork.INIT, 0)),
        ("4294967295", RelationFile(4294967295, Fork.MAIN, 0)),
    ],
)
def test_names_of_relation_files(name: str, expected: RelationFile) -> None:
    assert parse_relation_file(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "0",
            "016384",
            "4294967296",
            "16384.",
            "16384.0",
            "16384.01",
            "16384_",
            "16384_main",
            "16384_fsmx",
        ),
        *("t3_16384", "PG_VERSION", "pg_filenode.map", "pg_control", "16384.1_vm", " 16384", "16384\n", "١٦"),
    ],
)
def test_names_that_are_no_relation_files(name: str) -> None:
    assert parse_relation_file(name) is None


def test_first_block_counts_whole_segments() -> None:
    assert RelationFile(1, Fork.MAIN, 3).first_block(131072) == 393216


def test_temporary_relations() -> None:
    assert all(map(is_temporary_relation, ["t3_16384", "t12_1_fsm", "t3_16384.4", "t3_16384_vm.1"]))
    assert not any(map(is_temporary_relation, ["t3", "t_16384", "3_16384", "t3_16384_x", "tmp", "t3_"]))


def test_unlogged_relations_are_those_with_an_init_fork() -> None:
    names = ["1", "1_init", "1_fsm", "2", "2_vm", "t3_7_init", "9_init", "PG_VERSION"]
    assert unlogged_relations(names) == {1, 9}


@pytest.mark.parametrize("path", ["global", "base/1", "base/16384", f"pg_tblspc/16390/{VERSION}/5"])
def test_folders_of_relations(path: str) -> None:
    assert is_relation_folder(path)


@pytest.mark.parametrize("path", ["", "base", "base/x", "base/1/2", "pg_xact", "other/base/1", "pg_tblspc/1"])
def test_folders_of_other_things(path: str) -> None:
    assert not is_relation_folder(path)


def test_only_relation_files_have_page_checksums() -> None:
    assert has_page_checksums("base/5/1259_fsm")
    assert has_page_checksums("global/1262")
    assert not has_page_checksums("global/pg_control")
    assert not has_page_checksums("base/5/pg_filenode.map")
    assert not has_page_checksums("pg_xact/0000")
    assert not has_page_checksums("pg_multixact/members/0000")


FILE, FOLDER, LINK, OTHER = EntryKind.FILE, EntryKind.FOLDER, EntryKind.LINK, EntryKind.OTHER


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("PG_VERSION", FILE, Treatment.COPY),
        ("postgresql.conf", FILE, Treatment.COPY),
        ("standby.signal", FILE, Treatment.COPY),
        ("base/5/1259", FILE, Treatment.COPY),
        ("base/5/t3_16384", FILE, Treatment.LEAVE_OUT),
        ("base/5/pg_internal.init.123", FILE, Treatment.LEAVE_OUT),
        ("global/pg_internal.init", FILE, Treatment.LEAVE_OUT),
        ("global/t3_16384", FILE, Treatment.COPY),  # no temporary relations live there
        ("global/pg_control", FILE, Treatment.COPY_LAST),
        ("postmaster.pid", FILE, Treatment.LEAVE_OUT),
        ("postmaster.opts", FILE, Treatment.LEAVE_OUT),
        ("backup_label", FILE, Treatment.LEAVE_OUT),
        ("backup_label.old", FILE, Treatment.COPY),
        ("tablespace_map", FILE, Treatment.LEAVE_OUT),
        ("backup_manifest", FILE, Treatment.LEAVE_OUT),
        ("postgresql.auto.conf.tmp", FILE, Treatment.LEAVE_OUT),
        ("postgresql.auto.conf", FILE, Treatment.COPY),
        ("current_logfiles.tmp", FILE, Treatment.LEAVE_OUT),
        ("base/pgsql_tmp", FOLDER, Treatment.LEAVE_OUT),
        ("base/5/pgsql_tmp123.0", FILE, Treatment.LEAVE_OUT),
        ("pg_wal", FOLDER, Treatment.KEEP_EMPTY),
        ("pg_wal", LINK, Treatment.KEEP_EMPTY),
        ("mine/pg_wal", FOLDER, Treatment.DESCEND),
        ("pg_replslot", FOLDER, Treatment.KEEP_EMPTY),
        ("pg_stat_tmp", LINK, Treatment.KEEP_EMPTY),
        ("mine/pg_notify", FOLDER, Treatment.KEEP_EMPTY),  # by name alone, as the server does
        ("pg_stat", FOLDER, Treatment.DESCEND),
        ("pg_logical", FOLDER, Treatment.DESCEND),
        ("base", FOLDER, Treatment.DESCEND),
        ("pg_tblspc", FOLDER, Treatment.DESCEND),
        ("pg_tblspc/16390", LINK, Treatment.FOLLOW),
        ("pg_tblspc/16390", FOLDER, Treatment.DESCEND),  # allow_in_place_tablespaces
        (f"pg_tblspc/16390/{VERSION}", FOLDER, Treatment.DESCEND),
        ("pg_tblspc/16390/PG_14_202107181", FOLDER, Treatment.LEAVE_OUT),
        ("pg_tblspc/16390/lost+found", FOLDER, Treatment.LEAVE_OUT),
        (f"pg_tblspc/16390/{VERSION}/5/t3_9", FILE, Treatment.LEAVE_OUT),
        (f"pg_tblspc/16390/{VERSION}/pgsql_tmp", FOLDER, Treatment.LEAVE_OUT),
        (f"pg_tblspc/16390/{VERSION}/5/16391.1", FILE, Treatment.COPY),
        ("postgresql.conf", LINK, Treatment.REPORT),
        ("base/5", LINK, Treatment.REPORT),
        ("socket", OTHER, Treatment.REPORT),
    ],
)
def test_the_fate_of_an_entry(path: str, kind: EntryKind, expected: Treatment) -> None:
    assert RULES.treatment(path, kind) is expected


def test_of_unlogged_relations_only_the_init_fork_is_copied() -> None:
    unlogged = frozenset({7})
    fates = {
        name: RULES.treatment(f"base/5/{name}", FILE, unlogged)
        for name in ("7", "7.1", "7_fsm", "7_vm", "7_init", "8", "77")
    }
    assert {name for name, fate in fates.items() if fate is Treatment.COPY} == {"7_init", "8", "77"}


def test_a_number_means_nothing_outside_the_folders_of_relations() -> None:
    assert RULES.treatment("pg_commit_ts/7", FILE, frozenset({7})) is Treatment.COPY


def test_a_tablespace_inside_the_data_directory_is_copied_through_its_link_alone() -> None:
    """Danger 12: tablespaces inside the data directory are met twice."""
    rules = BackupRules(VERSION, frozenset({"spaces/fast"}))
    assert rules.treatment("spaces", FOLDER) is Treatment.DESCEND
    assert rules.treatment("spaces/fast", FOLDER) is Treatment.KEEP_EMPTY
    assert rules.treatment("spaces/faster", FOLDER) is Treatment.DESCEND


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/pg/data/spaces/fast", "spaces/fast"),
        ("/pg/data2/fast", None),
        ("/pg/data", None),
        ("/pg", None),
        ("/pg/datafast", None),
    ],
)
def test_inside_is_decided_by_components(location: str, expected: str | None) -> None:
    """Danger 12: paths that merely begin with the data directory's name."""
    assert path_inside("/pg/data", location) == expected


def test_names_by_version() -> None:
    assert tablespace_version_folder(15, 202209061) == VERSION
    assert empty_folders(16) == ("pg_wal/archive_status",)
    assert empty_folders(17) == ("pg_wal/archive_status", "pg_wal/summaries")
