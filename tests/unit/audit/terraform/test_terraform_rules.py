"""Every rule over a stack that breaks it and one that keeps it; and none says more than the file shows."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from seawall.audit.rule import Finding, Result, Severity, apply_rules
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.rulebook import TERRAFORM_RULES, describe
from tests.support.terraform import Ref, TerraformModule, plan, shown, state, tfstate
from tests.unit.audit.terraform.stacks import (
    OBJECTIVES,
    PRIMARY,
    PROVIDERS,
    REPLICA,
    Break,
    broken,
    drop,
    facts,
    failures,
    move,
    put,
    read,
    results,
    sound_plan,
    tutorial_plan,
    verdicts,
)

EXAMPLES = Path(__file__).resolve().parents[3] / "golden" / "terraform" / "examples.txt"
BACKUPS = "aws_db_instance_automated_backups_replication.primary"
SECOND = "aws_rds_cluster.second"
ONLY_DATABASE: tuple[Break, ...] = (drop(BACKUPS), drop("aws_backup_plan.daily"))


def without_replica(module: TerraformModule) -> None:
    del module.resources[REPLICA]


def group(name: str, value: str) -> Break:
    """Set max_connections of a parameter group."""
    parameter = [{"name": "max_connections", "value": value}]
    return put(f"aws_db_parameter_group.{name}", parameter=parameter)


def vault_in_own_region(module: TerraformModule) -> None:
    del module.providers["aws_backup_vault.dr"]


FAILS: list[tuple[str, str, tuple[Break, ...]]] = [
    ("tf-no-copy-elsewhere", PRIMARY, (*ONLY_DATABASE, without_replica)),
    ("tf-no-copy-elsewhere", PRIMARY, (*ONLY_DATABASE, move(REPLICA, "aws"))),
    ("tf-no-copy-elsewhere", PRIMARY, (without_replica, move(BACKUPS, "aws"), vault_in_own_region)),
    ("tf-no-copy-elsewhere", "aws_rds_cluster.first", (drop("aws_backup_plan.daily"), drop(SECOND))),
    ("tf-backups-not-replicated", PRIMARY, ONLY_DATABASE),
    ("tf-backup-copy-useless", BACKUPS, (move(BACKUPS, "aws"),)),
    ("tf-backup-copy-useless", BACKUPS, (drop(BACKUPS, "kms_key_id"),)),
    ("tf-backup-copy-useless", BACKUPS, (put(BACKUPS, source_db_instance_arn=Ref("aws_rds_cluster.first.arn")),)),
    ("tf-backup-copy-useless", "aws_backup_plan.daily", (vault_in_own_region,)),
    ("tf-rpo-out-of-reach", PRIMARY, (without_replica, drop(BACKUPS))),
    ("tf-rpo-out-of-reach", PRIMARY, (*ONLY_DATABASE, without_replica)),
    ("tf-bucket-replication", "aws_s3_bucket_replication_configuration.dumps", (move("aws_s3_bucket.copy", "aws"),)),
    ("tf-bucket-replication", "aws_s3_bucket_replication_configuration.dumps",
     (drop("aws_s3_bucket_versioning.copy"),)),
    ("tf-replica-same-region", REPLICA, (move(REPLICA, "aws"),)),
    ("tf-replica-source-not-arn", REPLICA, (put(REPLICA, replicate_source_db=Ref(f"{PRIMARY}.identifier", "shop")),)),
    ("tf-replica-source-not-arn", REPLICA, (put(REPLICA, replicate_source_db=Ref(f"{PRIMARY}.id")),)),
    ("tf-replica-source-not-arn", REPLICA, (put(REPLICA, replicate_source_db="shop"),)),
    ("tf-replica-identifier", REPLICA, (drop(REPLICA, "identifier"),)),
    ("tf-replica-identifier", REPLICA, (drop(REPLICA, "identifier"), put(REPLICA, identifier_prefix="shop-"))),
    ("tf-replica-identifier", REPLICA, (put(REPLICA, identifier="shop"),)),
    ("tf-zone-outside-region", REPLICA, (put(REPLICA, availability_zone="eu-west-1b"),)),
    ("tf-zone-outside-region", SECOND, (put(SECOND, availability_zones=["eu-central-1a", "eu-west-1a"]),)),
    ("tf-zone-outside-region", "aws_subnet.dr", (put("aws_subnet.dr", availability_zone="nowhere"),)),
    ("tf-zone-with-multi-az", REPLICA, (put(REPLICA, availability_zone="eu-central-1a"),)),
    ("tf-replica-kms-key", REPLICA, (drop(REPLICA, "kms_key_id"), put(REPLICA, storage_encrypted=True))),
    ("tf-replica-kms-key", REPLICA, (drop(PRIMARY, "storage_encrypted"),)),
    ("tf-replica-subnet-group", REPLICA, (drop(REPLICA, "db_subnet_group_name"),)),
    ("tf-replica-subnet-group", REPLICA, (put(REPLICA, db_subnet_group_name="default"),)),
    ("tf-reference-other-region", REPLICA, (put(REPLICA, kms_key_id=Ref("aws_kms_key.db.arn")),)),
    ("tf-reference-other-region", REPLICA,
     (put(REPLICA, kms_key_id="arn:aws:kms:eu-west-1:123456789012:key/0f"),)),
    ("tf-reference-other-region", REPLICA, (put(REPLICA, vpc_security_group_ids=[Ref("aws_security_group.main.id")]),)),
    ("tf-reference-other-region", "aws_db_subnet_group.dr",
     (put("aws_db_subnet_group.dr", subnet_ids=[Ref("aws_subnet.dr.id"), Ref("aws_subnet.main.id")]),)),
    ("tf-replica-sets-inherited", REPLICA, (put(REPLICA, db_name="shop", username="shop"),)),
    ("tf-replica-sets-inherited", REPLICA, (put(REPLICA, manage_master_user_password=True),)),
    ("tf-replica-sets-inherited", REPLICA, (drop(REPLICA, "skip_final_snapshot"),)),
    ("tf-replica-smaller", REPLICA, (put(REPLICA, instance_class="db.r6g.medium"),)),
    ("tf-replica-smaller", REPLICA, (put(REPLICA, instance_class="db.t4g.xlarge"),)),
    ("tf-replica-smaller", REPLICA, (put(REPLICA, allocated_storage=50),)),
    ("tf-replica-smaller", REPLICA, (put(REPLICA, iops=1000), put(PRIMARY, iops=3000))),
    ("tf-replica-version", REPLICA, (put(REPLICA, engine_version="16.3"),)),
    ("tf-replica-version", REPLICA, (put(REPLICA, engine_version="17.1"),)),
    ("tf-replica-parameter-group", REPLICA, (drop(REPLICA, "parameter_group_name"),)),
    ("tf-replica-parameter-group", REPLICA, (put(REPLICA, parameter_group_name="default.postgres16"),)),
    ("tf-replica-fewer-connections", REPLICA, (group("dr", "400"),)),
    ("tf-replica-fewer-connections", REPLICA, (group("main", "4000"), drop(REPLICA, "parameter_group_name"))),
    ("tf-replica-single-zone", REPLICA, (drop(REPLICA, "multi_az"),)),
    ("tf-replica-without-backups", REPLICA, (drop(REPLICA, "backup_retention_period"),)),
    ("tf-replica-access-differs", REPLICA, (drop(REPLICA, "iam_database_authentication_enabled"),)),
    ("tf-replica-access-differs", REPLICA, (put(REPLICA, ca_cert_identifier="rds-ca-2019"),)),
    ("tf-replica-access-differs", REPLICA, (put(REPLICA, port=5433), put(PRIMARY, port=5432))),
    ("tf-global-cluster-one-region", "aws_rds_global_cluster.main", (move(SECOND, "aws"),)),
    ("tf-global-cluster-headless", SECOND, (drop("aws_rds_cluster_instance.second"),)),
    ("tf-global-cluster-key", SECOND, (drop(SECOND, "kms_key_id"),)),
    ("tf-backups-off", PRIMARY, (drop(PRIMARY, "backup_retention_period"),)),
    ("tf-backups-off", PRIMARY, (put(PRIMARY, backup_retention_period=0),)),
    ("tf-no-deletion-protection", PRIMARY, (drop(PRIMARY, "deletion_protection"),)),
    ("tf-no-deletion-protection", SECOND, (put(SECOND, deletion_protection=False),)),
    ("tf-public", REPLICA, (put(REPLICA, publicly_accessible=True),)),
    ("tf-public", "aws_rds_cluster_instance.second",
     (put("aws_rds_cluster_instance.second", publicly_accessible=True),)),
    ("tf-plaintext-password", PRIMARY, (put(PRIMARY, password="hunter2-plain"),)),
    ("tf-plaintext-password", PRIMARY, (put(PRIMARY, password=Ref("random_password.db.result")),)),
    ("tf-plaintext-password", "aws_rds_cluster.first",
     (put("aws_rds_cluster.first", master_password="hunter2-plain"),)),
    ("tf-state-same-region", "data.terraform_remote_state.network",
     (put("data.terraform_remote_state.network", backend="s3", config={"bucket": "states", "region": "eu-west-1"}),)),
    ("tf-secret-not-replicated", "aws_secretsmanager_secret.db", (drop("aws_secretsmanager_secret.db", "replica"),)),
    ("tf-secret-not-replicated", "aws_secretsmanager_secret.db",
     (put("aws_secretsmanager_secret.db", replica=[{"region": "eu-west-1"}]),)),
    ("tf-secret-not-replicated", PRIMARY, (put(PRIMARY, manage_master_user_password=True),)),
    ("tf-key-not-replicated", "aws_kms_key.db", (drop("aws_kms_replica_key.db"), move("aws_kms_key.dr", "aws"))),
    ("tf-no-lag-alarm", REPLICA, (drop("aws_cloudwatch_metric_alarm.lag"),)),
    ("tf-no-lag-alarm", REPLICA, (put("aws_cloudwatch_metric_alarm.lag", metric_name="CPUUtilization"),)),
    ("tf-no-lag-alarm", REPLICA, (put("aws_cloudwatch_metric_alarm.lag", alarm_actions=[]),)),
    ("tf-no-lag-alarm", REPLICA, (put("aws_cloudwatch_metric_alarm.lag", threshold=301),)),
    ("tf-no-slot-alarm", PRIMARY, (drop("aws_cloudwatch_metric_alarm.slot"),)),
    ("tf-no-failover-record", "", (drop("aws_route53_record.primary"), drop("aws_route53_record.secondary"))),
    ("tf-no-failover-record", "aws_route53_record.primary",
     (drop("aws_route53_record.secondary"), drop("aws_route53_record.primary", "failover_routing_policy"))),
    ("tf-failover-without-health-check", "aws_route53_record.primary",
     (drop("aws_route53_record.primary", "health_check_id"),)),
    ("tf-dns-ttl", "aws_route53_record.secondary", (put("aws_route53_record.secondary", ttl=181),)),
]  # fmt: skip
"""A rule, the subject that fails, and the changes of the sound stack that make it fail."""

FAILS_BY_CHANGES = {"tf-database-destroyed", "tf-replica-promoted"}
"""Those about what a plan changes; their examples are further down."""
CANNOT_PASS = {"tf-replica-promoted", "tf-state-same-region"}
"""In the sound stack no replica exists yet; where the state lies is in no plan."""


def said(rule_id: str, subject: str, found: TerraformFacts) -> Finding:
    about = [finding for finding in verdicts(rule_id, found) if finding.verdict.subject == subject]
    return min(about, key=lambda finding: finding.verdict.result is not Result.FAIL)


@pytest.mark.parametrize(("rule_id", "subject", "breaks"), FAILS, ids=[rule_id for rule_id, _, _ in FAILS])
def test_what_is_wrong_is_found_where_it_is_with_a_block_that_corrects_it(
    rule_id: str, subject: str, breaks: tuple[Break, ...]
) -> None:
    finding = said(rule_id, subject, broken(*breaks))
    assert finding.verdict.result is Result.FAIL
    assert (finding.verdict.evidence and finding.verdict.remedy) or rule_id == "tf-state-same-region"
    assert finding.remedy.count("{") == finding.remedy.count("}")


def test_the_words_and_blocks_of_every_example_are_recorded() -> None:
    """As in the golden files: what is said, what was found, and the block, so that none changes unseen."""
    said_of = [said(rule_id, subject, broken(*breaks)) for rule_id, subject, breaks in FAILS]
    text = "\n".join(line for finding in said_of for line in _recorded(finding)) + "\n"
    if os.environ.get("SEAWALL_WRITE_GOLDEN"):
        EXAMPLES.write_text(text)
    assert text == EXAMPLES.read_text()


def _recorded(finding: Finding) -> list[str]:
    verdict = finding.verdict
    lines = [f"{finding.severity.value} {finding.rule.id} [{verdict.subject}]: {verdict.text}"]
    return [
        *lines,
        *(f"    {line}" for line in verdict.evidence),
        *(f"    → {line}" for line in finding.remedy.splitlines()),
    ]


def test_every_rule_is_broken_by_some_example() -> None:
    assert {rule.id for rule in TERRAFORM_RULES} == {rule_id for rule_id, _, _ in FAILS} | FAILS_BY_CHANGES


def test_a_stack_in_order_has_no_failure_and_keeps_every_rule() -> None:
    findings = apply_rules(TERRAFORM_RULES, broken())
    assert failures(broken()) == []
    passes = {finding.rule.id for finding in findings if finding.verdict.result is Result.PASS}
    assert {rule.id for rule in TERRAFORM_RULES} - passes == CANNOT_PASS


def test_a_file_without_databases_has_nothing_to_say() -> None:
    for document in (plan(TerraformModule(), PROVIDERS), state(), tfstate()):
        findings = apply_rules(TERRAFORM_RULES, facts(document))
        assert {finding.rule.id for finding in findings} == {rule.id for rule in TERRAFORM_RULES}
        told = {f.rule.id for f in findings if f.verdict.result is not Result.NOT_APPLICABLE}
        assert told <= {"tf-state-same-region", "tf-database-destroyed"}


def test_databases_of_other_engines_are_left_out_and_counted() -> None:
    module = TerraformModule(
        {
            "aws_db_instance.mysql": {"engine": "mysql", "identifier": "m", "instance_class": "db.t3.micro"},
            "aws_db_instance.copy": {"replicate_source_db": Ref("aws_db_instance.mysql.identifier", "m")},
        }
    )
    found = facts(plan(module, PROVIDERS))
    assert failures(found) == []
    assert "2 databases of other engines left out" in describe(found)


def test_the_classic_mistake_gets_each_finding_it_deserves() -> None:
    replica = "aws_db_instance.cross_region_replica"
    found = facts(tutorial_plan())
    wrong = failures(found)
    assert {rule for rule, subject in wrong if subject == replica} == {
        "tf-replica-same-region",
        "tf-replica-source-not-arn",
        "tf-zone-outside-region",
        "tf-replica-kms-key",
        "tf-replica-subnet-group",
        "tf-replica-smaller",
        "tf-replica-fewer-connections",
        "tf-replica-single-zone",
        "tf-replica-without-backups",
        "tf-no-deletion-protection",
        "tf-no-lag-alarm",
    }
    assert {rule for rule, subject in wrong if subject == PRIMARY} == {
        "tf-no-copy-elsewhere",
        "tf-backups-not-replicated",
        "tf-rpo-out-of-reach",
        "tf-backups-off",
        "tf-no-deletion-protection",
        "tf-plaintext-password",
    }
    moved = said("tf-replica-same-region", replica, found)
    assert moved.severity is Severity.CRITICAL
    assert moved.remedy == (
        'provider "aws" {\n  alias  = "dr"\n  region = "eu-central-1"\n}\n'
        'resource "aws_kms_key" "dr" {\n  provider    = aws.dr\n  description = "database copies"\n}\n'
        'resource "aws_db_subnet_group" "dr" {\n  provider   = aws.dr\n  name       = "db-dr"\n'
        "  subnet_ids = var.dr_subnet_ids  # private, in two zones\n}\n"
        'resource "aws_db_instance" "cross_region_replica" {\n'
        "  provider             = aws.dr\n"
        '  identifier           = "shop-replica-eu-central-1"\n'
        "  replicate_source_db  = aws_db_instance.primary.arn\n"
        "  kms_key_id           = aws_kms_key.dr.arn\n"
        "  db_subnet_group_name = aws_db_subnet_group.dr.name\n"
        '  availability_zone    = "eu-central-1a"  # or leave it out\n}'
    )
    zone = said("tf-zone-outside-region", replica, found)
    assert "provider          = aws.dr" in zone.remedy and '"eu-central-1a"' in zone.remedy


def test_a_remedy_uses_what_the_file_has() -> None:
    same = said("tf-replica-same-region", REPLICA, broken(move(REPLICA, "aws")))
    assert 'provider "aws"' not in same.remedy
    for name in (
        "aws.dr",
        "aws_db_instance.primary.arn",
        "aws_kms_key.dr.arn",
        "aws_db_subnet_group.dr.name",
    ):
        assert f"= {name}" in same.remedy


@pytest.mark.parametrize(
    ("rule_id", "subject", "breaks", "expected"),
    [
        # a replica for reads in its own region, beside one elsewhere
        ("tf-replica-same-region", "aws_db_instance.reads",
         (put("aws_db_instance.reads", identifier="reads", replicate_source_db=Ref(f"{PRIMARY}.identifier", "shop"),
              instance_class="db.r6g.large"),), Result.PASS),
        ("tf-replica-source-not-arn", "aws_db_instance.reads",
         (put("aws_db_instance.reads", identifier="reads", replicate_source_db=Ref(f"{PRIMARY}.identifier", "shop"),
              instance_class="db.r6g.large"),), Result.PASS),
        ("tf-replica-source-not-arn", REPLICA,
         (put(REPLICA, replicate_source_db=Ref("local.source")),), Result.CANNOT_TELL),
        ("tf-replica-same-region", REPLICA,
         (put(REPLICA, replicate_source_db=Ref("local.source")),), Result.CANNOT_TELL),
        ("tf-replica-same-region", REPLICA,
         (put(REPLICA, replicate_source_db="arn:aws:rds:eu-west-1:1:db:elsewhere"),), Result.PASS),
        ("tf-replica-kms-key", REPLICA, (drop(PRIMARY, "storage_encrypted"), drop(REPLICA, "kms_key_id")), Result.PASS),
        ("tf-replica-identifier", REPLICA, (put(REPLICA, identifier=Ref("local.name")),), Result.CANNOT_TELL),
        ("tf-zone-outside-region", REPLICA, (put(REPLICA, availability_zone="eu-central-1-ham-1a"),), Result.PASS),
        ("tf-replica-smaller", REPLICA, (put(REPLICA, instance_class="db.r7g.xlarge"),), Result.PASS),
        ("tf-replica-smaller", REPLICA, (put(REPLICA, instance_class="db.serverless"),), Result.CANNOT_TELL),
        ("tf-replica-version", REPLICA, (put(REPLICA, engine_version="16.6"),), Result.PASS),
        ("tf-replica-version", REPLICA, (put(REPLICA, engine_version="16"),), Result.PASS),
        ("tf-replica-fewer-connections", REPLICA, (put(REPLICA, parameter_group_name="other"),), Result.CANNOT_TELL),
        ("tf-replica-parameter-group", REPLICA,
         (drop(PRIMARY, "parameter_group_name"), drop(REPLICA, "parameter_group_name")), Result.PASS),
        ("tf-backups-off", PRIMARY,
         (drop(PRIMARY, "backup_retention_period"), put(PRIMARY, snapshot_identifier="s")), Result.CANNOT_TELL),
        ("tf-backups-off", PRIMARY, (put(PRIMARY, backup_retention_period=Ref("local.days")),), Result.CANNOT_TELL),
        ("tf-plaintext-password", PRIMARY, (put(PRIMARY, password=None),), Result.PASS),
        ("tf-dns-ttl", "aws_route53_record.secondary", (put("aws_route53_record.secondary", ttl=180),), Result.PASS),
        ("tf-failover-without-health-check", "aws_route53_record.primary",
         (drop("aws_route53_record.primary", "health_check_id"),
          put("aws_route53_record.primary", alias=[{"evaluate_target_health": True}])), Result.PASS),
        ("tf-no-lag-alarm", REPLICA, (put("aws_cloudwatch_metric_alarm.lag", threshold=300),), Result.PASS),
        ("tf-no-lag-alarm", REPLICA, (put("aws_cloudwatch_metric_alarm.lag", metric_name=None, metric_query=[
            {"id": "a", "metric": [{"metric_name": "ReplicaLag"}]}]),), Result.PASS),
        ("tf-rpo-out-of-reach", PRIMARY, (without_replica,), Result.PASS),
        ("tf-key-not-replicated", "aws_kms_key.db", (drop("aws_kms_replica_key.db"),), Result.PASS),
    ],
)  # fmt: skip
def test_the_border_of_a_rule(
    rule_id: str, subject: str, breaks: tuple[Break, ...], expected: Result
) -> None:
    assert said(rule_id, subject, broken(*breaks)).verdict.result is expected


@pytest.mark.parametrize(
    ("rule_id", "subject", "breaks", "severity"),
    [
        ("tf-replica-same-region", REPLICA, (*ONLY_DATABASE, move(REPLICA, "aws")), Severity.CRITICAL),
        ("tf-replica-identifier", REPLICA, (put(REPLICA, identifier="shop"),), Severity.MEDIUM),
        ("tf-replica-identifier", REPLICA, (put(REPLICA, identifier="shop"), move(REPLICA, "aws")), Severity.HIGH),
        ("tf-replica-identifier", REPLICA,
         (drop(REPLICA, "identifier"), put(REPLICA, identifier_prefix="shop-")), Severity.LOW),
        ("tf-replica-version", REPLICA, (put(REPLICA, engine_version="17.1"),), Severity.HIGH),
        ("tf-replica-single-zone", REPLICA, (drop(REPLICA, "multi_az"), drop(PRIMARY, "multi_az")), Severity.LOW),
        ("tf-no-deletion-protection", REPLICA, (drop(REPLICA, "deletion_protection"),), Severity.MEDIUM),
        ("tf-plaintext-password", PRIMARY, (put(PRIMARY, password=Ref("random_password.db.result")),), Severity.MEDIUM),
    ],
)  # fmt: skip
def test_how_bad_it_is_depends_on_what_else_there_is(
    rule_id: str, subject: str, breaks: tuple[Break, ...], severity: Severity
) -> None:
    assert said(rule_id, subject, broken(*breaks)).severity is severity


HIDDEN_REGION = {"aws": "eu-west-1", "aws.dr": Ref("local.dr_region")}


@pytest.mark.parametrize(
    ("rule_id", "subject", "breaks", "expected"),
    [
        ("tf-replica-source-not-arn", REPLICA,
         (put(REPLICA, replicate_source_db=Ref(f"{PRIMARY}.identifier", "shop")),), Result.CANNOT_TELL),
        ("tf-replica-source-not-arn", REPLICA, (), Result.PASS),
        ("tf-replica-source-not-arn", REPLICA,
         (put(REPLICA, replicate_source_db=Ref(f"{PRIMARY}.identifier", "shop"), identifier="shop-dr"),), Result.FAIL),
        ("tf-no-copy-elsewhere", PRIMARY, (), Result.CANNOT_TELL),
        ("tf-backups-not-replicated", PRIMARY, (), Result.CANNOT_TELL),
        ("tf-backup-copy-useless", BACKUPS, (), Result.CANNOT_TELL),
        ("tf-global-cluster-one-region", "aws_rds_global_cluster.main", (), Result.CANNOT_TELL),
        ("tf-reference-other-region", REPLICA, (), Result.CANNOT_TELL),
        ("tf-zone-outside-region", "aws_subnet.dr", (), Result.CANNOT_TELL),
        ("tf-replica-single-zone", REPLICA, (), Result.CANNOT_TELL),
        ("tf-no-lag-alarm", REPLICA, (), Result.PASS),
    ],
)  # fmt: skip
def test_where_a_local_hides_the_region_nothing_is_guessed(
    rule_id: str, subject: str, breaks: tuple[Break, ...], expected: Result
) -> None:
    finding = said(rule_id, subject, broken(*breaks, providers=HIDDEN_REGION))
    assert finding.verdict.result is expected
    if expected is Result.CANNOT_TELL:
        assert "local.dr_region" in finding.verdict.text or rule_id == "tf-zone-outside-region"
        assert finding.remedy


def test_a_copy_whose_source_is_hidden_may_be_one() -> None:
    hidden = put(BACKUPS, source_db_instance_arn=Ref("local.arn"))
    for breaks in ((without_replica, hidden, drop("aws_backup_plan.daily")),
                   (put(REPLICA, replicate_source_db=Ref("local.arn")), *ONLY_DATABASE)):  # fmt: skip
        finding = said("tf-no-copy-elsewhere", PRIMARY, broken(*breaks))
        assert finding.verdict.result is Result.CANNOT_TELL and "local.arn" in finding.verdict.text


SELECTION = "aws_backup_selection.daily"


@pytest.mark.parametrize(
    ("breaks", "expected"),
    [
        ((), Result.PASS),
        ((put(SELECTION, resources=["*"]),), Result.PASS),
        ((put(SELECTION, resources=["arn:aws:rds:*:*:db:*"]),), Result.PASS),
        ((put(SELECTION, resources=["arn:aws:ec2:*:*:volume/*"]),), Result.FAIL),
        ((put(SELECTION, resources=[Ref("aws_rds_cluster.first.arn")]),), Result.FAIL),
        ((put(SELECTION, resources=[Ref("local.arns")]),), Result.CANNOT_TELL),
        (
            (put(SELECTION, resources=[], selection_tag=[{"key": "backup", "value": "yes"}]),),
            Result.CANNOT_TELL,
        ),
        ((drop(SELECTION),), Result.CANNOT_TELL),
    ],
)
def test_a_backup_plan_counts_for_what_it_selects(breaks: tuple[Break, ...], expected: Result) -> None:
    found = broken(drop(BACKUPS), *breaks)
    assert said("tf-backups-not-replicated", PRIMARY, found).verdict.result is expected


def test_an_alarm_may_name_its_replica_in_a_metric_query() -> None:
    lag = "aws_cloudwatch_metric_alarm.lag"
    query = {
        "metric_name": "ReplicaLag",
        "dimensions": {"DBInstanceIdentifier": Ref(f"{REPLICA}.identifier")},
    }
    found = broken(
        drop(lag, "metric_name", "dimensions"), put(lag, metric_query=[{"id": "a", "metric": [query]}])
    )
    assert said("tf-no-lag-alarm", REPLICA, found).verdict.result is Result.PASS
    other = {**query, "dimensions": {"DBInstanceIdentifier": Ref(f"{PRIMARY}.identifier")}}
    found = broken(
        drop(lag, "metric_name", "dimensions"), put(lag, metric_query=[{"id": "a", "metric": [other]}])
    )
    assert said("tf-no-lag-alarm", REPLICA, found).verdict.result is Result.FAIL


def test_a_source_that_is_not_in_the_file_is_named() -> None:
    finding = said("tf-replica-same-region", REPLICA, broken(put(REPLICA, replicate_source_db="elsewhere")))
    assert finding.verdict.result is Result.CANNOT_TELL
    assert finding.verdict.text == "aws_db_instance.replica replicates elsewhere, which is not in this file"


def change_of(key: str, **change: Any) -> dict[str, Any]:
    kind, name = key.split(".")
    return {"address": key, "mode": "managed", "type": kind, "name": name, "change": change}


def destroyed(*items: dict[str, Any], **changes: dict[str, Any]) -> TerraformFacts:
    document = sound_plan(changes={f"aws_db_instance.{name}": change for name, change in changes.items()})
    document["resource_changes"] += items
    return facts(document)


def test_what_a_plan_destroys_is_named_with_what_goes_along() -> None:
    before = {
        "identifier": "old",
        "skip_final_snapshot": True,
        "delete_automated_backups": True,
        "password": "hunter2",
    }
    found = destroyed(change_of("aws_db_instance.old", actions=["delete"], before=before, after=None),
                      change_of("aws_kms_key.old", actions=["delete"], before={}, after=None),
                      change_of("aws_s3_bucket.logs", actions=["delete"], before={}, after=None))  # fmt: skip
    wrong = [finding for finding in verdicts("tf-database-destroyed", found) if finding.is_failure]
    assert [(f.verdict.subject, f.severity) for f in wrong] == [
        ("aws_db_instance.old", Severity.CRITICAL),
        ("aws_kms_key.old", Severity.HIGH),
    ]
    assert wrong[0].verdict.evidence == (
        "actions: delete",
        "skip_final_snapshot = true: no last snapshot is taken",
        "delete_automated_backups = true: its automated backups go with it",
    )
    assert "prevent_destroy = true" in wrong[0].remedy and "hunter2" not in repr(wrong)


def test_a_renamed_resource_is_told_how_to_move() -> None:
    found = destroyed(change_of("aws_rds_cluster.old", actions=["delete"], before={}, after=None))
    assert "moved {" not in said("tf-database-destroyed", "aws_rds_cluster.old", found).remedy
    module = TerraformModule({"aws_db_instance.new": {"engine": "postgres", "identifier": "shop"}})
    document = plan(module, PROVIDERS)
    document["resource_changes"].append(
        change_of("aws_db_instance.old", actions=["delete"], before={}, after=None)
    )
    remedy = said("tf-database-destroyed", "aws_db_instance.old", facts(document)).remedy
    assert "from = aws_db_instance.old\n  to   = aws_db_instance.new" in remedy


def test_a_replacement_says_which_argument_forces_it() -> None:
    found = destroyed(
        primary={
            "actions": ["delete", "create"],
            "before": {"identifier": "a"},
            "replace_paths": [["identifier"]],
        }
    )
    finding = said("tf-database-destroyed", PRIMARY, found)
    assert finding.severity is Severity.CRITICAL and "replaced by a new, empty one" in finding.verdict.text
    assert "forced by identifier" in finding.verdict.evidence
    rebuilt = destroyed(replica={"actions": ["create", "delete"], "before": {"replicate_source_db": "arn:x"}})
    assert said("tf-database-destroyed", REPLICA, rebuilt).severity is Severity.HIGH


@pytest.mark.parametrize("actions", [["no-op"], ["update"], ["create"], ["forget"], ["read"]])
def test_what_stays_is_not_called_destroyed(actions: list[str]) -> None:
    found = destroyed(primary={"actions": actions, "before": {"identifier": "a"}})
    assert results("tf-database-destroyed", found) == {Result.PASS}


def test_a_replica_that_loses_its_source_is_a_silent_promotion() -> None:
    before, after = {"replicate_source_db": "arn:aws:rds:eu-west-1:1:db:shop"}, {"replicate_source_db": None}
    promoted = destroyed(
        replica={"actions": ["update"], "before": before, "after": after, "after_unknown": {}}
    )
    finding = said("tf-replica-promoted", REPLICA, promoted)
    assert finding.severity is Severity.CRITICAL
    assert finding.verdict.evidence == ("replicate_source_db: arn:aws:rds:eu-west-1:1:db:shop → null",)
    for unknown in ({"replicate_source_db": True}, {}):
        kept = destroyed(
            replica={"actions": ["update"], "before": before, "after": before, "after_unknown": unknown}
        )
        assert results("tf-replica-promoted", kept) == {Result.PASS}


def test_objectives_come_from_the_plan_and_are_unknown_without_one() -> None:
    stack = read(
        sound_plan(
            put("aws_route53_record.primary", ttl=61), put("aws_cloudwatch_metric_alarm.lag", threshold=9999)
        )
    )
    without = TerraformFacts(stack)
    assert results("tf-rpo-out-of-reach", without) == {Result.CANNOT_TELL}
    assert said("tf-dns-ttl", "aws_route53_record.primary", without).verdict.result is Result.FAIL
    assert said("tf-no-lag-alarm", REPLICA, without).verdict.result is Result.PASS
    with_plan = TerraformFacts(stack, OBJECTIVES)
    assert said("tf-dns-ttl", "aws_route53_record.primary", with_plan).verdict.result is Result.PASS
    assert said("tf-no-lag-alarm", REPLICA, with_plan).verdict.result is Result.FAIL


def test_a_state_is_judged_by_what_it_holds() -> None:
    primary: dict[str, Any] = {
        "identifier": "shop",
        "arn": "arn:aws:rds:eu-west-1:1:db:shop",
        "engine": "postgres",
        "password": "hunter2",
        "backup_retention_period": 0,
        "deletion_protection": True,
        "storage_encrypted": True,
        "multi_az": True,
        "instance_class": "db.r6g.large",
        "publicly_accessible": False,
    }
    replica = {
        **primary,
        "identifier": "copy",
        "arn": "arn:aws:rds:eu-central-1:1:db:copy",
        "password": None,
        "replicate_source_db": "arn:aws:rds:eu-west-1:1:db:shop",
        "db_subnet_group_name": "default",
        "kms_key_id": "arn:aws:kms:eu-west-1:1:key/0f",
        "skip_final_snapshot": True,
        "availability_zone": "eu-central-1a",
    }
    raw = tfstate(("aws_db_instance", "primary", primary), ("aws_db_instance", "replica", replica))
    listed = state(
        shown("aws_db_instance", "primary", **primary), shown("aws_db_instance", "replica", **replica)
    )
    for document in (raw, listed):
        found = facts(document)
        wrong = failures(found)
        for expected in [
            ("tf-backups-off", PRIMARY),
            ("tf-plaintext-password", PRIMARY),
            ("tf-replica-subnet-group", REPLICA),
            ("tf-reference-other-region", REPLICA),
            ("tf-replica-without-backups", REPLICA),
            ("tf-backups-not-replicated", PRIMARY),
        ]:
            assert expected in wrong
        assert ("tf-replica-same-region", REPLICA) not in wrong and (
            "tf-no-copy-elsewhere",
            PRIMARY,
        ) not in wrong
        assert ("tf-zone-with-multi-az", REPLICA) not in wrong
        assert "hunter2" not in repr(apply_rules(TERRAFORM_RULES, found))


def test_rules_are_complete_and_their_ids_unique() -> None:
    ids = [rule.id for rule in TERRAFORM_RULES]
    assert len(ids) == len(set(ids))
    for rule in TERRAFORM_RULES:
        assert re.fullmatch(r"tf(-[a-z0-9]+)+", rule.id)
        assert rule.title and not rule.title.endswith(".") and rule.why.endswith(".") and rule.remedy
        assert rule.story.text.endswith((".", '"')) and rule.story.source.startswith("https://")
