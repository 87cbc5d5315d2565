"""Every rule over facts that break it and facts that keep it; and none says more than it could see."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from seawall.audit.facts import NO_LEDGER, NO_PLAN, ClusterFacts, ServiceFacts
from seawall.audit.rule import Finding, Result, Rule, Severity, apply_rules
from seawall.audit.rulebook import CLUSTER_RULES, SERVICE_RULES, every_rule
from seawall.model.fact import Unknown
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.plan.diagnostics import START, Diagnostic
from seawall.plan.diagnostics import Severity as PlanSeverity
from seawall.postgres.health.facts import (
    ChecksumFailures,
    ConfigError,
    FreezeAge,
    OpenPrepared,
    ReplayState,
    UnloggedTables,
)
from seawall.postgres.server.owner import OwnerKind
from seawall.postgres.server_facts import DatabaseReport, Locale
from seawall.storage.protocol import LockState, ObjectLock
from tests.unit.audit import healthy as h

CHANGED = Locale("libc", "de_DE.utf8", "2.31", "2.36")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STANDBY = h.identity(is_in_recovery=True)
STREAMING = ReplayState("db1:5432", Lsn(900), Lsn(900), "not paused", h.NOW)
LARGER = h.server(settings=h.settings(max_connections="200"))
FAR, KEYS = '"s3://shop-dr",', 'keys: ["file:/etc/k", escrow]'
CHECKS = 'checks:\n  - {name: orders are fresh, database: shop, sql: "select true"}\n'
TRAFFIC = "traffic: {dns: {name: db.shop.example, ttl: 30s, servers: [192.0.2.53]}}\n"
DECLARED = Diagnostic("plan.yaml", START, PlanSeverity.DECLARED, "not-active", "wal.stream waits", "don't")


def archiver(**changed: Any) -> ClusterFacts:
    return h.with_server(wal=h.wal(archiver=h.archiver(**changed)))


def prepared(age: timedelta) -> ClusterFacts:
    return h.with_server(prepared=(OpenPrepared("x", "shop", "ada", h.NOW - age, 9),))


def in_standby(**changed: Any) -> ClusterFacts:
    return h.with_server(identity=STANDBY, replay=dataclasses.replace(STREAMING, **changed))


def repositories(**changed: Any) -> ClusterFacts:
    return h.cluster({"near": h.repository(**changed), "far": h.repository(**changed)})


FAILS: list[tuple[str, Any]] = [
    ("backup-none", repositories(backups=())),
    (
        "backup-stale",
        repositories(backups=(dataclasses.replace(h.repository().backups[0], stopped_at=h.NOW - 9 * DAY),)),
    ),
    ("backup-same-site", h.with_plan(("site: central, url", "site: west, url"))),
    ("backup-one-copy", h.cluster({"near": h.repository(backups=()), "far": h.repository()})),
    ("backup-one-copy", h.with_plan(("    wal: {arch", "    repositories: [far]\n    wal: {arch"))),
    ("backup-unencrypted", h.with_plan((f"{FAR} {KEYS}", f"{FAR} encryption: none"))),
    ("backup-key-beside-data", h.with_plan((f"{FAR} {KEYS}", f'{FAR} keys: ["file:/etc/k"]'))),
    ("backup-repository-unusable", h.cluster({"near": Unknown("no such bucket", "seawall check")})),
    ("wal-repository-behind", repositories(archived=SegmentName(1, 98, h.SEGMENT))),
    ("wal-repository-behind", repositories(archived=None)),
    ("wal-gaps", repositories(gaps=("00000001000000000000000A",))),
    ("access-host-can-delete", repositories()),
    ("access-host-can-delete", repositories(lock=ObjectLock(LockState.YES))),
    ("backup-lock-short", h.cluster({"far": h.repository(lock=h.locked(days=7))})),
    (
        "backup-lock-short",
        h.cluster({"far": h.repository()}, plan=h.plan(("retention: {window: 35d}", "lock: 35d"))),
    ),
    (
        "backup-bucket-lifecycle",
        repositories(
            lock=h.locked()._replace(expiring=("rule old: objects below shop expire after 30 days",))
        ),
    ),
    ("restore-never-tested", h.cluster(restore_drill=None)),
    ("restore-test-failed", h.cluster(restore_drill=h.drill(is_ok=False, rto_s=None, failure="no orders"))),
    ("restore-test-old", h.cluster(restore_drill=h.drill(ended_at=h.NOW - 100 * DAY))),
    (
        "restore-test-old",
        h.cluster(
            restore_drill=h.drill(ended_at=h.NOW - 20 * DAY),
            plan=h.plan(("people:", 'drills: {restore: {schedule: "0 5 * * mon"}}\npeople:')),
        ),
    ),
    ("restore-without-checks", h.with_plan((CHECKS, ""))),
    ("objective-never-measured", h.cluster(restore_drill=None)),
    ("objective-never-measured", h.cluster(restore_drill=h.drill(is_ok=False, rto_s=None))),
    ("objective-contradicted", h.cluster(restore_drill=h.drill(rto_s=800.0))),
    ("objective-contradicted", h.cluster(restore_drill=h.drill(rpo_s=301.0))),
    ("wal-archive-off", h.with_settings(archive_mode="off")),
    ("wal-archive-without-target", h.with_settings(archive_command="  ")),
    ("wal-archive-command-lies", h.with_settings(archive_command="pgbackrest archive-push %p || true")),
    ("wal-archive-command-lies", h.with_settings(archive_command="/bin/true")),
    (
        "wal-archive-command-overwrites",
        h.with_settings(archive_command="cp %p /mnt/nas/%f && sync /mnt/nas/%f"),
    ),
    (
        "wal-archive-command-not-durable",
        h.with_settings(archive_command="test ! -f /mnt/nas/%f && cp %p /mnt/nas/%f"),
    ),
    ("wal-archive-command-not-durable", h.with_settings(archive_command="rsync -a %p backup:/wal/%f")),
    ("wal-archive-on-host", h.with_settings(archive_command="cp %p /srv/wal/%f")),
    ("wal-archive-on-host", h.with_settings(archive_command="cp %p /second/wal/%f")),
    ("wal-archive-library-silences-command", h.with_settings(archive_library="basic_archive")),
    (
        "wal-archive-library-silences-command",
        h.with_settings(archive_library="basic_archive", archive_command=""),
    ),
    (
        "wal-archive-failing",
        h.with_server(
            wal=h.wal(
                ready=4,
                archiver=h.archiver(
                    last_failed_wal="000000010000000000000063", last_failed_at=h.NOW, failed_count=3
                ),
            )
        ),
    ),
    (
        "wal-archive-failing",
        h.with_server(wal=h.wal(ready=9, archiver=h.archiver(last_archived_wal="000000010000000000000050"))),
    ),
    ("wal-archive-timeout", h.with_settings(archive_timeout="0")),
    ("wal-archive-timeout", h.with_settings(archive_timeout="301")),
    ("wal-archive-timeout", h.stranger(settings=h.settings(archive_timeout="0"))),
    ("wal-settings-wait-for-restart", h.with_server(settings=h.settings(("archive_mode",)))),
    ("wal-slot-without-cap", h.with_settings(max_slot_wal_keep_size="-1")),
    ("wal-slot-abandoned", h.with_server(slots=(h.slot(is_active=False, retained_bytes=64 << 20),))),
    (
        "wal-slot-abandoned",
        h.with_server(
            slots=(h.slot(is_active=False, retained_bytes=h.SEGMENT, inactive_since=h.NOW - 2 * HOUR),)
        ),
    ),
    ("wal-slot-lost", h.with_server(slots=(h.slot(wal_status="lost", retained_bytes=None),))),
    ("wal-slot-lost", h.with_server(slots=(h.slot(invalidation="rows_removed"),))),
    ("standby-none", h.stranger(receivers=())),
    ("standby-none", h.cluster(primary=h.server(receivers=()), plan=h.plan(("rpo: 5m", "rpo: 30s")))),
    ("standby-same-machine", h.with_server(receivers=(h.standby(address=None),))),
    ("standby-same-machine", h.with_server(receivers=(h.standby(address="127.0.0.1"),))),
    ("standby-same-machine", h.with_server(receivers=(h.standby(address="10.0.0.1"),))),
    (
        "standby-same-site",
        h.with_plan(
            (
                "west: {hosts: {db1: {}}}\n  central: {hosts: {db2: {}}}",
                "west: {hosts: {db1: {}, db2: {}}}\n  central: {}",
            )
        ),
    ),
    ("standby-lag", h.with_server(receivers=(h.standby(replay_lag_s=301.0),))),
    ("standby-lag", h.stranger(receivers=(h.standby(flush_lag_bytes=1 << 30),))),
    ("standby-not-following", in_standby(pause_state="paused")),
    ("standby-not-following", in_standby(sender=None)),
    ("standby-smaller-settings", h.cluster(primary=LARGER)),
    ("standby-unreachable", h.cluster(standbys={"two": Unknown("password rejected", "~/.pgpass")})),
    ("standby-unreachable", h.cluster(standbys={"two": h.server()})),
    ("standby-without-tls", h.cluster(standbys={"two": h.server(settings=h.settings(ssl="off"))})),
    ("wal-little-room", h.with_server(host=h.host(wal_free_bytes=80_000_000), wal=h.wal(bytes_per_s=1000.0))),
    (
        "standby-missing-extensions",
        h.cluster(standbys={"two": h.server(available_extensions=frozenset({"plpgsql"}))}),
    ),
    (
        "standby-other-collations",
        h.cluster(standbys={"two": h.server(databases=(h.database(locale=CHANGED),))}),
    ),
    (
        "standby-other-collations",
        h.cluster(
            standbys={
                "two": h.server(visits=(h.visit(report=DatabaseReport("shop", refusal="no such locale")),))
            }
        ),
    ),
    ("server-unreachable", h.cluster(primary=Unknown("nothing listens there", "start it"))),
    ("server-fsync-off", h.with_settings(fsync="off")),
    ("server-full-page-writes-off", h.with_settings(full_page_writes="off")),
    ("server-data-in-memory", h.with_server(host=h.host(wal_directory=Path("/run/pg_wal")))),
    ("server-checksum-failures", h.with_server(checksum_failures=(ChecksumFailures("shop", 2, h.NOW),))),
    ("server-checksums-off", h.with_settings(data_checksums="off")),
    ("server-damage-hidden", h.with_settings(zero_damaged_pages="on")),
    ("server-commits-not-flushed", h.with_settings(synchronous_commit="off")),
    ("server-wal-level-minimal", h.with_settings(wal_level="minimal")),
    ("server-summaries-off", h.with_settings(summarize_wal="off")),
    (
        "server-configuration-broken",
        h.with_server(config_errors=(ConfigError("/a.conf", 3, "shared_bufers", "unknown"),)),
    ),
    ("server-wraparound-near", h.with_server(freeze_ages=(FreezeAge("shop", 1_000_000_000, 0),))),
    ("server-wraparound-near", h.with_server(freeze_ages=(FreezeAge("shop", 0, 1_600_000_000),))),
    ("server-prepared-left-open", prepared(HOUR)),
    (
        "server-unlogged-tables",
        h.with_server(visits=(h.visit(unlogged=UnloggedTables(("public.t",), 8192)),)),
    ),
    ("server-invalid-indexes", h.with_server(visits=(h.visit(invalid_indexes=("public.i on public.t",)),))),
    ("server-collation-changed", h.with_server(databases=(h.database(locale=CHANGED),))),
    (
        "server-collation-changed",
        h.with_server(visits=(h.visit(report=DatabaseReport("shop", locales=(CHANGED,))),)),
    ),
    ("server-database-unusable", h.with_server(databases=(h.database(is_valid=False),))),
    (
        "server-database-unusable",
        h.with_server(
            visits=(h.visit(report=DatabaseReport("shop", refusal="database locale is incompatible")),)
        ),
    ),
    ("objective-without-detection", h.service(plan=h.plan((", detection: 3m", "")))),
    ("objective-unattainable", h.service(plan=h.plan(("rto: 15m", "rto: 5m")))),
    (
        "objective-unattainable",
        h.service(
            h.cluster(
                primary=h.server(receivers=()), plan=h.plan(("archive_timeout: 1m", "archive_timeout: 10m"))
            )
        ),
    ),
    ("plan-declared-not-active", h.service(diagnostics=(DECLARED,))),
    ("traffic-ttl-over-share", h.service(plan=h.plan(("ttl: 30s", "ttl: 5m")))),
    ("traffic-no-switch", h.service(plan=h.plan((TRAFFIC, "")))),
    ("people-none", h.service(plan=h.plan(("people: {ada", "# {ada"), ("approvals:", "# ")))),
    ("people-no-contact", h.service(plan=h.plan((', contact: "tel:+1"', "")))),
    ("people-one-approver", h.service(plan=h.plan(("from: [ada, grace]", "from: [ada]")))),
    ("people-one-approver", h.service(plan=h.plan(("required: 1", "required: 2")))),
]

OF_SERVERS_AND_PLANS: tuple[Rule[Any], ...] = (*CLUSTER_RULES, *SERVICE_RULES)
"""Those over Terraform's files have tests of their own."""

