"""A sound stack, and ways to break it: a primary in eu-west-1 with everything that its recovery in another region
needs, written as a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seawall.audit.rule import Finding, Result, apply_rules
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.model import Stack
from seawall.audit.terraform.reading.reader import parse_terraform
from seawall.audit.terraform.rulebook import TERRAFORM_RULES
from seawall.plan.model import Objectives
from tests.support.terraform import Ref, TerraformModule, as_bytes, plan

PROVIDERS: dict[str, Any] = {"aws": "eu-west-1", "aws.dr": "eu-central-1"}
OBJECTIVES = Objectives(rto_s=900.0, rpo_s=300.0, detection_s=180.0)
PRIMARY, REPLICA = "aws_db_instance.primary", "aws_db_instance.replica"

Break = Callable[[TerraformModule], object]
"""A change of a module that is in order."""


def read(document: object) -> Stack:
    return parse_terraform(as_bytes(document), "plan.json")


def facts(document: object) -> TerraformFacts:
    return TerraformFacts(read(document), OBJECTIVES)


def verdicts(rule_id: str, found: TerraformFacts) -> list[Finding]:
    return apply_rules([rule for rule in TERRAFORM_RULES if rule.id == rule_id], found)


def results(rule_id: str, found: TerraformFacts) -> set[Result]:
    said = verdicts(rule_id, found)
    assert said, f"{rule_id} says nothing"
    return {finding.verdict.result for finding in said}


def failures(found: TerraformFacts) -> list[tuple[str, str]]:
    """Return rule and subject of everything that fails."""
    return [
        (finding.rule.id, finding.verdict.subject)
        for finding in apply_rules(TERRAFORM_RULES, found)
        if finding.verdict.result is Result.FAIL
    ]


def sound_plan(*breaks: Break, providers: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Return the plan of the sound stack after these changes."""
    module = sound()
    for change in breaks:
        change(module)
    return plan(module, providers or PROVIDERS, **options)


def broken(*breaks: Break, providers: dict[str, Any] | None = None, **options: Any) -> TerraformFacts:
    return facts(sound_plan(*breaks, providers=providers, **options))


def put(key: str, **arguments: Any) -> Break:
    """Set arguments of a resource, which may be new."""
    return lambda module: module.resources.setdefault(key, {}).update(arguments)


def drop(key: str, *names: str) -> Break:
    """Take arguments of a resource away, or the resource."""

    def change(module: TerraformModule) -> None:
        if not names:
            del module.resources[key]
        for name in names:
            del module.resources[key][name]

    return change


def move(key: str, provider: str) -> Break:
    """Give a resource another provider."""
    return lambda module: module.providers.update({key: provider})


def sound() -> TerraformModule:
    return TerraformModule(
        {**_databases(), **_around_databases(), **_aurora(), **_copies(), **_traffic(), **_alarms()},
        providers=dict.fromkeys(_IN_DR, "aws.dr"),
    )


_IN_DR = (
    REPLICA,
    "aws_kms_key.dr",
    "aws_kms_replica_key.db",
    "aws_db_subnet_group.dr",
    "aws_subnet.dr",
    "aws_security_group.dr",
    "aws_db_parameter_group.dr",
    "aws_db_instance_automated_backups_replication.primary",
    "aws_backup_vault.dr",
    "aws_s3_bucket.copy",
    "aws_s3_bucket_versioning.copy",
    "aws_cloudwatch_metric_alarm.lag",
    "aws_rds_cluster.second",
    "aws_rds_cluster_instance.second",
)


