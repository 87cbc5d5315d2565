"""``seawall audit`` of real servers: each rule on one that breaks it, and on the same one put right."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.audits import Auditor, archiving_server, audit, set_and_reload
from tests.support.recovery import wait_until
from tests.support.servers import TestCluster, temporary_folder
from tests.support.standbys import make_standby

pytestmark = pytest.mark.postgres
__all__ = ["audit"]

HARMLESS_HERE = {"standby-none"}
"""The sound server has no standby: that is a finding, and said to be one."""


@pytest.fixture(scope="module")
def sound(one_pg_programs: ServerPrograms) -> Iterator[TestCluster]:
    with archiving_server(one_pg_programs) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=[14, 17], ids=["pg14", "pg17"])
def another(request: pytest.FixtureRequest) -> Iterator[TestCluster]:
    from tests.support.server_programs import server_programs

    programs = server_programs(request.param)
    if programs is None:
        pytest.skip(f"no PostgreSQL {request.param}")
    with archiving_server(programs) as cluster:
        yield cluster


def failures(results: dict[str, set[str]]) -> set[str]:
    return {rule for rule, found in results.items() if "fail" in found}


def test_a_sound_server_of_every_version(pg_programs: ServerPrograms, audit: Auditor) -> None:
    with archiving_server(
        pg_programs, {"summarize_wal": "on"} if pg_programs.major >= 17 else None
    ) as server:
        server.sql("CREATE ROLE plain LOGIN PASSWORD 'hunter2'", "SELECT pg_switch_wal()")
        began = time.monotonic()
        results = audit(server.url())
        assert time.monotonic() - began < 10
        # The archive of a test lies beside its server: that is found, as it must be.
        assert failures(results) == HARMLESS_HERE | {"wal-archive-on-host"}
        assert audit.status == 3, "an archive that dies with its server is a high finding"
        _audit_with_few_rights(server, audit)
        assert "hunter2" not in str(audit.document)


def _audit_with_few_rights(server: TestCluster, audit: Auditor) -> None:
    url = server.url(user="plain").replace("plain@", "plain:hunter2@")
    unseen = [rule for rule, found in audit(url).items() if "cannot-tell" in found]
    needs = {
        finding["remedy"] for finding in audit.document["findings"] if finding["result"] == "cannot-tell"
    }
    assert any("GRANT pg_read_all_settings TO plain" in need for need in needs if need)
    server.sql("GRANT pg_monitor TO plain")
    seen = [rule for rule, found in audit(url).items() if "cannot-tell" in found]
    assert set(seen) < set(unseen), "what the remedy grants is seen"
    server.sql("REVOKE pg_monitor FROM plain")


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("server-fsync-off", {"fsync": "off"}),
        ("server-full-page-writes-off", {"full_page_writes": "off"}),
        ("server-commits-not-flushed", {"synchronous_commit": "off"}),
        ("server-damage-hidden", {"zero_damaged_pages": "on"}),
        ("wal-archive-timeout", {"archive_timeout": "0"}),
        ("wal-archive-without-target", {"archive_command": ""}),
        ("wal-archive-command-lies", {"archive_command": "cp %p /nowhere/%f || true"}),
        ("wal-archive-command-lies", {"archive_command": "cp %p /nowhere/%f; exit 0"}),
        ("wal-archive-command-lies", {"archive_command": "/bin/true"}),
        ("wal-archive-command-lies", {"archive_command": ":"}),
        ("wal-archive-command-overwrites", {"archive_command": "cp %p /tmp/%f && sync"}),
        ("wal-archive-command-overwrites", {"archive_command": "test -f /tmp/%f || cp %p /tmp/%f"}),
        ("wal-archive-command-not-durable", {"archive_command": "test ! -f /tmp/%f && cp %p /tmp/%f"}),
        ("wal-archive-command-not-durable", {"archive_command": "scp %p backup:/wal/%f"}),
        ("wal-archive-command-not-durable", {"archive_command": "rsync -a %p backup:/wal/%f"}),
        ("wal-archive-library-silences-command", {"archive_library": "basic_archive"}),
    ],
)  # fmt: skip
def test_a_setting_that_breaks_a_rule_and_its_repair(
    rule: str, settings: dict[str, str], sound: TestCluster, audit: Auditor
) -> None:
    set_and_reload(sound, **settings)
    try:
        assert audit(sound.url())[rule] == {"fail"}
        evidence = " ".join(audit.finding(rule)["evidence"])
        assert next(iter(settings)) in evidence and audit.finding(rule)["remedy"]
    finally:
        set_and_reload(sound, **dict.fromkeys(settings))
    assert "fail" not in audit(sound.url())[rule]


def test_summaries_are_asked_for_where_there_are_any(another: TestCluster, audit: Auditor) -> None:
    expected = {"fail"} if another.major >= 17 else {"not-applicable"}
    assert audit(another.url())["server-summaries-off"] == expected
    if another.major >= 17:
        set_and_reload(another, summarize_wal="on")
        assert audit(another.url())["server-summaries-off"] == {"pass"}


def test_a_secret_in_a_command_stays_secret(sound: TestCluster, audit: Auditor) -> None:
    set_and_reload(sound, archive_command="AWS_SECRET_ACCESS_KEY=hunter2 aws s3 cp %p s3://b/%f || true")
    try:
        audit(sound.url())
    finally:
        set_and_reload(sound, archive_command=None)
    assert "hunter2" not in str(audit.document) and "AWS_SECRET_ACCESS_KEY=***" in str(audit.document)


def test_the_password_of_the_connection_is_nowhere_shown(sound: TestCluster, audit: Auditor) -> None:
    """Not even where an archive_command holds it without a word that tells what it is."""
    set_and_reload(sound, archive_command="upload hunter2 %p || true")
    try:
        audit(sound.url().replace("postgres@", "postgres:hunter2@"))
    finally:
        set_and_reload(sound, archive_command=None)
    assert "hunter2" not in str(audit.document) and "upload *** %p" in str(audit.document)


def test_a_failing_archiver_is_seen_and_an_idle_one_is_fine(sound: TestCluster, audit: Auditor) -> None:
    assert audit(sound.url())["wal-archive-failing"] == {"pass"}
    set_and_reload(sound, archive_command="false %p")
    sound.sql(
        "CREATE TABLE IF NOT EXISTS busy (n int)", "INSERT INTO busy VALUES (1)", "SELECT pg_switch_wal()"
    )
    try:
        wait_until(lambda: sound.value("SELECT failed_count FROM pg_stat_archiver") > 0, "a failure")
        assert audit(sound.url())["wal-archive-failing"] == {"fail"}
        assert "files that wait: 1" in audit.finding("wal-archive-failing")["evidence"]
    finally:
        set_and_reload(sound, archive_command=None)
    waiting = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
    # The archiver rests for a minute after three failures; a new segment wakes it.
    sound.sql("INSERT INTO busy VALUES (2)", "SELECT pg_switch_wal()")
    wait_until(lambda: sound.value(waiting) == 0, "the archive to catch up", timeout_s=90)
    assert audit(sound.url())["wal-archive-failing"] == {"pass"}, "failures of the past are past"


def test_settings_that_wait_for_a_restart(sound: TestCluster, audit: Auditor) -> None:
    sound.sql("ALTER SYSTEM SET archive_mode = 'off'")
    sound.reload()
    try:
        waits = "SELECT count(*) FROM pg_settings WHERE pending_restart"
        wait_until(lambda: sound.value(waits) == 1, "the reload")
        assert audit(sound.url())["wal-settings-wait-for-restart"] == {"fail"}
        assert audit(sound.url())["server-configuration-broken"] == {"pass"}, "waiting is no mistake"
    finally:
        sound.sql("ALTER SYSTEM RESET archive_mode")
        sound.reload()
    wait_until(
        lambda: sound.value("SELECT count(*) FROM pg_settings WHERE pending_restart") == 0, "the reload"
    )
    assert audit(sound.url())["wal-settings-wait-for-restart"] == {"pass"}


def test_a_mistake_in_a_configuration_file(sound: TestCluster, audit: Auditor) -> None:
    configuration = sound.data / "postgresql.conf"
    before = configuration.read_bytes()
    configuration.write_bytes(before + b"shared_bufers = '1GB'\n")
    try:
        assert audit(sound.url())["server-configuration-broken"] == {"fail"}
        assert "shared_bufers" in str(audit.finding("server-configuration-broken")["evidence"])
    finally:
        configuration.write_bytes(before)
    assert audit(sound.url())["server-configuration-broken"] == {"pass"}


def test_what_is_wrong_inside_the_databases(sound: TestCluster, audit: Auditor) -> None:
    rules = ("server-unlogged-tables", "server-invalid-indexes", "server-database-unusable")
    results = audit(sound.url())
    assert [results[rule] for rule in rules] == [{"pass"}] * 3
    sound.sql("CREATE DATABASE shop", "CREATE DATABASE gone")
    sound.sql(
        "CREATE UNLOGGED TABLE carts (n int)",
        "CREATE TABLE t AS SELECT 1 n UNION ALL SELECT 1",
        database="shop",
    )
    with pytest.raises(Exception, match=r"duplicated|could not create unique"):
        sound.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (n)", database="shop")
    sound.sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'gone'")
    try:
        results = audit(sound.url())
        assert all("fail" in results[rule] for rule in rules)
        assert audit.finding("server-unlogged-tables")["evidence"] == ["shop: public.carts"]
        assert audit.finding("server-invalid-indexes")["evidence"] == ["shop: public.broken on public.t"]
        assert audit.finding("server-database-unusable")["remedy"] == 'DROP DATABASE "gone"'
    finally:
        sound.sql("UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'gone'")
        sound.sql("DROP DATABASE gone", "DROP DATABASE shop")
    results = audit(sound.url())
    assert [results[rule] for rule in rules] == [{"pass"}] * 3


def test_a_prepared_transaction_left_open(sound: TestCluster, audit: Auditor) -> None:
    """Time can't be waited for, so the facts of the real server are judged as of a day later."""
    import dataclasses
    from datetime import timedelta

    from seawall.audit.observe import observe_stranger
    from seawall.audit.rule import Result, apply_rules
    from seawall.audit.rulebook import CLUSTER_RULES
    from seawall.model.clock import SystemClock
    from seawall.model.fact import known

    with sound.connect() as connection:
        connection.autocommit = False
        connection.execute("CREATE TABLE in_doubt (n int)")
        connection.execute("PREPARE TRANSACTION 'lost'")
    try:
        assert audit(sound.url())["server-prepared-left-open"] == {"pass"}, "it is a moment old"
        (facts,) = observe_stranger(sound.url(), clock=SystemClock(), deadline_s=20).clusters
        health = known(facts.primary)
        later = dataclasses.replace(
            health.identity, observed_at=health.identity.observed_at + timedelta(days=1)
        )
        facts = dataclasses.replace(facts, primary=dataclasses.replace(health, identity=later))
        rule = [rule for rule in CLUSTER_RULES if rule.id == "server-prepared-left-open"]
        (finding,) = apply_rules(rule, facts)
        assert finding.verdict.result is Result.FAIL and "lost in postgres" in finding.verdict.evidence[0]
    finally:
        sound.sql("ROLLBACK PREPARED 'lost'")


