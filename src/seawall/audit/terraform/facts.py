"""What Terraform's rules read: the stack, where its resources lie, who replicates whom, and the plan's objectives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from seawall.audit.terraform.databases import CLUSTER, Replica, databases, find_replicas, is_replica
from seawall.audit.terraform.model import Resource, Stack
from seawall.audit.terraform.references import References
from seawall.audit.terraform.regions import Regions
from seawall.model.fact import Fact, Unknown
from seawall.plan.model import Objectives

NO_OBJECTIVES = Unknown(
    "no plan says which RTO and RPO are wanted", "seawall audit --terraform FILE --plan plan.yaml"
)


@dataclass(frozen=True)  # not slotted: what is derived is computed once
class TerraformFacts:
    """One file's stack, and what follows from it."""

    stack: Stack
    objectives: Fact[Objectives] = NO_OBJECTIVES

    @cached_property
    def references(self) -> References:
        return References(self.stack)

    @cached_property
    def regions(self) -> Regions:
        return Regions(self.stack, self.references)

    @cached_property
    def replicas(self) -> tuple[Replica, ...]:
        return find_replicas(self.stack, self.references, self.regions)

    def databases(self, *types: str) -> Iterator[Resource]:
        """Yield the databases of these types: instances and clusters, where none is named."""
        return databases(self.stack, self.references, *types)

    @cached_property
    def sources(self) -> tuple[Resource, ...]:
        """The databases that hold data of their own: what is lost if nothing else has it."""
        return tuple(item for item in self.databases() if not is_replica(item))

    def replicas_of(self, source: Resource) -> tuple[Replica, ...]:
        return tuple(item for item in self.replicas if item.source is not None and item.source is source)

    def members_of(self, group: Resource) -> tuple[Resource, ...]:
        """Return the clusters of a global cluster, in the file's order but the one that it was made from first."""
        found = [
            item
            for item in self.stack.of_type(CLUSTER)
            if group in self.references.resolve(item, "global_cluster_identifier").resources
        ]
        first = self.references.resolve(group, "source_db_cluster_identifier").resources
        return tuple(sorted(found, key=lambda item: (item not in first, not _has_own_data(item))))

    def is_secondary(self, cluster: Resource) -> bool:
        """Say whether a cluster is a global cluster's member that takes its data from another one."""
        for group in self.references.resolve(cluster, "global_cluster_identifier").resources:
            members = self.members_of(group)
            if cluster in members and members[0] is not cluster:
                return True
        return False


def _has_own_data(cluster: Resource) -> bool:
    """Say whether a cluster is given a user or a database: a global cluster's secondary has neither."""
    names = ("master_username", "database_name")
    if cluster.arguments is None:
        return True
    return any(cluster.is_configured(name) for name in names)