def _databases() -> dict[str, dict[str, Any]]:
    common = {
        "instance_class": "db.r6g.large",
        "multi_az": True,
        "deletion_protection": True,
        "publicly_accessible": False,
        "iam_database_authentication_enabled": True,
        "ca_cert_identifier": "rds-ca-rsa2048-g1",
        "backup_retention_period": 14,
    }
    return {
        PRIMARY: {
            **common,
            "identifier": "shop",
            "engine": "postgres",
            "engine_version": "16.4",
            "allocated_storage": 100,
            "db_name": "shop",
            "username": "shop",
            "password_wo": None,
            "storage_encrypted": True,
            "kms_key_id": Ref("aws_kms_key.db.arn"),
            "db_subnet_group_name": Ref("aws_db_subnet_group.main.name", "shop"),
            "vpc_security_group_ids": [Ref("aws_security_group.main.id")],
            "parameter_group_name": Ref("aws_db_parameter_group.main.name", "shop-16"),
            "skip_final_snapshot": False,
            "final_snapshot_identifier": "shop-final",
            "delete_automated_backups": False,
        },
        REPLICA: {
            **common,
            "identifier": "shop-replica",
            "replicate_source_db": Ref("aws_db_instance.primary.arn"),
            "kms_key_id": Ref("aws_kms_key.dr.arn"),
            "db_subnet_group_name": Ref("aws_db_subnet_group.dr.name", "shop-copy"),
            "vpc_security_group_ids": [Ref("aws_security_group.dr.id")],
            "parameter_group_name": Ref("aws_db_parameter_group.dr.name", "shop-16"),
            "availability_zone": None,
            "skip_final_snapshot": True,
        },
    }


def _around_databases() -> dict[str, dict[str, Any]]:
    parameters = [{"name": "max_connections", "value": "500", "apply_method": "pending-reboot"}]
    return {
        "aws_kms_key.db": {"description": "shop", "multi_region": True},
        "aws_kms_key.dr": {"description": "shop, copies"},
        "aws_kms_replica_key.db": {"primary_key_arn": Ref("aws_kms_key.db.arn")},
        "aws_subnet.main": {"availability_zone": "eu-west-1a", "cidr_block": "10.0.0.0/24"},
        "aws_subnet.dr": {"availability_zone": "eu-central-1b", "cidr_block": "10.1.0.0/24"},
        "aws_db_subnet_group.main": {"name": "shop", "subnet_ids": [Ref("aws_subnet.main.id")]},
        "aws_db_subnet_group.dr": {"name": "shop-copy", "subnet_ids": [Ref("aws_subnet.dr.id")]},
        "aws_security_group.main": {"name": "shop"},
        "aws_security_group.dr": {"name": "shop"},
        "aws_db_parameter_group.main": {"name": "shop-16", "family": "postgres16", "parameter": parameters},
        "aws_db_parameter_group.dr": {"name": "shop-16", "family": "postgres16", "parameter": parameters},
        "aws_secretsmanager_secret.db": {
            "name": "shop",
            "kms_key_id": Ref("aws_kms_key.db.arn"),
            "replica": [{"region": "eu-central-1"}],
        },
    }


def _aurora() -> dict[str, dict[str, Any]]:
    shared = {
        "engine": "aurora-postgresql",
        "engine_version": "16.4",
        "global_cluster_identifier": Ref("aws_rds_global_cluster.main.id"),
        "deletion_protection": True,
        "skip_final_snapshot": True,
    }
    instance = {"instance_class": "db.r6g.large", "engine": "aurora-postgresql", "publicly_accessible": False}
    return {
        "aws_rds_global_cluster.main": {
            "global_cluster_identifier": "stock",
            "engine": "aurora-postgresql",
            "storage_encrypted": True,
        },
        "aws_rds_cluster.first": {
            **shared,
            "cluster_identifier": "stock-1",
            "master_username": "stock",
            "manage_master_user_password": True,
            "kms_key_id": Ref("aws_kms_key.db.arn"),
            "storage_encrypted": True,
        },
        "aws_rds_cluster.second": {
            **shared,
            "cluster_identifier": "stock-2",
            "kms_key_id": Ref("aws_kms_key.dr.arn"),
            "storage_encrypted": True,
        },
        "aws_rds_cluster_instance.first": {
            **instance,
            "identifier": "stock-1-a",
            "cluster_identifier": Ref("aws_rds_cluster.first.id"),
        },
        "aws_rds_cluster_instance.second": {
            **instance,
            "identifier": "stock-2-a",
            "cluster_identifier": Ref("aws_rds_cluster.second.id"),
        },
    }


