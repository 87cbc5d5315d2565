"""Backups held open in one session, on every major, on primaries and standbys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.model.lsn import Lsn
from seawall.postgres.backup_session import BackupSession
from seawall.postgres.errors import BackupSessionLost, ServerPermissionMissing, StatementRefused
from seawall.postgres.programs import ServerPrograms
from tests.support.servers import TestCluster
from tests.support.standbys import make_standby

pytestmark = pytest.mark.postgres


def test_a_backup_starts_and_stops(server: TestCluster) -> None:
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 1000)")
    with BackupSession.open(server.url()) as backup:
        started = backup.start("seawall test", fast=True)
        server.sql("INSERT INTO t VALUES (0)")
        inserted = backup.upper_lsn()
        stopped = backup.stop()
    assert not started.is_standby and started.timeline == stopped.timeline == 1
    assert started.start_lsn < inserted <= stopped.stop_lsn
    label = stopped.backup_label.decode()
    assert f"START WAL LOCATION: {started.start_lsn} (file {started.start_wal_segment})\n" in label
    assert "LABEL: seawall test\n" in label and label.endswith("START TIMELINE: 1\n")
    assert stopped.tablespace_map == b""
    assert started.started_at <= stopped.stopped_at and started.started_at.utcoffset() is not None
    end_file = server.value(f"SELECT pg_walfile_name('{Lsn(stopped.stop_lsn - 1)}')")
    assert str(stopped.stop_wal_segment) == end_file, "the last segment that the backup needs"


def test_several_backups_run_at_once_and_an_aborted_one_leaves_nothing(server: TestCluster) -> None:
    with BackupSession.open(server.url()) as first, BackupSession.open(server.url()) as second:
        first.start("first")
        second.start("second")
        first.abort()
        assert "LABEL: second" in second.stop().backup_label.decode()
    with BackupSession.open(server.url()) as third:
        assert third.start("third").label == "third"
        assert third.stop().stop_lsn


def test_the_servers_timeouts_do_not_end_a_backup(server: TestCluster) -> None:
    server.sql(
        "ALTER ROLE postgres SET idle_session_timeout = '300ms'",
        "ALTER ROLE postgres SET statement_timeout = '1ms'",
        "ALTER ROLE postgres SET lock_timeout = '1ms'",
    )
    with BackupSession.open(server.url()) as backup:
        backup.start("patient")
        time.sleep(0.7)
        assert backup.stop().stop_lsn


@pytest.mark.parametrize("ends", ["terminated", "crashed"])
def test_a_lost_session_is_a_lost_backup(one_server: TestCluster, ends: str) -> None:
    with BackupSession.open(one_server.url()) as backup:
        backup.start("unlucky")
        if ends == "terminated":
            one_server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'seawall backup'"
            )
        else:
            one_server.kill()
        with pytest.raises(BackupSessionLost):
            backup.upper_lsn()
        with pytest.raises(BackupSessionLost) as caught:
            backup.stop()
    assert "again" in caught.value.hint


def test_a_tablespace_map_is_kept_byte_for_byte(server: TestCluster) -> None:
    """Paths are bytes: from a LATIN1 database they must not come back converted."""
    location = server.folder / "späce back\\slash"
    location.mkdir()
    server.sql(f"CREATE TABLESPACE far LOCATION '{location}'")
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    oid = server.value("SELECT oid FROM pg_tablespace WHERE spcname = 'far'")
    maps = []
    for database in ("latin", "postgres"):
        with BackupSession.open(server.url(database)) as backup:
            backup.start("map")
            maps.append(backup.stop().tablespace_map)
    escaped = str(location).replace("\\", "\\\\") if server.major >= 15 else None
    link = Path(server.data / "pg_tblspc" / str(oid)).readlink()
    assert maps[0] == maps[1]
    if escaped is not None:
        assert maps[0].decode() == f"{oid} {escaped}\n"
    assert str(link) == str(location)


def test_a_role_without_rights_is_told_the_grant(server: TestCluster) -> None:
    server.sql("CREATE ROLE plain LOGIN")
    with BackupSession.open(server.url(user="plain")) as backup, pytest.raises(ServerPermissionMissing) as no:
        backup.start("denied")
    grant = no.value.hint.replace("the role", "plain")
    stop = "pg_backup_stop(boolean)" if server.major >= 15 else "pg_stop_backup(boolean, boolean)"
    server.sql(grant, f"GRANT EXECUTE ON FUNCTION {stop} TO plain")
    with BackupSession.open(server.url(user="plain")) as backup:
        backup.start("granted")
        assert backup.stop().stop_lsn


def test_minimal_wal_is_refused_with_the_remedy(one_server: TestCluster) -> None:
    one_server.restart({"wal_level": "minimal", "max_wal_senders": "0"})
    with BackupSession.open(one_server.url()) as backup, pytest.raises(StatementRefused) as caught:
        backup.start("too little")
    assert "wal_level = 'replica'" in caught.value.hint


def test_a_label_is_printable_ascii() -> None:
    with pytest.raises(ValueError, match="label"):
        BackupSession.__new__(BackupSession).start("two\nlines")


@pytest.fixture
def pair(pg_programs: ServerPrograms) -> Iterator[tuple[TestCluster, TestCluster]]:
    """A primary and its streaming standby."""
    primary = TestCluster.create(pg_programs)
    try:
        primary.start()
        standby = make_standby(primary)
        try:
            yield primary, standby
        finally:
            standby.destroy()
    finally:
        primary.destroy()


def test_a_standby_says_so_and_its_backup_ends_with_its_promotion(
    pair: tuple[TestCluster, TestCluster],
) -> None:
    primary, standby = pair
    with BackupSession.open(standby.url()) as backup:
        started = backup.start("from the standby")
        primary.sql("CREATE TABLE t AS SELECT 1")
        assert backup.upper_lsn() >= started.start_lsn
        stopped = backup.stop()
    assert started.is_standby and b"BACKUP FROM: standby" in stopped.backup_label
    assert stopped.timeline == 1 and stopped.stop_lsn >= started.start_lsn
    with BackupSession.open(standby.url()) as backup:
        backup.start("doomed")
        standby.sql("SELECT pg_promote()")
        with pytest.raises(BackupSessionLost, match="promoted"):
            backup.stop()
    with BackupSession.open(standby.url()) as backup:
        assert backup.start("after").timeline == 2, "the checkpoint of the start is on the new timeline"
        assert backup.stop().timeline == 2