CANNOT_FAIL = {"objective-missing", "people-runbook"}
"""A plan can't be without objectives; the other says what Seawall can't see yet."""
CANNOT_PASS = {"people-runbook"}


def verdicts(rule_id: str, facts: ClusterFacts | ServiceFacts) -> list[Finding]:
    rules: tuple[Rule[Any], ...] = CLUSTER_RULES if isinstance(facts, ClusterFacts) else SERVICE_RULES
    found = apply_rules([rule for rule in rules if rule.id == rule_id], facts)
    assert found, f"{rule_id} says nothing"
    return found


def results(rule_id: str, facts: ClusterFacts | ServiceFacts) -> set[Result]:
    return {finding.verdict.result for finding in verdicts(rule_id, facts)}


@pytest.mark.parametrize(("rule_id", "facts"), FAILS, ids=[rule_id for rule_id, _ in FAILS])
def test_what_is_wrong_is_found_with_evidence_and_remedy(
    rule_id: str, facts: ClusterFacts | ServiceFacts
) -> None:
    failures = [finding for finding in verdicts(rule_id, facts) if finding.is_failure]
    assert failures
    for finding in failures:
        assert finding.verdict.text and finding.remedy
        assert finding.verdict.evidence or rule_id in {
            "backup-repository-unusable",
            "server-unreachable",
            "server-database-unusable",
        }