def _copies() -> dict[str, dict[str, Any]]:
    return {
        "aws_db_instance_automated_backups_replication.primary": {
            "source_db_instance_arn": Ref("aws_db_instance.primary.arn"),
            "kms_key_id": Ref("aws_kms_key.dr.arn"),
            "retention_period": 14,
        },
        "aws_backup_vault.dr": {"name": "copies"},
        "aws_backup_plan.daily": {
            "name": "daily",
            "rule": [
                {
                    "rule_name": "daily",
                    "target_vault_name": "Default",
                    "copy_action": [{"destination_vault_arn": Ref("aws_backup_vault.dr.arn")}],
                }
            ],
        },
        "aws_backup_selection.daily": {
            "name": "databases",
            "plan_id": Ref("aws_backup_plan.daily.id"),
            "resources": [Ref("aws_db_instance.primary.arn"), Ref("aws_rds_cluster.first.arn")],
        },
        "aws_s3_bucket.dumps": {"bucket": "shop-dumps"},
        "aws_s3_bucket.copy": {"bucket": "shop-dumps-copy"},
        "aws_s3_bucket_versioning.copy": {
            "bucket": Ref("aws_s3_bucket.copy.id"),
            "versioning_configuration": [{"status": "Enabled"}],
        },
        "aws_s3_bucket_replication_configuration.dumps": {
            "bucket": Ref("aws_s3_bucket.dumps.id"),
            "role": "arn:aws:iam::123456789012:role/replication",
            "rule": [{"status": "Enabled", "destination": [{"bucket": Ref("aws_s3_bucket.copy.arn")}]}],
        },
    }


def _traffic() -> dict[str, dict[str, Any]]:
    record = {"zone_id": "Z1", "name": "db.shop.example", "type": "CNAME", "ttl": 30}
    return {
        "aws_route53_health_check.primary": {"type": "CALCULATED"},
        "aws_route53_record.primary": {
            **record,
            "records": [Ref("aws_db_instance.primary.address")],
            "set_identifier": "primary",
            "health_check_id": Ref("aws_route53_health_check.primary.id"),
            "failover_routing_policy": [{"type": "PRIMARY"}],
        },
        "aws_route53_record.secondary": {
            **record,
            "records": [Ref("aws_db_instance.replica.address")],
            "set_identifier": "secondary",
            "failover_routing_policy": [{"type": "SECONDARY"}],
        },
    }


def _alarms() -> dict[str, dict[str, Any]]:
    alarm = {"namespace": "AWS/RDS", "alarm_actions": ["arn:aws:sns:eu-central-1:1:oncall"]}
    return {
        "aws_cloudwatch_metric_alarm.lag": {
            **alarm,
            "metric_name": "ReplicaLag",
            "dimensions": {"DBInstanceIdentifier": Ref("aws_db_instance.replica.identifier", "shop-replica")},
            "threshold": 60,
        },
        "aws_cloudwatch_metric_alarm.slot": {
            **alarm,
            "metric_name": "OldestReplicationSlotLag",
            "dimensions": {"DBInstanceIdentifier": Ref("aws_db_instance.primary.identifier", "shop")},
            "threshold": 10_737_418_240,
        },
    }


def tutorial() -> TerraformModule:
    """The classic mistake: both in the default provider, the source by name, a zone of the region that was meant."""
    return TerraformModule(
        {
            PRIMARY: {
                "identifier": "shop",
                "engine": "postgres",
                "engine_version": "16.4",
                "instance_class": "db.r6g.large",
                "allocated_storage": 100,
                "db_name": "shop",
                "username": "shop",
                "password": "hunter2-plain",
                "storage_encrypted": True,
                "skip_final_snapshot": True,
            },
            "aws_db_instance.cross_region_replica": {
                "identifier": "shop-replica",
                "replicate_source_db": Ref("aws_db_instance.primary.identifier", "shop"),
                "instance_class": "db.t4g.medium",
                "availability_zone": "eu-central-1a",
                "skip_final_snapshot": True,
            },
        }
    )


def tutorial_plan() -> dict[str, Any]:
    return plan(tutorial(), {"aws": "eu-west-1"})
