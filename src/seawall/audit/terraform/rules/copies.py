"""Copies in another region: replicas, replicated backups, copied snapshots; and those that only look like it."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.rule import Rule, Severity, Verdict, cannot_tell, failed, passed
from seawall.audit.terraform.copies import REPLICATION, Copy, copies_of, copy_actions, nested
from seawall.audit.terraform.databases import CLUSTER, INSTANCE, may_be_encrypted
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.hcl import Destination, beside, block, changed, joined, key_in, quoted, reference
from seawall.audit.terraform.judging import for_each
from seawall.audit.terraform.model import Resource
from seawall.audit.terraform.regions import Region, region_of_arn
from seawall.audit.terraform.rules.stories import BACKUPS_DELETED, ONE_COPY, REPLICATED_BACKUPS
from seawall.model.fact import Unknown, known
from seawall.model.units import format_duration

_NO_SOURCE = "no database of this file holds data of its own"


def _split(facts: TerraformFacts, source: Resource) -> tuple[list[Copy], list[Copy]]:
    """Return the copies in another region, and those of which that can't be told. Raises FactUnknown."""
    copies = copies_of(facts, source)
    home = facts.regions.name_of(source) if copies else ""
    far = [copy for copy in copies if isinstance(copy.region, Region) and copy.region.name != home]
    return far, [copy for copy in copies if isinstance(copy.region, Unknown)]


def _no_copy(facts: TerraformFacts, source: Resource) -> Verdict:
    far, unseen = _split(facts, source)
    if far:
        return passed(f"{far[0].how} in {known(far[0].region).name}", evidence=[copy.address for copy in far])
    if unseen:
        return cannot_tell(_reason(unseen), _needs(unseen))
    return failed(
        "nothing in this file puts a copy of it into another region: with its region everything is gone",
        evidence=[f"{source.address}: {facts.regions.of(source)}" if isinstance(facts.regions.of(source), Region)
                  else f"{source.address}: region unknown",
                  *(f"{copy.address}: {copy.how}, {copy.region}" for copy in copies_of(facts, source))],
        remedy=_replicated(facts, source),
    )  # fmt: skip


def _no_backups_elsewhere(facts: TerraformFacts, source: Resource) -> Verdict:
    far, unseen = _split(facts, source)
    backups = [copy for copy in far if copy.is_backup]
    if backups:
        return passed(
            f"{backups[0].how} in {known(backups[0].region).name}",
            evidence=[copy.address for copy in backups],
        )
    if any(copy.is_backup for copy in unseen):
        return cannot_tell(_reason(unseen), _needs(unseen))
    replicas = [copy.address for copy in far]
    text = "no backups of it are kept in another region"
    text += f": {', '.join(replicas)} repeats within a second what is deleted by mistake" if replicas else ""
    return failed(
        text, evidence=replicas or [f"no {REPLICATION}, no copy_action"], remedy=_replicated(facts, source)
    )


def _reason(copies: list[Copy]) -> str:
    region = copies[0].region
    return region.reason if isinstance(region, Unknown) else ""


def _needs(copies: list[Copy]) -> str:
    region = copies[0].region
    return region.needs if isinstance(region, Unknown) else ""


def _replicated(facts: TerraformFacts, source: Resource) -> str:
    """Return the block that replicates backups, of the kind that the database's kind allows."""
    home = facts.regions.of(source)
    destination = Destination(facts, home.name if isinstance(home, Region) else "")
    if source.type == CLUSTER:
        rule = (
            f'resource "aws_backup_vault" "dr" {{\n  provider = {destination.provider_name}\n  name     = "dr"\n}}\n'
            "# in a rule of the aws_backup_plan that selects it:\n"
            "copy_action {\n  destination_vault_arn = aws_backup_vault.dr.arn\n}"
        )
        return joined(destination.blocks(), rule)
    arguments = [
        ("provider", destination.provider_name),
        ("source_db_instance_arn", reference(source, "arn", seen_from=source)),
        ("retention_period", "14"),
    ]
    note, key_blocks = beside(source, destination.provider_name), list[str]()
    if may_be_encrypted(source):
        key, key_blocks = key_in(destination, source)
        arguments.append(("kms_key_id", key))
    return joined(
        destination.blocks(), key_blocks, block("resource", (REPLICATION, source.name), arguments, note=note)
    )


