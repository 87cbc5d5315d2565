"""What of a data directory, and of a configuration beside it, becomes part of a backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.backup.errors import SourceMissing, SourceUnsafe
from seawall.backup.source_files import CONFIG_FOLDER, SourceTree, require_data_directory
from seawall.postgres.files.control_file import read_control_file
from seawall.postgres.files.relation_files import tablespace_version_folder
from seawall.repository.backups.file_entry import FileKind, path_order
from tests.faults.paper_server import ManualClock, PaperServer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return PaperServer(tmp_path, ManualClock()).data


def tree(data: Path, *configs: Path) -> SourceTree:
    return SourceTree(data, read_control_file(data), configs)


def version_folder(data: Path) -> str:
    control = read_control_file(data)
    return tablespace_version_folder(control.major, control.catalog_version)


def paths(found: SourceTree) -> list[str]:
    return [file.path for file in found.files()]


def test_entries_come_in_the_manifests_order_without_pg_control(data: Path, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "pg_hba.conf").write_text("local all all peer")
    found = paths(tree(data, etc))
    assert found == sorted(found, key=path_order)
    assert "global/pg_control" not in found and f"{CONFIG_FOLDER}/0/pg_hba.conf" in found
    assert found.count("pg_wal/archive_status") == 1


def test_configuration_may_hold_links_that_lead_nowhere_or_in_circles(data: Path, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    (etc / "conf.d").mkdir(parents=True)
    (etc / "conf.d" / "loop").symlink_to(etc)
    (etc / "gone.conf").symlink_to("/no/where")
    (tmp_path / "real.conf").write_text("work_mem = '5MB'")
    (etc / "linked.conf").symlink_to(tmp_path / "real.conf")
    (tmp_path / "link").symlink_to(etc)
    found = {
        file.path: file
        for file in tree(data, tmp_path / "link").files()
        if file.path.startswith(CONFIG_FOLDER)
    }
    assert set(found) == {
        CONFIG_FOLDER,
        *(f"{CONFIG_FOLDER}/0{rest}" for rest in ("", "/conf.d", "/linked.conf")),
    }
    linked = found[f"{CONFIG_FOLDER}/0/linked.conf"]
    assert linked.kind is FileKind.FILE and linked.size_bytes == len("work_mem = '5MB'")


def test_missing_configuration_is_an_error_of_the_plan(data: Path) -> None:
    with pytest.raises(SourceMissing, match="/no/where"):
        paths(tree(data, Path("/no/where")))


def test_no_data_directory_is_said_plainly(data: Path) -> None:
    (data / "PG_VERSION").unlink()
    with pytest.raises(SourceMissing, match="no PG_VERSION"):
        require_data_directory(data)


def test_a_linked_folder_is_refused_and_a_linked_file_at_the_top_is_stored(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "server.crt").write_text("certificate")
    (data / "server.crt").symlink_to(tmp_path / "server.crt")
    (file,) = [file for file in tree(data).files() if file.path == "server.crt"]
    assert file.kind is FileKind.FILE and file.size_bytes == len("certificate")
    (data / "base" / "5" / "777").symlink_to(tmp_path / "server.crt")
    with pytest.raises(SourceUnsafe, match="knows links only in pg_tblspc"):
        paths(tree(data))


def test_tablespaces_that_appear_later_are_left_to_the_wal(data: Path, tmp_path: Path) -> None:
    for oid in (16400, 16401):
        (tmp_path / str(oid) / version_folder(data)).mkdir(parents=True)
    (data / "pg_tblspc" / "16400").symlink_to(tmp_path / "16400")
    found = tree(data)
    (data / "pg_tblspc" / "16401").symlink_to(tmp_path / "16401")
    assert "pg_tblspc/16400" in paths(found) and "pg_tblspc/16401" not in paths(found)
    found.observe_tablespaces()
    assert "pg_tblspc/16401" in paths(found) and set(found.tablespaces) == {16400, 16401}


def test_a_tablespace_whose_disk_is_not_mounted_is_no_empty_tablespace(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    (data / "pg_tblspc" / "16400").symlink_to(tmp_path / "mount")
    with pytest.raises(SourceUnsafe, match="the tablespace at") as caught:
        tree(data).refuse_unreadable()
    assert str(tmp_path / "mount") in caught.value.message and "mounted" in caught.value.hint


def test_a_tablespace_that_is_dropped_meanwhile_is_no_error(data: Path, tmp_path: Path) -> None:
    (tmp_path / "gone" / version_folder(data)).mkdir(parents=True)
    link = data / "pg_tblspc" / "16400"
    link.symlink_to(tmp_path / "gone")
    found = iter(tree(data).files())
    seen = [next(found).path for _ in range(3)]
    (tmp_path / "gone" / version_folder(data)).rmdir()
    link.unlink()
    seen += [file.path for file in found]
    assert "pg_tblspc/16400" not in seen and "pg_tblspc" in seen
