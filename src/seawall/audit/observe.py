"""Gather the facts: from a stranger's server alone, or from all that a plan names."""

from __future__ import annotations

from seawall.audit.facts import NO_PLAN, ClusterFacts, ServiceFacts
from seawall.model.clock import Clock
from seawall.postgres.health.observe import observe_health


def observe_stranger(dsn: str, *, clock: Clock, deadline_s: float) -> ServiceFacts:
    """Return what a server that no plan knows shows of itself.

    Raises: as :func:`seawall.postgres.session.connect`.
    """
    health = observe_health(dsn, clock=clock, deadline_s=deadline_s)
    cluster = ClusterFacts(name=health.identity.server, now=clock.now(), primary=health)
    return ServiceFacts(cluster.now, NO_PLAN, (cluster,))
