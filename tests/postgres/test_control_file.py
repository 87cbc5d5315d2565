"""The control file of real servers, field by field against pg_controldata."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from seawall.postgres.errors import ServerStartFailed
from seawall.postgres.files.control_file import (
    CONTROL_FILE_PATH,
    ClusterState,
    ControlFile,
    with_unusable_checkpoint,
)
from seawall.postgres.programs import ServerPrograms
from tests.support.servers import InitOptions, TestCluster

pytestmark = pytest.mark.postgres


def shown_by_pg_controldata(cluster: TestCluster) -> dict[str, str]:
    """Return what the server's own program reads."""
    lines = cluster.program("pg_controldata", "-D", cluster.data).splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def as_pg_controldata_shows(control: ControlFile) -> dict[str, str]:
    """Return the same from what we read."""
    return {
        "pg_control version number": str(control.pg_control_version),
        "Catalog version number": str(control.catalog_version),
        "Database system identifier": str(control.system_identifier),
        "Database cluster state": control.state.value,
        "pg_control last modified": moment(control.modified_at),
        "Latest checkpoint location": str(control.checkpoint_lsn),
        "Latest checkpoint's REDO location": str(control.redo_lsn),
        "Latest checkpoint's TimeLineID": str(control.timeline),
        "Latest checkpoint's PrevTimeLineID": str(control.previous_timeline),
        "Latest checkpoint's full_page_writes": on_off(control.full_page_writes),
        "Latest checkpoint's NextXID": f"{control.next_xid >> 32}:{control.next_xid & 0xFFFFFFFF}",
        "Latest checkpoint's NextOID": str(control.next_oid),
        "Time of latest checkpoint": moment(control.checkpoint_at),
        "Minimum recovery ending location": str(control.min_recovery_lsn),
        "Min recovery ending loc's timeline": str(control.min_recovery_timeline),
        "Backup start location": str(control.backup_start_lsn),
        "Backup end location": str(control.backup_end_lsn),
        "End-of-backup record required": "yes" if control.is_backup_end_required else "no",
        "wal_level setting": control.wal_level,
        "wal_log_hints setting": on_off(control.wal_log_hints),
        "max_connections setting": str(control.max_connections),
        "max_worker_processes setting": str(control.max_worker_processes),
        "max_wal_senders setting": str(control.max_wal_senders),
        "max_prepared_xacts setting": str(control.max_prepared_xacts),
        "max_locks_per_xact setting": str(control.max_locks_per_xact),
        "track_commit_timestamp setting": on_off(control.track_commit_timestamp),
        "Database block size": str(control.block_bytes),
        "Blocks per segment of large relation": str(control.relation_segment_blocks),
        "WAL block size": str(control.wal_block_bytes),
        "Bytes per WAL segment": str(control.wal_segment_bytes),
        "Data page checksum version": str(control.data_checksum_version),
    }


def moment(seconds: int) -> str:
    """Write a time as C's strftime("%c") does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%a %b %e %H:%M:%S %Y")


def on_off(value: bool) -> str:
    """Write a setting's value."""
    return "on" if value else "off"


def assert_agrees(cluster: TestCluster) -> ControlFile:
    """Compare all fields; the file must not change meanwhile, so the server is stopped or killed."""
    control = cluster.control()
    expected = as_pg_controldata_shows(control)
    shown = shown_by_pg_controldata(cluster)
    assert {key: shown[key] for key in expected} == expected
    assert control.major == cluster.major
    return control


@pytest.mark.parametrize("options", [InitOptions(), InitOptions(checksums=False, wal_segment_mib=1)], ids=str)
def test_a_new_cluster(pg_programs: ServerPrograms, options: InitOptions) -> None:
    cluster = TestCluster.create(pg_programs, options=options)
    try:
        control = assert_agrees(cluster)
        assert control.has_checksums is options.checksums
        assert control.wal_segment_bytes == options.wal_segment_mib << 20
        assert control.state is ClusterState.SHUT_DOWN
    finally:
        cluster.destroy()


def test_every_setting_and_a_killed_server(server: TestCluster) -> None:
    server.restart(
        {
            "wal_level": "logical",
            "wal_log_hints": "on",
            "max_connections": "37",
            "max_worker_processes": "11",
            "max_wal_senders": "7",
            "max_prepared_transactions": "5",
            "max_locks_per_transaction": "71",
            "track_commit_timestamp": "on",
            "full_page_writes": "off",
        }
    )
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 1000)", "CHECKPOINT", "INSERT INTO t VALUES (0)")
    server.kill()
    control = assert_agrees(server)
    assert control.state is ClusterState.IN_PRODUCTION
    assert (control.wal_level, control.max_connections, control.max_worker_processes) == ("logical", 37, 11)
    assert (control.max_wal_senders, control.max_prepared_xacts, control.max_locks_per_xact) == (7, 5, 71)
    assert control.wal_log_hints and control.track_commit_timestamp and not control.full_page_writes


def test_reading_beside_a_busy_server_never_fails(one_server: TestCluster) -> None:
    with one_server.connect() as connection:
        for number in range(25):
            connection.execute("SELECT txid_current()")
            connection.execute("CHECKPOINT")
            assert one_server.control().next_xid >= number


def test_without_its_backup_label_a_marked_control_file_stops_the_start(server: TestCluster) -> None:
    """Trap: deleting backup_label must fail, not start silently broken."""
    server.stop()
    path = server.data / CONTROL_FILE_PATH
    path.write_bytes(with_unusable_checkpoint(path.read_bytes()))
    with pytest.raises(ServerStartFailed, match="checkpoint record"):
        server.start()