def test_a_collation_of_another_version(another: TestCluster, audit: Auditor) -> None:
    """PostgreSQL 17 brings versioned collations of its own; before, it depends on how the server was built."""
    versioned = another.sql(
        "SELECT collname, collversion FROM pg_collation WHERE collversion IS NOT NULL"
        " AND pg_collation_actual_version(oid) IS NOT NULL ORDER BY collprovider, oid LIMIT 1"
    )
    if not versioned:
        assert another.major < 17
        pytest.skip("this server has no collation with a version")
    ((name, now),) = versioned
    another.sql(f'CREATE TABLE names (n text COLLATE "{name}")')
    assert audit(another.url())["server-collation-changed"] == {"pass"}
    another.sql(f"UPDATE pg_collation SET collversion = '0.9' WHERE collname = '{name}'")
    try:
        assert audit(another.url())["server-collation-changed"] == {"fail"}
        assert f"was 0.9, is {now}" in str(audit.finding("server-collation-changed")["evidence"])
    finally:
        another.sql(
            f"UPDATE pg_collation SET collversion = '{now}' WHERE collname = '{name}'", "DROP TABLE names"
        )


def test_slots_without_cap_abandoned_and_lost(another: TestCluster, audit: Auditor) -> None:
    rules = ("wal-slot-without-cap", "wal-slot-abandoned", "wal-slot-lost")
    results = audit(another.url())
    assert [results[rule] for rule in rules] == [{"not-applicable"}] * 3
    another.sql("SELECT pg_create_physical_replication_slot('left_behind', true)")
    results = audit(another.url())
    assert [results[rule] for rule in rules] == [{"pass"}] * 3, "capped, and holds next to nothing"
    set_and_reload(another, max_slot_wal_keep_size="-1")
    _write_segments(another, 6)
    results = audit(another.url())
    assert [results[rule] for rule in rules] == [{"fail"}, {"fail"}, {"pass"}]
    assert "slot left_behind (physical), holds" in audit.finding("wal-slot-abandoned")["evidence"][0]
    set_and_reload(another, max_slot_wal_keep_size="1MB", wal_keep_size="0")
    wait_until(
        lambda: _after_checkpoint(another, "SELECT wal_status FROM pg_replication_slots") == "lost",
        "the loss",
    )
    results = audit(another.url())
    assert results["wal-slot-lost"] == {"fail"} and results["wal-slot-abandoned"] == {"pass"}
    another.sql("SELECT pg_drop_replication_slot('left_behind')")
    set_and_reload(another, max_slot_wal_keep_size=None, wal_keep_size=None)