def test_every_rule_is_broken_by_some_example() -> None:
    assert {rule.id for rule in OF_SERVERS_AND_PLANS} - {rule_id for rule_id, _ in FAILS} == CANNOT_FAIL


def test_a_service_in_order_has_no_failure() -> None:
    findings = apply_rules(CLUSTER_RULES, h.cluster()) + apply_rules(SERVICE_RULES, h.service())
    assert [(f.rule.id, f.verdict.text) for f in findings if f.is_failure] == []


def test_every_rule_is_kept_by_a_service_in_order() -> None:
    in_order = [
        *apply_rules(CLUSTER_RULES, h.cluster()),
        *apply_rules(SERVICE_RULES, h.service()),
        *apply_rules(CLUSTER_RULES, in_standby()),
        *apply_rules(CLUSTER_RULES, h.with_settings(archive_library="basic_archive", archive_command="",
                                                    basic_archive__archive_directory="/mnt/nas")),
    ]  # fmt: skip
    kept = {finding.rule.id for finding in in_order if finding.verdict.result is Result.PASS}
    assert {rule.id for rule in OF_SERVERS_AND_PLANS} - kept == CANNOT_PASS


@pytest.mark.parametrize(
    ("rule_id", "facts", "expected"),
    [
        ("wal-archive-failing", archiver(), Result.PASS),
        ("wal-archive-failing", archiver(last_failed_wal="0" * 24, last_failed_at=h.NOW - 30 * DAY), Result.PASS),
        ("wal-archive-failing", archiver(last_failed_at=h.NOW, last_failed_wal="0" * 24), Result.PASS),
        ("wal-archive-failing", h.with_server(wal=h.wal(position=Lsn(h.SEGMENT + 5), archiver=h.archiver(
            last_archived_wal=None, last_archived_at=None))), Result.PASS),
        ("wal-archive-failing", h.with_server(wal=h.wal(ready=1, archiver=h.archiver(
            last_archived_wal=None, last_archived_at=None))), Result.CANNOT_TELL),
        ("wal-archive-failing", h.with_server(wal=h.wal(ready=9, archiver=h.archiver(
            last_archived_wal="000000010000000000000050", last_archived_at=h.NOW - timedelta(seconds=9)))),
            Result.PASS),
        ("wal-archive-off", h.with_server(settings=h.settings(archive_mode="off"), receivers=(
            h.standby(application="barman", replay_lag_bytes=None),)), Result.PASS),
        ("wal-archive-off", h.with_server(identity=STANDBY), Result.NOT_APPLICABLE),
        ("wal-archive-on-host", h.with_settings(archive_command="cp %p /mnt/nas/%f"), Result.PASS),
        ("wal-archive-on-host", h.with_server(settings=h.settings(archive_command="cp %p /x/%f"),
                                              host=Unknown("elsewhere")), Result.CANNOT_TELL),
        ("wal-archive-command-lies", h.with_settings(archive_command="/opt/archive.sh %p"), Result.CANNOT_TELL),
        ("wal-slot-without-cap", h.with_server(slots=()), Result.NOT_APPLICABLE),
        ("wal-slot-without-cap", h.with_settings(max_slot_wal_keep_size="-1",
                                                 idle_replication_slot_timeout="3600"), Result.PASS),
        ("wal-slot-abandoned", h.with_server(slots=(h.slot(is_active=False, retained_bytes=1000),)), Result.PASS),
        ("wal-slot-abandoned", h.with_server(slots=(h.slot(is_active=False, retained_bytes=100,
                                                           inactive_since=h.NOW - 90 * DAY),)), Result.PASS),
        ("standby-none", h.cluster(primary=h.server(receivers=())), Result.PASS),
        ("standby-not-following", h.cluster(), Result.NOT_APPLICABLE),
        ("server-prepared-left-open", prepared(timedelta(minutes=14)), Result.PASS),
        ("server-summaries-off", h.with_server(identity=h.identity(version_num=160004),
                                               settings=h.settings(summarize_wal="off")), Result.NOT_APPLICABLE),
        ("server-checksum-failures", h.with_server(settings=h.settings(data_checksums="off"),
                                                   checksum_failures=()), Result.NOT_APPLICABLE),
        ("server-database-unusable", h.with_server(visits=(h.visit(report=DatabaseReport(
            "shop", refusal="no pg_hba.conf entry")),)), Result.CANNOT_TELL),
        ("server-damage-hidden", h.with_server(settings=h.settings(without=("zero_damaged_pages",))),
         Result.CANNOT_TELL),
        ("access-host-can-delete", repositories(lock=ObjectLock(LockState.UNKNOWN, "boto3 is missing", "pip")),
         Result.CANNOT_TELL),
        ("backup-bucket-lifecycle", repositories(lock=h.locked()._replace(expiring=None)), Result.CANNOT_TELL),
        ("backup-none", h.cluster({"near": Unknown("gone"), "far": h.repository(backups=())}), Result.CANNOT_TELL),
        ("restore-never-tested", h.cluster(restore_drill=NO_LEDGER), Result.CANNOT_TELL),
        ("objective-unattainable", h.service(h.cluster(primary=Unknown("down"), plan=h.plan(
            ("archive_timeout: 1m", "archive_timeout: 10m")))), Result.CANNOT_TELL),
    ],
)  # fmt: skip
def test_the_border_of_a_rule(rule_id: str, facts: ClusterFacts | ServiceFacts, expected: Result) -> None:
    assert expected in results(rule_id, facts), verdicts(rule_id, facts)
    assert Result.FAIL not in results(rule_id, facts)


