"""The databases of a stack: which hold data of their own, which replicate what, and from where.

Only PostgreSQL: instances of Amazon RDS, and clusters (Aurora, Multi-AZ DB clusters). A replica inherits its engine,
so an instance that names none counts as what its source is.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

from seawall.audit.terraform.model import Resource, Stack, Unseen
from seawall.audit.terraform.references import References, Resolution
from seawall.audit.terraform.regions import Region, Regions, region_of_arn, region_of_zone
from seawall.model.fact import Fact, Unknown, known

INSTANCE, CLUSTER, MEMBER = "aws_db_instance", "aws_rds_cluster", "aws_rds_cluster_instance"
GLOBAL_CLUSTER = "aws_rds_global_cluster"
_SOURCE_OF = {INSTANCE: "replicate_source_db", CLUSTER: "replication_source_identifier"}
_RESOURCE_ID = re.compile(r"(?:db|cluster)-[A-Z0-9]{20,}\Z")
_WORDS_OF_INTENT = re.compile(
    r"(?i)(?:^|[^a-z])(dr|disaster|recovery|cross[_-]?region|xregion|remote|offsite|failover|secondary)(?:$|[^a-z])"
)
_REGION_IN_NAME = re.compile(r"(?<![a-z])(?:us|eu|ap|sa|ca|me|af|il|mx|cn)[-_](?:[a-z]+[-_])+\d(?![0-9])")


class SourceForm(enum.Enum):
    """By what a replica names its source."""

    ARN = "ARN"
    NAME = "name"
    RESOURCE_ID = "resource id"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Replica:
    """A database that replicates another. ``source`` is None where the file doesn't hold it; ``written`` is how the
    block names it."""

    resource: Resource
    source: Resource | None
    form: SourceForm
    written: str
    region: Fact[Region]
    source_region: Fact[Region]

    @property
    def address(self) -> str:
        return self.resource.address

    @property
    def is_cross_region(self) -> bool:
        """Say whether source and replica are in different regions. Raises FactUnknown."""
        return known(self.region).name != known(self.source_region).name

    @property
    def is_for_another_region(self) -> bool:
        """Say whether it is in another region than its source, or meant to be. Raises FactUnknown."""
        return self.is_cross_region or bool(intent_of(self))

    @property
    def shown_regions(self) -> tuple[str, ...]:
        """Where both are, as evidence."""
        source = self.source.address if self.source else "its source"
        return tuple(
            f"{what}: {'region unknown, ' + fact.reason if isinstance(fact, Unknown) else fact}"
            for what, fact in ((self.address, self.region), (source, self.source_region))
        )


def is_replica(resource: Resource) -> bool:
    """Say whether a database replicates another, as far as the file shows."""
    argument = _SOURCE_OF.get(resource.type)
    if argument is None:
        return False
    value = resource.values.get(argument)
    if value is Unseen.AFTER_APPLY:
        return resource.is_configured(argument) is not False
    return isinstance(value, Unseen) or bool(value)


def is_postgres(resource: Resource) -> bool:
    """Say whether a database's engine is PostgreSQL's, or not told."""
    engine = resource.values.get("engine")
    return not isinstance(engine, str) or not engine or "postgres" in engine


def may_be_encrypted(resource: Resource) -> bool:
    """Say whether a database's storage is encrypted, or may be for all that the file shows."""
    value = resource.values.get("storage_encrypted")
    return value is True or (
        isinstance(value, Unseen) and resource.is_configured("storage_encrypted") is not False
    )


def databases(stack: Stack, references: References, *types: str) -> Iterator[Resource]:
    """Yield the managed databases, replicas too."""
    for item in stack.of_type(*(types or (INSTANCE, CLUSTER))):
        sources = _sources(_resolve(item, references)) if is_replica(item) else []
        if is_postgres(item) and all(is_postgres(source) for source in sources):
            yield item


def find_replicas(stack: Stack, references: References, regions: Regions) -> tuple[Replica, ...]:
    """Return every replica with its source."""
    return tuple(
        _replica(resource, references, regions)
        for resource in databases(stack, references)
        if is_replica(resource)
    )


def _resolve(resource: Resource, references: References) -> Resolution:
    return references.resolve(resource, _SOURCE_OF[resource.type])


def _sources(resolution: Resolution) -> list[Resource]:
    return [target.resource for target in resolution.targets if target.resource.type in (INSTANCE, CLUSTER)]


def _replica(resource: Resource, references: References, regions: Regions) -> Replica:
    found = _resolve(resource, references)
    sources = _sources(found)
    value = resource.values.get(_SOURCE_OF[resource.type])
    source = sources[0] if sources else None
    return Replica(
        resource,
        source,
        _form(found, value),
        ", ".join(found.written) or (value if isinstance(value, str) else "unknown"),
        regions.of(resource),
        _source_region(resource, source, found, value, regions),
    )


def _form(found: Resolution, value: object) -> SourceForm:
    attribute = found.targets[0].attribute if found.targets else ""
    literal = value if isinstance(value, str) else next((x for x in found.literals if isinstance(x, str)), "")
    if attribute == "arn" or attribute.endswith("_arn") or literal.startswith("arn:"):
        return SourceForm.ARN
    if attribute in ("id", "resource_id") or _RESOURCE_ID.match(literal):
        return SourceForm.RESOURCE_ID
    if attribute in ("identifier", "cluster_identifier", "db_instance_identifier", "name") or literal:
        return SourceForm.NAME
    return SourceForm.UNKNOWN


def _source_region(
    resource: Resource, source: Resource | None, found: Resolution, value: object, regions: Regions
) -> Fact[Region]:
    if source is not None:
        return regions.of(source)
    for literal in (value, *found.literals):
        arn = region_of_arn(literal)
        if arn:
            return Region(arn, "the source's ARN")
    if found.hidden:
        return Unknown(
            f"what {resource.address} replicates is {', '.join(found.hidden)}, whose value is not in the file",
            "a reference to the resource instead, or its state after terraform apply",
        )
    if isinstance(value, str):
        return Unknown(
            f"{resource.address} replicates {value}, which is not in this file",
            "its ARN, which names its region, or the plan that holds it",
        )
    return Unknown(
        f"what {resource.address} replicates is not in the file", "its state after terraform apply"
    )


def intent_of(replica: Replica) -> tuple[str, ...]:
    """Return what shows that a replica is meant for another region than its source's: names, tags, a zone."""
    resource, signs = replica.resource, []
    words = [resource.name, *resource.module.split(".")[1:]]
    named = [("its name", word) for word in words]
    for argument in ("identifier", "identifier_prefix", "cluster_identifier"):
        named += [(argument, _text(resource.values.get(argument)))]
    tags = resource.values.get("tags")
    named += [(f"tag {key}", _text(value)) for key, value in tags.items()] if isinstance(tags, dict) else []
    own = replica.source_region.name if isinstance(replica.source_region, Region) else ""
    for what, text in named:
        if _WORDS_OF_INTENT.search(text) or any(name != own for name in _regions_in(text)):
            signs.append(f"{what}: {text}")
    zone = region_of_zone(resource.values.get("availability_zone"))
    if zone and own and zone != own:
        signs.append(f"availability_zone: {resource.values['availability_zone']}")
    return tuple(signs)


def _regions_in(text: str) -> list[str]:
    return [match.group().replace("_", "-") for match in _REGION_IN_NAME.finditer(text)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