def _after_checkpoint(server: TestCluster, query: str) -> object:
    server.sql("CHECKPOINT")
    return server.value(query)


def _write_segments(server: TestCluster, count: int) -> None:
    for number in range(count):
        server.sql(f"CREATE TABLE segment_{number} (n int)", "SELECT pg_switch_wal()")
    server.sql(*(f"DROP TABLE segment_{number}" for number in range(count)))


def test_standbys_on_the_same_machine_paused_and_cut_off(sound: TestCluster, audit: Auditor) -> None:
    assert audit(sound.url())["standby-none"] == {"fail"}
    standby = make_standby(sound)
    try:
        results = audit(sound.url())
        assert results["standby-none"] == {"pass"} and results["standby-lag"] == {"pass"}
        assert results["standby-same-machine"] == {"fail"}
        lost = audit.document["headlines"][0]["lost"]
        assert lost.startswith("everything") and "its standbys run on its own machine" in lost
        results = audit(standby.url())
        assert results["standby-not-following"] == {"pass"}
        assert results["wal-archive-off"] == {"not-applicable"}, "that is for the primary to do"
        standby.sql("SELECT pg_wal_replay_pause()")
        assert audit(standby.url())["standby-not-following"] == {"fail"}
        standby.sql("SELECT pg_wal_replay_resume()")
        set_and_reload(standby, primary_conninfo="host=/nowhere password=hunter2")
        receiving = "SELECT count(*) FROM pg_stat_wal_receiver"
        wait_until(lambda: standby.value(receiving) == 0, "the stream to end")
        assert audit(standby.url())["standby-not-following"] == {"fail"}
        assert "hunter2" not in str(audit.document)
    finally:
        standby.destroy()