@pytest.mark.parametrize(
    ("rule_id", "facts", "severity"),
    [
        ("server-wraparound-near", h.with_server(freeze_ages=(FreezeAge("a", 1_499_999_999, 0),)), Severity.HIGH),
        ("server-wraparound-near", h.with_server(freeze_ages=(FreezeAge("a", 1_500_000_000, 0),)), Severity.CRITICAL),
        ("server-prepared-left-open", prepared(2 * DAY), Severity.HIGH),
        ("wal-slot-abandoned", h.with_server(slots=(h.slot(is_active=False, retained_bytes=1 << 30),)), Severity.HIGH),
        ("standby-none", h.stranger(receivers=()), Severity.MEDIUM),
        ("standby-none", h.cluster(primary=h.server(receivers=()), plan=h.plan(("rpo: 5m", "rpo: 5s"))), Severity.HIGH),
        ("wal-archive-timeout", h.with_settings(archive_timeout="0"), Severity.MEDIUM),
        ("wal-archive-timeout", h.with_server(settings=h.settings(archive_timeout="0"), receivers=()), Severity.HIGH),
    ],
)  # fmt: skip
def test_how_bad_it_is_depends_on_how_far_it_has_come(
    rule_id: str, facts: ClusterFacts, severity: Severity
) -> None:
    (failure,) = [finding for finding in verdicts(rule_id, facts) if finding.is_failure]
    assert failure.severity is severity