def _useless_copy(facts: TerraformFacts, item: Resource) -> Iterator[Verdict]:
    if item.type == "aws_backup_plan":
        yield from _useless_copy_actions(facts, item)
        return
    found = facts.references.resolve(item, "source_db_instance_arn")
    sources = [source for source in found.resources if source.type in (INSTANCE, CLUSTER)]
    theirs = (
        facts.regions.name_of(sources[0])
        if sources
        else next(filter(None, map(region_of_arn, found.literals)), "")
    )
    if not theirs:
        yield cannot_tell("what it replicates is not in this file", "its source's ARN")
        return
    home = facts.regions.name_of(item)
    shown = [f"{item.address}: {home}", *(f"{source.address}: {theirs}" for source in sources)]
    destination = Destination(facts, theirs)
    if home == theirs:
        yield failed(
            f"it is in {home}, as its source is: the block belongs to the provider of the other region",
            evidence=shown,
            remedy=joined(destination.blocks(), changed(item, [("provider", destination.provider_name)])),
        )
    elif sources and sources[0].type == CLUSTER:
        yield failed(
            "Multi-AZ DB clusters can't replicate automated backups",
            evidence=shown,
            remedy=_replicated(facts, sources[0]),
        )
    elif sources and sources[0].flag("storage_encrypted") and item.is_configured("kms_key_id") is False:
        key, blocks = key_in(destination, item)
        yield failed(
            "its source is encrypted, and it names no key of its region: the replication is refused",
            evidence=shown,
            remedy=joined(blocks, changed(item, [("kms_key_id", key)])),
        )
    else:
        yield passed(f"it is in {home}, its source in {theirs}", evidence=shown)


def _useless_copy_actions(facts: TerraformFacts, plan: Resource) -> Iterator[Verdict]:
    for region in copy_actions(facts, plan):
        home, there = facts.regions.name_of(plan), known(region).name
        shown = [f"{plan.address}: {home}", f"destination_vault_arn: {region}"]
        if home != there:
            yield passed(f"it copies to {there}", evidence=shown)
        else:
            yield failed(
                f"it copies backups to a vault of {home}, where they are already",
                evidence=shown,
                remedy=_vault_in(Destination(facts, home)),
            )


def _vault_in(destination: Destination) -> str:
    arguments = [("provider", destination.provider_name), ("name", '"dr"')]
    return joined(destination.blocks(), block("resource", ("aws_backup_vault", "dr"), arguments))


def _rpo(facts: TerraformFacts, source: Resource) -> Verdict:
    rpo_s = known(facts.objectives).rpo_s
    far, unseen = _split(facts, source)
    if not far and unseen:
        return cannot_tell(_reason(unseen), _needs(unseen))
    wanted = f"objectives.rpo: {format_duration(rpo_s)}"
    if not far:
        return failed(
            "the RPO can't be kept if the region is lost: nothing of it is elsewhere",
            evidence=[wanted], remedy=_replicated(facts, source),
        )  # fmt: skip
    best = min(far, key=lambda copy: copy.loss_s)
    shown = [wanted, f"{best.address}: {best.how}, up to {format_duration(best.loss_s)} behind" if best.loss_s else
             f"{best.address}: {best.how}, behind by its lag"]  # fmt: skip
    if best.loss_s <= rpo_s:
        return passed("the RPO can be kept by what is declared", evidence=shown)
    return failed(
        "the RPO can't be kept by what is declared: its best copy elsewhere is older",
        evidence=shown,
        remedy=_nearer_copy(facts, source),
    )


def _nearer_copy(facts: TerraformFacts, source: Resource) -> str:
    """Return the block of a copy that follows within seconds."""
    destination = Destination(facts, facts.regions.name_of(source))
    provider = ("provider", destination.provider_name)
    name = quoted(f"{source.name}-{destination.region}")
    if source.type == INSTANCE:
        arguments = [
            provider,
            ("identifier", name),
            ("replicate_source_db", f"{source.hcl}.arn"),
            ("instance_class", f"{source.hcl}.instance_class"),
        ]
        return joined(destination.blocks(), block("resource", (INSTANCE, f"{source.name}_dr"), arguments))
    arguments = [provider, ("cluster_identifier", name), ("engine", f"{source.hcl}.engine"),
                 ("global_cluster_identifier", f"aws_rds_global_cluster.{source.name}.id")]  # fmt: skip
    first = [("global_cluster_identifier", name), ("source_db_cluster_identifier", f"{source.hcl}.arn")]
    return joined(
        destination.blocks(),
        block("resource", ("aws_rds_global_cluster", source.name), first),
        block("resource", (CLUSTER, f"{source.name}_dr"), arguments),
    )