def test_a_provider_is_recognised(sound: TestCluster, audit: Auditor) -> None:
    sound.sql("CREATE ROLE rds_superuser")
    set_and_reload(sound, fsync="off", archive_command="true")
    try:
        results = audit(sound.url())
        assert results["server-fsync-off"] == {"not-applicable"}
        assert results["wal-archive-command-lies"] == {"not-applicable"}
        assert "aws rds" in audit.finding("backup-none", "cannot-tell")["remedy"]
        assert audit.document["headlines"][0]["lost"].startswith("unknown: Amazon RDS")
    finally:
        set_and_reload(sound, fsync=None, archive_command=None)
        sound.sql("DROP ROLE rds_superuser")


def test_an_audit_only_reads(sound: TestCluster, audit: Auditor) -> None:
    set_and_reload(sound, log_statement="all", log_line_prefix="%a|")
    before = len(sound.log())
    audit(sound.url())
    set_and_reload(sound, log_statement=None, log_line_prefix=None)
    said = re.findall(
        r"^seawall audit\|LOG:  (?:statement|execute <unnamed>): (.*)", sound.log()[before:], re.MULTILINE
    )
    assert len(said) > 20
    others = [text for text in said if not text.lstrip().startswith(("SELECT", "SET "))]
    assert others == []


