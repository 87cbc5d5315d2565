"""What a decision about a site's death reads. Plain values; ``observe`` fills them in, tests write them down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from seawall.model.fact import Fact, Unknown
from seawall.model.lsn import Lsn
from seawall.plan.model import Objectives
from seawall.reporting.history import Drill

UNSEEN = Unknown("nobody looked")


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A primary, as it answered last of all: what it has beyond a repository can only be more than this shows.

    ``settled_at`` is a position behind which no transaction ended, None where that can't be told: WAL alone is no
    loss, an idle server writes some. ``written_at`` is when each segment that is still there was last written to.
    """

    timeline: int
    position: Lsn
    now: datetime
    settled_at: Lsn | None = None
    written_at: Fact[Mapping[str, datetime]] = UNSEEN
    size_bytes: Fact[int] = UNSEEN


@dataclass(frozen=True, slots=True)
class Reach:
    """What a restore from a repository is proven to bring back: a complete backup, and WAL without a hole to ``end``.

    ``last_segment`` is the name of the segment that ends there.
    """

    backup: str
    backup_at: datetime
    raw_bytes: int
    timeline: int
    end: Lsn
    last_segment: str
    hole: str | None = None
    """The first segment that is missing although more is there."""


@dataclass(frozen=True, slots=True)
class Refuge:
    """A repository that is left when the site is gone. ``reach`` is None where it is known to hold no backup.

    ``key_doubt`` says why the key that the plan calls kept elsewhere may not exist.
    """

    name: str
    location: str
    has_key_elsewhere: bool
    reach: Fact[Reach | None]
    key_doubt: str = ""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A cluster whose primary is at the site. ``drills`` are all that the ledger tells of it, oldest first."""

    name: str
    server: Fact[LiveServer]
    refuges: tuple[Refuge, ...]
    drills: Fact[tuple[Drill, ...]]
    at_the_site: tuple[str, ...] = ()
    """Repositories that are lost with it."""


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """A site that holds a primary. ``has_hosts_elsewhere``: the plan names a machine at another site."""

    name: str
    now: datetime
    objectives: Objectives
    clusters: tuple[ClusterFacts, ...]
    has_hosts_elsewhere: bool = True
    declared: tuple[str, ...] = ()
    """What the plan declares and nothing acts on: it counts for nothing."""
