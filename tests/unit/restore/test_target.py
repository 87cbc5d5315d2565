"""The directory to restore into: what may be written, what is taken back, what is never touched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seawall.repository.backups.record import BackupRecord, TablespaceRecord
from seawall.restore.beside import work_directory
from seawall.restore.directory.copy import Layout
from seawall.restore.directory.target import (
    check_directory,
    check_space,
    claim_directory,
    clear_work,
    exclusive,
    finish_directory,
    give_up,
    lay_out,
)
from seawall.restore.errors import (
    DirectoryNotEmpty,
    RestoreUnderWay,
    SpaceShort,
    TablespaceUnsafe,
    TargetInvalid,
    TargetUnwritable,
)

NOW = datetime(2026, 11, 25, 10, 41, 7, tzinfo=UTC)


def record(source: str, *locations: str) -> BackupRecord:
    return BackupRecord(
        id="b",
        cluster="main",
        system_identifier=1,
        started_at=NOW,
        stopped_at=NOW,
        start_lsn=0,  # type: ignore[arg-type]
        stop_lsn=0,  # type: ignore[arg-type]
        timeline=1,
        start_wal="",
        stop_wal="",
        pg_version_num=150000,
        data_directory=source,
        tablespaces=tuple(TablespaceRecord(16384 + n, "", place) for n, place in enumerate(locations)),
    )


def places(
    backup: BackupRecord, data: Path, mapping: Mapping[str, Path] | None = None, into: Path | None = None
) -> list[Path]:
    return list(lay_out(backup, data, mapping or {}, into).tablespaces.values())


def test_tablespaces_stay_go_inside_or_where_they_are_told(tmp_path: Path) -> None:
    data = tmp_path / "new"
    backup = record("/pg/data", "/pg/data/space", "/pg/data2/space", "/elsewhere")
    assert places(backup, data) == [data / "space", Path("/pg/data2/space"), Path("/elsewhere")]
    assert places(backup, data, into=tmp_path / "all") == [
        tmp_path / "all" / str(16384 + n) for n in range(3)
    ]
    mapping = {"16384": Path("/a"), "/elsewhere": Path("/b")}
    assert places(backup, data, mapping) == [Path("/a"), Path("/pg/data2/space"), Path("/b")]
    with pytest.raises(TargetInvalid, match="no tablespace '99'"):
        places(backup, data, {"99": Path("/x")})


def claim(layout: Layout, *, aside: bool = False) -> Path | None:
    work_directory(layout.data_directory).mkdir(exist_ok=True)
    return claim_directory(layout, moves_aside=aside, now=NOW)


def test_danger_01_a_tablespace_that_holds_something_is_refused(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    assert places(record("/d", str(live)), tmp_path / "new") == [live], "an empty folder is fine"
    (live / "PG_15_202209061").mkdir()
    with pytest.raises(TablespaceUnsafe, match="live server's"):
        places(record("/d", str(live)), tmp_path / "new")


def test_an_unfinished_restore_owns_the_folders_it_claimed_and_no_others(tmp_path: Path) -> None:
    data, own, live = tmp_path / "new", tmp_path / "own", tmp_path / "live"
    claim(lay_out(record("/d", str(own)), data, {}, None))
    for folder in (own, live, data):
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text("x")
    (data / "pg_tblspc").mkdir()
    (data / "pg_tblspc" / "16384").symlink_to(own)
    check_directory(data, moves_aside=False)
    with pytest.raises(TablespaceUnsafe):
        lay_out(record("/d", str(live)), data, {}, None)
    claim(lay_out(record("/d", str(own)), data, {}, None))
    assert not any(own.iterdir()) and not any(data.iterdir()) and (live / "file").exists()


def test_a_folder_that_was_claimed_but_never_written_to_may_be_a_live_servers_by_now(tmp_path: Path) -> None:
    """The first try ended before it copied; then somebody made a tablespace there; then the second try."""
    data, space = tmp_path / "new", tmp_path / "space"
    backup = record("/d", str(space))
    claim(lay_out(backup, data, {}, None))
    (space / "PG_15_202209061").mkdir(parents=True)
    with pytest.raises(TablespaceUnsafe):
        lay_out(backup, data, {}, None)
    claim(Layout(data, tmp_path / "c", {}))
    assert (space / "PG_15_202209061").is_dir()


def test_a_finished_directory_is_somebodys_data(tmp_path: Path) -> None:
    data = tmp_path / "new"
    claim(Layout(data, tmp_path / "c", {}))
    (data / "PG_VERSION").write_text("15")
    finish_directory(data)
    with pytest.raises(DirectoryNotEmpty):
        check_directory(data, moves_aside=False)
    claim(Layout(data, tmp_path / "c", {}))
    (data / "global").mkdir()
    (data / "global" / "pg_control").write_text("x")
    with pytest.raises(DirectoryNotEmpty):
        check_directory(data, moves_aside=False)


def test_giving_up_brings_back_what_was_moved_aside(tmp_path: Path) -> None:
    data, space = tmp_path / "new", tmp_path / "space"
    data.mkdir()
    (data / "precious").write_text("x")
    layout = Layout(data, tmp_path / "new.config", {16384: space})
    moved = claim(layout, aside=True)
    assert moved is not None and (moved / "precious").exists()
    for folder in (data, space):
        folder.mkdir(exist_ok=True)
        (folder / "half").write_text("x")
    give_up(layout, moved)
    assert [entry.name for entry in data.iterdir()] == ["precious"] and not any(space.iterdir())


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("x")
    with pytest.raises(DirectoryNotEmpty, match="is a file"):
        check_directory(tmp_path / "new", moves_aside=True)


def test_too_little_space_is_refused_with_numbers(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "deep" / "er", tmp_path / "c", {})
    check_space(layout, 1 << 10, 1 << 10)
    with pytest.raises(SpaceShort, match="free") as caught:
        check_space(layout, 1 << 60, 0)
    assert caught.value.fields["needed_bytes"] == int((1 << 60) * 1.05)


def test_one_restore_at_a_time_and_no_trace_of_one_that_did_nothing(tmp_path: Path) -> None:
    work = tmp_path / "new.seawall"
    with exclusive(work), pytest.raises(RestoreUnderWay), exclusive(work):
        pass
    assert not work.exists()
    with exclusive(work):
        (work / "kept").write_text("x")
    assert {entry.name for entry in work.iterdir()} == {"kept", "lock"}
    with exclusive(work):
        pass


def test_a_work_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """``restore_command`` would take its store, and the command that fetches a key, from them."""
    work = tmp_path / "new.seawall"
    work.mkdir()
    work.chmod(0o777)
    with pytest.raises(TargetUnwritable, match="not this user's alone"), exclusive(work):
        pass
    work.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    work.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetUnwritable), exclusive(work):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_work_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    work = tmp_path / "new.seawall"
    work.mkdir(mode=0o700)
    os.chown(work, 12345, 12345)
    with pytest.raises(TargetUnwritable), exclusive(work):
        pass
    (tmp_path / "new").mkdir()
    os.chown(tmp_path / "new", 12345, 12345)
    with exclusive(work):  # an earlier restore by root gave both to the server's owner
        pass


def test_an_earlier_restores_wal_and_log_are_put_away(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "000000010000000000000001").write_text("of another branch")
    (tmp_path / "server.log").write_text("shutdown at recovery target")
    clear_work(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["server.log.old"]
    clear_work(tmp_path)
