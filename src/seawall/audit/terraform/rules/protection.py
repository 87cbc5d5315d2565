"""What every database needs, replicated or not: backups, protection from a slip, no open door, no written password."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.rule import Rule, Severity, Verdict, cannot_tell, failed, passed
from seawall.audit.terraform.databases import CLUSTER, INSTANCE, MEMBER, is_replica
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import changed
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import Expression, Resource
from seawall.audit.terraform.regions import is_region
from seawall.audit.terraform.rules.stories import BACKUPS_DELETED, DESTROYED, IN_STATE, PUBLIC, US_EAST_1

_NO_DATABASE = "there is no PostgreSQL database in this file"
_RESTORED_FROM = ("snapshot_identifier", "restore_to_point_in_time", "s3_import")


def _backups_off(facts: TerraformFacts, resource: Resource) -> Verdict | None:
    if resource.type != INSTANCE:
        return None  # clusters always keep a day at least
    argument = "backup_retention_period"
    restored = [name for name in _RESTORED_FROM if resource.values.get(name)]
    if restored and resource.is_configured(argument) is False:
        return cannot_tell(
            f"it is restored ({restored[0]}) and keeps backups as its origin did", f"set {argument}"
        )
    days = resource.number(argument)
    if days > 0:
        return passed(f"it keeps backups for {days:g} days", evidence=[f"{argument} = {days:g}"])
    how = "not set, which means 0" if resource.is_configured(argument) is False else "0"
    replicas = [item.address for item in facts.replicas_of(resource)]
    text = "it keeps no backups: there is no moment to go back to"
    if replicas:
        text += f", and {', '.join(replicas)} can't be created, as a replica begins with a backup"
    return failed(text, evidence=[f"{argument}: {how}"], remedy=changed(resource, [(argument, "14")]))


def _deletion_protection(facts: TerraformFacts, resource: Resource) -> Verdict | None:
    if resource.flag("deletion_protection"):
        return passed("it can't be deleted by a slip")
    unset = resource.is_configured("deletion_protection") is False
    return failed(
        "nothing keeps it from being deleted, with its automated backups",
        evidence=[f"deletion_protection {'is not set' if unset else '= false'}"],
        severity=Severity.MEDIUM if is_replica(resource) else None,
        remedy=changed(resource, [("deletion_protection", "true")]),
    )


def _public(facts: TerraformFacts, resource: Resource) -> Verdict | None:
    if not resource.flag("publicly_accessible"):
        return passed("it has no public address")
    return failed(
        "it has a public address: one security group away from everybody",
        evidence=["publicly_accessible = true"],
        remedy=changed(resource, [("publicly_accessible", "false")]),
    )


def _password(facts: TerraformFacts, resource: Resource) -> Verdict | None:
    name = "password" if resource.type == INSTANCE else "master_password"
    if resource.arguments is None:
        if resource.values.get(name) is None:
            return passed("its state holds no password")
        return _written(resource, name, f"{name} lies in this state, readable", Severity.MEDIUM)
    if not resource.is_configured(name) or resource.values.get(name) is None:
        return passed("no password of it is in the configuration")
    expression = resource.arguments[name]
    if expression.has_constant:
        return _written(
            resource, name, f"{name} is written in the configuration, and so in every plan and state", None
        )
    return _written(
        resource,
        name,
        f"{name} comes from {_from(expression)}, and lies in every plan and state, readable",
        Severity.MEDIUM,
    )


def _from(expression: Expression) -> str:
    return expression.references[0] if expression.references else "an expression"


def _written(resource: Resource, name: str, text: str, severity: Severity | None) -> Verdict:
    return failed(
        text,
        evidence=[f"{name} is set"],
        severity=severity,
        remedy=changed(
            resource,
            [("manage_master_user_password", "true")],
            note=f"without {name}; then change the password, as it is known",
        ),
    )


def _state_backend(facts: TerraformFacts) -> Iterator[Verdict]:
    homes = {
        region.name
        for item in facts.sources
        for region in [facts.regions.of(item)]
        if hasattr(region, "name")
    }
    for remote in facts.stack.of_type("terraform_remote_state", data=True):
        settings = remote.values.get("config")
        region = settings.get("region") if isinstance(settings, dict) else None
        if is_region(region) and region in homes:
            yield failed(
                f"a state that is read here lies in {region}, where the databases are: it is out of reach "
                f"with them",
                subject=remote.address,
                evidence=[f"config.region = {region}"],
            )
    yield cannot_tell(
        "where this state itself lies is in no plan or state",
        'look at terraform { backend "s3" { region = … } }: not the region whose loss it has to repair',
    )


def _databases(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.databases()


def _sources(facts: TerraformFacts) -> Iterator[Resource]:
    return (item for item in facts.sources if item.type == INSTANCE)


def _reachable(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.databases(INSTANCE, MEMBER)


def _with_password(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.databases(INSTANCE, CLUSTER)


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-backups-off",
        Severity.CRITICAL,
        "A database keeps no backups",
        "In Terraform backup_retention_period is 0 unless it is set. Without backups no point in time can be "
        "restored, and no replica created.",
        BACKUPS_DELETED,
        'resource "aws_db_instance" "primary" {\n  backup_retention_period = 14\n}',
        for_each(_sources, _backups_off, none="no instance of this file holds data of its own"),
    ),
    Rule(
        "tf-no-deletion-protection",
        Severity.HIGH,
        "A database can be deleted by a slip",
        "terraform destroy in the wrong folder, a renamed resource, a replaced argument: RDS deletes the automated "
        "backups along with the instance.",
        DESTROYED,
        'resource "aws_db_instance" "primary" {\n  deletion_protection = true\n}',
        for_each(_databases, _deletion_protection, none=_NO_DATABASE),
    ),
    Rule(
        "tf-public",
        Severity.MEDIUM,
        "A database has a public address",
        "Whoever gets in can destroy what should be recovered, and what it would be recovered to.",
        PUBLIC,
        'resource "aws_db_instance" "primary" {\n  publicly_accessible = false\n}',
        for_each(_reachable, _public, none="there is no instance in this file"),
    ),
    Rule(
        "tf-plaintext-password",
        Severity.HIGH,
        "A password lies in configuration or state",
        "Terraform keeps every argument in its state. Who may read the bucket of states may read the database, and "
        "delete in it.",
        IN_STATE,
        'resource "aws_db_instance" "primary" {\n  manage_master_user_password = true\n}',
        for_each(_with_password, _password, none=_NO_DATABASE),
    ),
    Rule(
        "tf-state-same-region",
        Severity.MEDIUM,
        "The state lies in the region that it has to repair",
        "When the region is gone, so is Terraform's memory of what there was, and nothing can be applied in the "
        "other one without it.",
        US_EAST_1,
        'terraform {\n  backend "s3" {\n    region = "…"  # another one, or replicate the bucket\n  }\n}',
        _state_backend,
    ),
)
