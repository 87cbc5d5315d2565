"""What applying this plan would take away: databases that are destroyed, replicas that stop being replicas."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.rule import Rule, Severity, Verdict, failed, not_applicable, passed
from seawall.audit.terraform.databases import CLUSTER, GLOBAL_CLUSTER, INSTANCE, MEMBER
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import changed
from seawall.audit.terraform.model import Change, FileKind, Resource, Unseen
from seawall.audit.terraform.rules.stories import RENAMED, SILENT_PROMOTION

_PRECIOUS = {
    INSTANCE: Severity.CRITICAL,
    CLUSTER: Severity.CRITICAL,
    GLOBAL_CLUSTER: Severity.HIGH,
    MEMBER: Severity.HIGH,
    "aws_db_instance_automated_backups_replication": Severity.HIGH,
    "aws_db_snapshot": Severity.HIGH,
    "aws_db_cluster_snapshot": Severity.HIGH,
    "aws_db_snapshot_copy": Severity.HIGH,
    "aws_backup_vault": Severity.HIGH,
    "aws_kms_key": Severity.HIGH,
    "aws_secretsmanager_secret": Severity.MEDIUM,
}
"""What a recovery can't do without, and how bad its loss is."""
_SOURCE_ARGUMENTS = ("replicate_source_db", "replication_source_identifier")


def _destroyed(facts: TerraformFacts) -> Iterator[Verdict]:
    if facts.stack.kind is FileKind.STATE:
        yield not_applicable("a state changes nothing: a plan does")
        return
    doomed = [item for item in _changing(facts) if item[0].type in _PRECIOUS and item[1].destroys]
    for resource, change in doomed:
        yield _loss(facts, resource, change)
    if not doomed:
        yield passed("applying this destroys no database and nothing that one is recovered from")


def _loss(facts: TerraformFacts, resource: Resource, change: Change) -> Verdict:
    what = "replaced by a new, empty one" if change.replaces else "destroyed"
    was_replica = any(change.before.get(name) for name in _SOURCE_ARGUMENTS)
    severity = _PRECIOUS[resource.type]
    if was_replica:
        severity = Severity.HIGH
        what = what.replace("empty one", "one, which copies everything again")
    shown = [f"actions: {', '.join(change.actions)}"]
    shown += [f"reason: {change.reason.replace('_', ' ')}"] if change.reason else []
    shown += [f"forced by {', '.join(change.replaced_for)}"] if change.replaced_for else []
    for name, meaning in (("skip_final_snapshot", "no last snapshot is taken"),
                          ("delete_automated_backups", "its automated backups go with it")):  # fmt: skip
        if change.before.get(name) is True:
            shown.append(f"{name} = true: {meaning}")
    return failed(
        f"applying this plan, it is {what}",
        subject=resource.address,
        evidence=shown,
        severity=severity,
        remedy=_kept(facts, resource),
    )


def _kept(facts: TerraformFacts, resource: Resource) -> str:
    """Return how it is kept: by its new name, if that is all, else by a block that refuses."""
    renamed = [
        item
        for item in facts.stack.of_type(resource.type)
        if item.change is not None and item.change.actions == ("create",) and item.address != resource.address
    ]
    protected = changed(
        resource, [("deletion_protection", "true")] if resource.type in (INSTANCE, CLUSTER) else []
    )
    keeps = protected[:-1] + "  lifecycle {\n    prevent_destroy = true\n  }\n}"
    if len(renamed) == 1 and resource in facts.stack.gone:
        moved = f"moved {{\n  from = {resource.address}\n  to   = {renamed[0].address}\n}}"
        return f"# if it was only renamed:\n{moved}\n# else:\n{keeps}"
    return keeps


def _promoted(facts: TerraformFacts) -> Iterator[Verdict]:
    if facts.stack.kind is FileKind.STATE:
        yield not_applicable("a state changes nothing: a plan does")
        return
    found = False
    for resource, change in _changing(facts):
        for name in _SOURCE_ARGUMENTS:
            if resource.type in (INSTANCE, CLUSTER) and change.before.get(name) and not change.destroys:
                found = True
                yield _promotion(resource, change, name)
    if not found:
        yield not_applicable("no replica exists yet")


def _promotion(resource: Resource, change: Change, name: str) -> Verdict:
    before, after = change.before.get(name), change.after.get(name)
    if after or isinstance(after, Unseen):
        return passed("it stays a replica", subject=resource.address)
    source = "hidden" if isinstance(before, Unseen) else str(before)
    return failed(
        "applying this plan promotes it: it stops following its source, for good, and the plan calls that an update",
        subject=resource.address,
        evidence=[f"{name}: {source} → null"],
        remedy=changed(
            resource, [(name, f'"{source}"')], note="unless this is the recovery; then by its runbook"
        ),
    )


def _changing(facts: TerraformFacts) -> Iterator[tuple[Resource, Change]]:
    for resource in (*facts.stack.resources, *facts.stack.gone):
        if resource.change is not None and not resource.is_data:
            yield resource, resource.change


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-database-destroyed",
        Severity.CRITICAL,
        "Applying the plan destroys a database or what it is recovered from",
        "A new identifier, a new subnet group, a moved block: Terraform destroys what is there and creates an empty "
        "one. It stands in the plan, between a hundred harmless lines.",
        RENAMED,
        'resource "aws_db_instance" "primary" {\n  lifecycle {\n    prevent_destroy = true\n  }\n}',
        _destroyed,
    ),
    Rule(
        "tf-replica-promoted",
        Severity.CRITICAL,
        "Applying the plan promotes a replica",
        "Without replicate_source_db a replica becomes a database of its own. Two primaries, of which one is "
        "believed to be the copy of the other.",
        SILENT_PROMOTION,
        'resource "aws_db_instance" "replica" {\n  replicate_source_db = aws_db_instance.primary.arn\n}',
        _promoted,
    ),
)
