"""What Terraform's rules read: the stack, where its resources lie, who replicates whom, and the plan's objectives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from seawall.audit.facts import NO_PLAN
from seawall.audit.terraform.databases import Replica, databases, find_replicas, is_replica
from seawall.audit.terraform.model import Resource, Stack
from seawall.audit.terraform.references import References
from seawall.audit.terraform.regions import Regions
from seawall.model.fact import Fact
from seawall.plan.model import Objectives


@dataclass(frozen=True)  # not slotted: what is derived is computed once
class TerraformFacts:
    """One file's stack, and what follows from it."""

    stack: Stack
    objectives: Fact[Objectives] = NO_PLAN

    @cached_property
    def references(self) -> References:
        return References(self.stack)

    @cached_property
    def regions(self) -> Regions:
        return Regions(self.stack, self.references)

    @cached_property
    def replicas(self) -> tuple[Replica, ...]:
        return find_replicas(self.stack, self.references, self.regions)

    @cached_property
    def sources(self) -> tuple[Resource, ...]:
        """The databases that hold data of their own: what is lost if nothing else has it."""
        return tuple(item for item in databases(self.stack) if not is_replica(item))

    def replicas_of(self, source: Resource) -> tuple[Replica, ...]:
        return tuple(item for item in self.replicas if item.source is not None and item.source is source)