@pytest.mark.parametrize("kind", [OwnerKind.RDS, OwnerKind.MANAGED_CLOUD])
def test_what_a_provider_does_is_not_asked_of_its_customer(kind: OwnerKind) -> None:
    """A server that its provider runs, with every setting that would be wrong on one's own."""
    wrong = h.settings(
        archive_mode="off", fsync="off", full_page_writes="off", data_checksums="off", wal_level="minimal"
    )
    facts = h.stranger(
        owner=h.owner(kind, "Amazon RDS"), settings=wrong, receivers=(), host=Unknown("elsewhere")
    )
    findings = apply_rules(CLUSTER_RULES, facts)
    topics = {f.rule.id for f in findings if f.is_failure}
    assert not {t for t in topics if t.startswith("wal-archive")} and "server-fsync-off" not in topics
    assert "standby-none" not in topics and "server-data-in-memory" not in topics
    (backup,) = [f for f in findings if f.rule.id == "backup-none"]
    assert backup.verdict.result is Result.CANNOT_TELL and "aws rds" in backup.remedy


FIELDS = [
    item.name for item in dataclasses.fields(h.server()) if item.name not in ("identity", "owner", "settings")
]


PARTS = [
    *(f"primary.{name}" for name in FIELDS),
    *(f"settings.{name}" for name in h.SETTINGS),
    *("plan", "restore_drill", "primary", "repositories", "standbys", "archived", "gaps"),
]
"""Everything of a cluster that may be unknown."""