def _buckets(facts: TerraformFacts, item: Resource) -> Iterator[Verdict]:
    sources = [
        found for found in facts.references.resolve(item, "bucket").resources if found.type == "aws_s3_bucket"
    ]
    home = facts.regions.name_of(sources[0] if sources else item)
    places = [
        (found, facts.regions.name_of(found))
        for action in _destinations(facts, item)
        for found in action
        if found.type == "aws_s3_bucket"
    ]
    if not places:
        yield cannot_tell(
            "the bucket that it replicates to is not in this file", "a reference to it, or its plan"
        )
    for found, there in places:
        shown = [f"{item.address}: from {home}", f"{found.address}: {there}"]
        destination = Destination(facts, home)
        if there == home:
            yield failed(
                f"it replicates within {home}: a mistake in another bucket is kept from it, the loss of "
                f"{home} not",
                evidence=shown,
                remedy=joined(
                    destination.blocks(), changed(found, [("provider", destination.provider_name)])
                ),
            )
        elif not _is_versioned(facts, found):
            yield failed(
                f"{found.address} has no versioning: replication needs it on both buckets, and the apply "
                f"fails",
                evidence=shown,
                remedy='resource "aws_s3_bucket_versioning" "dr" {\n'
                f"  bucket = {found.hcl}.id\n  versioning_configuration {{\n    status = "
                f"{quoted('Enabled')}\n  }}\n}}",
            )
        else:
            yield passed(f"it replicates from {home} to {there}", evidence=shown)


def _destinations(facts: TerraformFacts, item: Resource) -> Iterator[tuple[Resource, ...]]:
    rules = item.arguments["rule"].blocks if item.arguments and "rule" in item.arguments else ()
    for rule in rules:
        for inner in rule["destination"].blocks if "destination" in rule else ():
            if "bucket" in inner:
                yield facts.references.follow(inner["bucket"], item.module).resources
    if not rules:
        for shown in nested(item, "rule"):
            inners = shown.get("destination")
            for found in inners if isinstance(inners, list) else ():
                yield facts.references.of_value(
                    found.get("bucket") if isinstance(found, dict) else None
                ).resources


def _is_versioned(facts: TerraformFacts, bucket: Resource) -> bool:
    for item in facts.stack.of_type("aws_s3_bucket_versioning"):
        if bucket in facts.references.resolve(item, "bucket").resources:
            return any(block.get("status") == "Enabled" for block in nested(item, "versioning_configuration"))
    return False


def _sources(facts: TerraformFacts) -> Iterator[Resource]:
    """Databases of their own; of a global cluster the first member, which the others copy."""
    for source in facts.sources:
        if source.type == CLUSTER and facts.is_secondary(source):
            continue
        yield source


def _replications(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.stack.of_type(REPLICATION, "aws_backup_plan")


def _bucket_replications(facts: TerraformFacts) -> Iterator[Resource]:
    return facts.stack.of_type("aws_s3_bucket_replication_configuration")


RULES: tuple[Rule[TerraformFacts], ...] = (
    Rule(
        "tf-no-copy-elsewhere",
        Severity.CRITICAL,
        "A database has no copy in another region",
        "Multi-AZ, snapshots and automated backups all lie in the region of the database. When it is gone they are "
        "too.",
        ONE_COPY,
        'resource "aws_db_instance_automated_backups_replication" "primary" {\n  provider               = aws.dr\n'
        "  source_db_instance_arn = aws_db_instance.primary.arn\n}",
        for_each(_sources, _no_copy, none=_NO_SOURCE),
    ),
    Rule(
        "tf-backups-not-replicated",
        Severity.HIGH,
        "Backups of a database are in its own region only",
        "A replica has what the primary has, mistakes included. Whoever has to go back to yesterday in the other "
        "region needs the backups there.",
        BACKUPS_DELETED,
        'resource "aws_db_instance_automated_backups_replication" "primary" {\n  provider               = aws.dr\n'
        "  source_db_instance_arn = aws_db_instance.primary.arn\n  retention_period       = 14\n}",
        for_each(_sources, _no_backups_elsewhere, none=_NO_SOURCE),
    ),
    Rule(
        "tf-backup-copy-useless",
        Severity.HIGH,
        "Copied backups stay in their region, or can't be copied",
        "The resource that replicates backups belongs to the provider of the destination, and needs a key there. In "
        "the source's own provider it looks the same in the file.",
        REPLICATED_BACKUPS,
        'resource "aws_db_instance_automated_backups_replication" "primary" {\n  provider   = aws.dr\n'
        "  kms_key_id = aws_kms_key.dr.arn\n}",
        for_each(_replications, _useless_copy, none="nothing in this file copies backups"),
    ),
    Rule(
        "tf-rpo-out-of-reach",
        Severity.HIGH,
        "The RPO can't be kept by the copies that are declared",
        "The arithmetic fails already: logs are replicated every five minutes, backup plans run once a day.",
        ONE_COPY,
        "a replica in the other region, or a longer RPO",
        for_each(_sources, _rpo, none=_NO_SOURCE),
    ),
    Rule(
        "tf-bucket-replication",
        Severity.MEDIUM,
        "A bucket is not replicated to another region",
        "Dumps, WAL and files beside the database are part of the service. Replication between buckets of one region "
        "doesn't survive it, and without versioning there is none.",
        ONE_COPY,
        'resource "aws_s3_bucket" "copy" {\n  provider = aws.dr\n}',
        for_each(_bucket_replications, _buckets, none="no bucket of this file is replicated"),
    ),
)
