"""What a restored directory is told, whatever its source was told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from seawall.model.lsn import Lsn
from seawall.repository.backups.record import BackupRecord
from seawall.restore.directory.configure import RecoverySetup, prepare_recovery
from seawall.restore.directory.copy import Layout
from seawall.restore.planning.moment import Latest, TargetAction
from tests.unit.repository.sample_repository import CLUSTER, SYSTEM

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def record(tablespace_map: bytes = b"") -> BackupRecord:
    return BackupRecord(
        id="20261125T104107Z-3fa9c1",
        cluster=CLUSTER,
        system_identifier=SYSTEM,
        started_at=NOW,
        stopped_at=NOW,
        start_lsn=Lsn(40),
        stop_lsn=Lsn(300),
        timeline=1,
        start_wal="",
        stop_wal="",
        pg_version_num=160000,
        wal_segment_bytes=1 << 20,
        backup_label=b"LABEL: x\n",
        tablespace_map=tablespace_map,
    )


def prepare(
    folder: Path,
    backup: BackupRecord,
    *,
    is_primary: bool = False,
    major: int = 16,
    has_configuration: bool = False,
) -> Path:
    data = folder / "data"
    data.mkdir()
    layout = Layout(data, folder / "data.config", {16400: folder / "new\\place"})
    setup = RecoverySetup(
        Latest(),
        1,
        TargetAction.PROMOTE,
        "seawall wal get",
        is_primary,
        archive_command="seawall wal push %p",
        has_configuration=has_configuration,
    )
    prepare_recovery(layout, backup, setup, major)
    return data


def test_a_tablespace_that_the_backup_lacks_is_never_linked_to_the_sources_folder(tmp_path: Path) -> None:
    data = prepare(tmp_path, record(b"16400 /live/kept\n16401 /live/dropped meanwhile\n"))
    escaped = str(tmp_path / "new\\place").replace("\\", "\\\\")
    assert (data / "tablespace_map").read_text() == f"16400 {escaped}\n"


@pytest.mark.parametrize(("major", "is_said"), [(14, False), (15, True), (18, True)])
def test_a_new_primary_archives_by_its_own_command_not_by_the_sources_library(
    tmp_path: Path, major: int, is_said: bool
) -> None:
    data = prepare(tmp_path, record(), is_primary=True, major=major)
    settings = (data / "postgresql.auto.conf").read_text().splitlines()
    assert "archive_command = 'seawall wal push %p'" in settings
    assert ("archive_library = ''" in settings) is is_said


def test_a_copy_never_archives(tmp_path: Path) -> None:
    settings = (prepare(tmp_path, record()) / "postgresql.auto.conf").read_text().splitlines()
    assert "archive_mode = 'off'" in settings


def test_a_configuration_from_outside_brings_what_it_includes(tmp_path: Path) -> None:
    """Debian's says ``include_dir 'conf.d'``: without that folder the server does not start."""
    beside = tmp_path / "data.config" / "0"
    (beside / "conf.d").mkdir(parents=True)
    (beside / "postgresql.conf").write_text(
        "include_dir = 'conf.d'\n#include 'commented'\ninclude_dir 'empty'\n"
        "include_if_exists 'missing.conf'\ninclude '../up.conf'\ninclude '/etc/live.conf'\n"
    )
    (beside / "conf.d" / "memory.conf").write_text("work_mem = 5MB\ninclude 'more/deep.conf'\n")
    (beside / "conf.d" / "readme.txt").write_text("nobody reads this")
    (beside / "conf.d" / "more").mkdir()
    (beside / "conf.d" / "more" / "deep.conf").write_text("jit = off\n")
    (beside / "commented").write_text("")
    (beside.parent / "up.conf").write_text("")
    data = prepare(tmp_path, record())
    assert (data / "conf.d" / "memory.conf").read_text().startswith("work_mem = 5MB")
    assert (data / "conf.d" / "more" / "deep.conf").read_text() == "jit = off\n"
    assert list((data / "empty").iterdir()) == []
    assert sorted(path.name for path in (data / "conf.d").iterdir()) == ["memory.conf", "more"]
    assert not (data / "commented").exists() and not (tmp_path / "up.conf").exists()
    text = (data / "postgresql.conf").read_text()
    assert text.rstrip().endswith("# <<< Seawall paths") and f"hba_file = '{data}/pg_hba.conf'" in text


def test_an_owners_own_configuration_gets_no_second_one_beside(tmp_path: Path) -> None:
    (tmp_path / "data.config" / "0").mkdir(parents=True)
    (tmp_path / "data.config" / "0" / "postgresql.conf").write_text("port = 5433\n")
    data = prepare(tmp_path, record(), has_configuration=True)
    assert not (data / "postgresql.conf").exists() and not (data / "pg_hba.conf").exists()
    assert "archive_mode = 'off'" in (data / "postgresql.auto.conf").read_text()