JUDGED_OTHERWISE_WITHOUT_A_PLAN = {"wal-archive-timeout", "standby-lag", "standby-none", "restore-test-old"}
"""They compare with what the plan wants where there is one, and with a figure of their own where there is none."""


@pytest.mark.parametrize("part", PARTS)
def test_what_nobody_saw_makes_no_broken_rule_pass(part: str) -> None:
    """Every example that fails, with one part hidden: still a failure, or "cannot tell", and never fine."""
    for rule_id, facts in FAILS:
        blinded = hide(part, facts)
        rules: tuple[Rule[Any], ...] = CLUSTER_RULES if isinstance(facts, ClusterFacts) else SERVICE_RULES
        rule = [rule for rule in rules if rule.id == rule_id]
        before = [f.verdict.result for f in apply_rules(rule, facts)].count(Result.PASS)
        after = [f.verdict.result for f in apply_rules(rule, blinded)].count(Result.PASS)
        if part != "plan" or rule_id not in JUDGED_OTHERWISE_WITHOUT_A_PLAN:
            assert after <= before, (rule_id, part)


def hide(part: str, facts: ClusterFacts | ServiceFacts) -> ClusterFacts | ServiceFacts:
    """Return ``facts`` with one part unknown."""
    if isinstance(facts, ClusterFacts):
        return hide_in_cluster(part, facts)
    clusters = tuple(hide_in_cluster(part, item) for item in facts.clusters)
    plan = Unknown("no plan") if part == "plan" else facts.plan
    return dataclasses.replace(facts, plan=plan, clusters=clusters)


