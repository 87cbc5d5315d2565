"""What a replica in another region is after its promotion: a primary, with its own zones, backups and ways in."""

from __future__ import annotations

from seawall.audit.rule import Rule, Severity, Verdict, failed, passed
from seawall.audit.terraform.databases import INSTANCE, Replica
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import Argument, changed, quoted
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import Resource
from seawall.audit.terraform.rules.stories import AUTHORITY, ONE_ZONE, PROMOTION

_NONE = "no instance of this file replicates one of another region, or is meant to"


def _elsewhere(replica: Replica) -> bool:
    return replica.resource.type == INSTANCE and replica.is_for_another_region


def _single_zone(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    if not _elsewhere(replica):
        return None
    source = replica.source
    if replica.resource.flag("multi_az"):
        return passed("it is in two zones")
    is_source_single = source is not None and source.type == INSTANCE and not source.flag("multi_az")
    return failed(
        "it is in one zone"
        + (", as its source is" if is_source_single else ", and its source in more")
        + ": after the promotion the loss of one zone ends the service again",
        evidence=[f"{item.address}: multi_az = {str(item.values.get('multi_az') is True).lower()}"
                  for item in (replica.resource, source) if item is not None],
        severity=Severity.LOW if is_source_single else None,
        remedy=changed(replica.resource, [("multi_az", "true")]),
    )  # fmt: skip


def _no_backups(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    if not _elsewhere(replica):
        return None
    days = replica.resource.number("backup_retention_period")
    if days > 0:
        return passed(f"it keeps backups for {days:g} days")
    return failed(
        "it keeps no backups: replicas start without, and after the promotion RDS keeps one day",
        evidence=[f"backup_retention_period: {days:g}"],
        remedy=changed(
            replica.resource,
            [("backup_retention_period", "7  # before PostgreSQL 14.1: with the promotion")],
        ),
    )


def _access(facts: TerraformFacts, replica: Replica) -> Verdict | None:
    source, resource = replica.source, replica.resource
    if not _elsewhere(replica) or source is None or source.type != INSTANCE:
        return None
    wrong: list[Argument] = []
    name = "iam_database_authentication_enabled"
    if resource.flag(name) != source.flag(name):
        wrong.append((name, str(source.flag(name)).lower()))
    for name in ("ca_cert_identifier", "port"):
        own, theirs = _set_value(resource, name), _set_value(source, name)
        if own is not None and theirs is not None and own != theirs:
            wrong.append((name, quoted(str(theirs)) if isinstance(theirs, str) else str(theirs)))
    if not wrong:
        return passed("clients come in as they do at its source")
    return failed(
        f"{', '.join(name for name, _ in wrong)} {'differs' if len(wrong) == 1 else 'differ'} from its "
        f"source: "
        "clients that follow it are refused",
        evidence=[f"{name}: {resource.values.get(name)}, source {theirs}" for name, theirs in wrong],
        remedy=changed(resource, wrong),
    )


def _set_value(resource: Resource, name: str) -> object:
    value = resource.values.get(name)
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _all(facts: TerraformFacts) -> tuple[Replica, ...]:
    return facts.replicas


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-replica-single-zone",
        Severity.MEDIUM,
        "A replica in another region is in one zone",
        "Promoted, it is the only database, for weeks perhaps. Adding the second zone then is a change to the only "
        "copy.",
        ONE_ZONE,
        'resource "aws_db_instance" "replica" {\n  multi_az = true\n}',
        for_each(_all, _single_zone, none=_NONE),
    ),
    Rule(
        "tf-replica-without-backups",
        Severity.MEDIUM,
        "A replica in another region keeps no backups",
        "After the promotion it is a primary whose backups begin at zero, while people make repairs in a hurry.",
        PROMOTION,
        'resource "aws_db_instance" "replica" {\n  backup_retention_period = 7\n}',
        for_each(_all, _no_backups, none=_NONE),
    ),
    Rule(
        "tf-replica-access-differs",
        Severity.MEDIUM,
        "Clients can't log in to a replica as they do to its source",
        "Accounts are replicated; IAM authentication, the certificate authority and the port are not. The promoted "
        "database runs, and nobody gets in.",
        AUTHORITY,
        'resource "aws_db_instance" "replica" {\n  iam_database_authentication_enabled = true  # as its source\n}',
        for_each(_all, _access, none=_NONE),
    ),
)