def test_a_lock_holds_an_audit_up_for_a_moment_only(sound: TestCluster, audit: Auditor) -> None:
    with sound.connect() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE pg_extension IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        results = audit(sound.url(), "--deadline", "20s")
        assert time.monotonic() - began < 20
        holder.rollback()
    assert "cannot-tell" in results["server-collation-changed"] and "pass" in results["server-fsync-off"]


def test_damage_that_checksums_found(one_pg_programs: ServerPrograms, audit: Auditor) -> None:
    with archiving_server(one_pg_programs) as server:
        assert audit(server.url())["server-checksum-failures"] == {"pass"}
        server.sql("CREATE TABLE t AS SELECT generate_series(1, 5000) n", "CHECKPOINT")
        file = server.data / server.value("SELECT pg_relation_filepath('t')")
        server.stop()
        with open(file, "r+b") as relation:
            relation.seek(8192 + 4000)
            relation.write(b"damage")
        server.start()
        with pytest.raises(Exception, match="invalid page"):
            server.sql("SELECT count(*) FROM t")
        wait_until(lambda: audit(server.url())["server-checksum-failures"] == {"fail"}, "the counter")
        assert audit.finding("server-checksum-failures")["severity"] == "critical"


def test_transaction_ids_that_run_out(one_pg_programs: ServerPrograms, audit: Auditor) -> None:
    with archiving_server(one_pg_programs) as server:
        assert audit(server.url())["server-wraparound-near"] == {"pass"}
        server.stop()
        wanted = 1_600_000_000
        server.program("pg_resetwal", "-x", str(wanted), "-D", server.data)
        segment = server.data / "pg_xact" / f"{wanted // (8192 * 4 * 32):04X}"
        segment.write_bytes(bytes(8192 * 32))
        shutil.copystat(server.data / "pg_xact" / "0000", segment)
        server.start()
        assert audit(server.url())["server-wraparound-near"] == {"fail"}
        finding = audit.finding("server-wraparound-near")
        assert finding["severity"] == "critical" and "75% of its transaction ids" in finding["text"]


def test_no_archive_no_checksums_and_data_in_memory(one_pg_programs: ServerPrograms, audit: Auditor) -> None:
    """What needs a restart or another cluster, in one that is wrong in all of it."""
    from tests.support.servers import InitOptions

    settings = {"wal_level": "minimal", "max_wal_senders": "0", "archive_mode": "off"}
    server = TestCluster.create(one_pg_programs, options=InitOptions(checksums=False), settings=settings)
    memory = Path("/dev/shm") / temporary_folder().name
    try:
        if _kind_of("/dev/shm") == "tmpfs":
            shutil.move(server.data, memory)
            server.data = memory
        server.start()
        wrong = {"wal-archive-off", "server-checksums-off", "server-wal-level-minimal", "server-fsync-off"}
        in_memory = {"server-data-in-memory"} if server.data == memory else set()
        assert failures(audit(server.url())) >= wrong | in_memory
        lost = audit.document["headlines"][0]["lost"]
        assert "everything" in lost and "no WAL is archived" in lost and "no standby follows it" in lost
        assert audit.document["headlines"][0]["back"].startswith("unknown")
    finally:
        server.destroy()
        shutil.rmtree(memory, ignore_errors=True)


def _kind_of(path: str) -> str:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return next((fields[2] for fields in mounts if fields[1] == path), "")