def hide_in_cluster(part: str, facts: ClusterFacts) -> ClusterFacts:
    head, _, name = part.partition(".")
    unseen: Any = Unknown(f"{part} unseen", "GRANT x")
    if head == "repositories":
        return dataclasses.replace(facts, repositories=dict.fromkeys(facts.repositories, unseen))
    if head in ("archived", "gaps"):
        states = {n: s if isinstance(s, Unknown) else dataclasses.replace(s, **{head: unseen})
                  for n, s in facts.repositories.items()}  # fmt: skip
        return dataclasses.replace(facts, repositories=states)
    if head == "standbys":
        return dataclasses.replace(facts, standbys=dict.fromkeys(facts.standbys, unseen))
    if not name:
        return dataclasses.replace(facts, **{head: unseen})
    if isinstance(facts.primary, Unknown):
        return facts
    if head == "primary":
        return dataclasses.replace(facts, primary=dataclasses.replace(facts.primary, **{name: unseen}))
    settings = facts.primary.settings
    values = {key: value for key, value in settings.values.items() if key != name}
    hidden = dataclasses.replace(settings, values=values, reads_all=False)
    return dataclasses.replace(facts, primary=dataclasses.replace(facts.primary, settings=hidden))


@pytest.mark.parametrize("part", PARTS)
def test_what_nobody_saw_is_no_failure(part: str) -> None:
    """No rule crashes, and none fails for want of a sight, but those that are about just that."""
    facts = hide_in_cluster(part, h.cluster())
    findings = apply_rules(CLUSTER_RULES, facts) + apply_rules(SERVICE_RULES, h.service(facts))
    failures = {f.rule.id for f in findings if f.is_failure}
    about = {"primary": {"server-unreachable"}, "repositories": {"backup-repository-unusable"}}
    about |= {"standbys": {"standby-unreachable"}}
    assert failures <= about.get(part, set())


def test_where_nothing_is_known_nothing_passes() -> None:
    everything = {name: Unknown(f"{name} unseen", "x") for name in FIELDS}
    blind = h.settings()
    blind = dataclasses.replace(blind, values={}, reads_all=False)
    facts = ClusterFacts("db", h.NOW, h.server(settings=blind, **everything), NO_PLAN)
    findings = apply_rules(CLUSTER_RULES, facts) + apply_rules(SERVICE_RULES, h.service(facts))
    assert {
        (f.rule.id, f.verdict.text) for f in findings if f.verdict.result in (Result.PASS, Result.FAIL)
    } == {
        ("server-unreachable", "the server answers"),
        ("wal-settings-wait-for-restart", "no setting of the archive waits for a restart"),
    }


def test_hundreds_of_closed_databases_are_one_verdict() -> None:
    visits = tuple(
        h.visit(f"db{n}", report=DatabaseReport(f"db{n}", refusal="no entry"), invalid_indexes=Unknown("no entry"),
                unlogged=Unknown("no entry")) for n in range(300)
    )  # fmt: skip
    for rule_id in ("server-database-unusable", "server-invalid-indexes", "server-unlogged-tables"):
        (found,) = verdicts(rule_id, h.with_server(visits=visits))
        assert found.verdict.result is Result.CANNOT_TELL
        assert found.verdict.text.startswith("300 database(s)") and len(found.verdict.evidence) == 11


def test_rules_are_complete_and_their_ids_unique() -> None:
    rules = every_rule()
    assert len({rule.id for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.id.replace("-", "").isalnum() and rule.id == rule.id.lower()
        assert rule.title and rule.why.endswith(".") and rule.remedy
        assert rule.story.text and rule.story.source.startswith("https://")
