"""What is observed agrees with what the server and its programs say, with no more rights than needed."""

from __future__ import annotations

import re

import pytest

from seawall.postgres.config_files import find_config_files, outside
from seawall.postgres.observe import observe_server
from seawall.postgres.server_facts import ServerFacts
from seawall.postgres.session import connect
from tests.support.servers import TestCluster
from tests.support.standbys import make_standby

pytestmark = pytest.mark.postgres


def observe(server: TestCluster, user: str = "postgres") -> ServerFacts:
    with connect(server.url(user=user)) as session:
        return observe_server(session)


def test_the_facts_agree_with_pg_controldata(server: TestCluster) -> None:
    facts = observe(server)
    control = dict(
        re.split(r":\s+", line, maxsplit=1)
        for line in server.program("pg_controldata", server.data).splitlines()
        if ": " in line
    )
    assert facts.system_identifier == int(control["Database system identifier"])
    assert facts.block_bytes == int(control["Database block size"])
    assert facts.relation_segment_bytes == facts.block_bytes * int(
        control["Blocks per segment of large relation"]
    )
    assert facts.wal_block_bytes == int(control["WAL block size"])
    assert facts.wal_segment_bytes == int(control["Bytes per WAL segment"])
    assert facts.has_checksums == (control["Data page checksum version"] != "0")
    assert facts.timeline == 1 and not facts.is_in_recovery
    assert facts.position <= observe(server).position
    assert facts.files is not None and facts.files.data_directory == server.data
    assert facts.files.config_file == server.data / "postgresql.conf"
    assert facts.size_bytes == sum(database.size_bytes or 0 for database in facts.databases) > 1 << 20
    assert {database.name for database in facts.databases} == {"postgres", "template0", "template1"}
    assert all(database.encoding == "UTF8" and database.is_valid for database in facts.databases)
    assert facts.denied == () and facts.standbys == () and facts.slots == ()


def test_tablespaces_slots_and_pending_settings_are_seen(server: TestCluster) -> None:
    location = server.folder / "far away"
    location.mkdir()
    server.sql(
        f"CREATE TABLESPACE far LOCATION '{location}'",
        "SELECT pg_create_physical_replication_slot('keeper', true)",
        "ALTER SYSTEM SET max_connections = 77",
        "ALTER SYSTEM SET work_mem = '5MB'",
        "SELECT pg_reload_conf()",
        "SELECT pg_sleep(0.5)",
    )
    facts = observe(server)
    assert [(space.name, space.location) for space in facts.tablespaces] == [("far", str(location))]
    assert [(slot.name, slot.kind, slot.is_active) for slot in facts.slots] == [("keeper", "physical", False)]
    assert facts.slots[0].restart is not None
    assert facts.pending_restart == ("max_connections",)
    assert facts.settings["max_connections"] == "100", "what is in force, not what is configured"


def test_the_archive_command_is_seen_while_archiving_is_off(server: TestCluster) -> None:
    """Danger 7: SHOW says "(disabled)"."""
    server.configure({"archive_command": "cp %p /nowhere/%f", "archive_timeout": "5min"})
    server.restart()
    assert server.value("SHOW archive_command") == "(disabled)"
    facts = observe(server)
    assert facts.archive.mode == "off" and facts.archive.command == "cp %p /nowhere/%f"
    assert facts.archive.timeout_s == 300 and facts.archive.module == ""


def test_pg_monitor_sees_everything_and_an_ordinary_role_is_told_what_it_lacks(server: TestCluster) -> None:
    server.sql(
        "CREATE ROLE plain LOGIN",
        "CREATE ROLE watcher LOGIN IN ROLE pg_monitor",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM public",
    )
    watched, plain = observe(server, "watcher"), observe(server, "plain")
    assert watched.denied == () and watched.files is not None
    assert plain.files is None and plain.system_identifier == watched.system_identifier
    grants = {missing.what: missing.grant for missing in plain.denied}
    assert set(grants.values()) == {
        "GRANT pg_read_all_settings TO the role",
        "GRANT pg_read_all_stats TO the role",
    }
    closed = {database.name: database.size_bytes for database in plain.databases}["closed"]
    assert closed is None
    server.sql(*(grant.replace("the role", "plain") for grant in grants.values()))
    assert observe(server, "plain").denied == (), "the named grants suffice"


def test_a_standby_shows_its_primarys_timeline_and_no_password(one_server: TestCluster) -> None:
    one_server.sql("CREATE TABLE t AS SELECT 1")
    one_server.stop()
    one_server.configure({"primary_conninfo": "host=/nowhere password=geheim"})
    (one_server.data / "standby.signal").touch()
    one_server.start()
    facts = observe(one_server)
    assert facts.is_in_recovery and facts.timeline == 1 and facts.position > 0
    assert "geheim" not in repr(facts)


def test_standbys_are_seen_by_those_who_may(server: TestCluster) -> None:
    server.sql("CREATE ROLE plain LOGIN", "GRANT pg_read_all_settings TO plain")
    standby = make_standby(server, "second")
    try:
        [seen] = observe(server).standbys or ()
        assert seen.application_name == "second" and seen.state == "streaming" and seen.replayed is not None
        plain = observe(server, "plain")
        assert plain.standbys is None and "pg_monitor" in plain.denied[-1].grant
        behind = observe(standby)
        assert behind.is_in_recovery and behind.system_identifier == plain.system_identifier
    finally:
        standby.destroy()


def test_configuration_outside_the_data_directory_is_found(server: TestCluster) -> None:
    etc = server.folder / "etc"
    (etc / "conf.d").mkdir(parents=True)
    extra = etc / "conf.d" / "site.conf"
    extra.write_text("work_mem = '7MB'\n")
    hba = etc / "pg_hba.conf"
    hba.write_text("local all all trust\n")
    with open(server.data / "postgresql.conf", "a") as main:
        main.write(f"include_dir '{etc}/conf.d'\nhba_file = '{hba}'\n")
    server.restart()
    assert server.value("SHOW work_mem") == "7MB"
    facts = observe(server)
    assert facts.files is not None and facts.files.hba_file == hba
    assert extra in facts.files.settings_files
    assert set(outside(server.data, find_config_files(facts.files).found)) == {hba, extra}


def test_certificates_are_referenced_only_where_tls_is_on(one_server: TestCluster) -> None:
    facts = observe(one_server)
    assert facts.files is not None and facts.files.referenced == ()
