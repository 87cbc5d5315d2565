"""What a drill measures against what is promised: how much is lost, and how long a database of full size would take.

How old the last transaction is says nothing of an idle server: what is compared is where the living primary stood.
Only where it has gone on since what came back, the time since then counts as lost, and all of it, since nobody can
tell more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from seawall.drill.server import DrillServer
from seawall.evidence.model import Forecast, Phase, milliseconds
from seawall.model.units import format_bytes
from seawall.postgres.session import connect

_LARGER = 1.1
"""How much larger the living database has to be for a forecast to say something."""
_GROWING = ("restore", "replay", "load")


@dataclass(frozen=True, slots=True)
class Goals:
    """What is promised, None where nothing is; ``full_bytes`` is the size of the real database, if it is larger."""

    rto_s: float | None = None
    rpo_s: float | None = None
    detection_s: float | None = None
    full_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SourceMark:
    """Where a server stands: the next transaction that writes, its timeline, and how large its databases are."""

    next_xid: int
    timeline: int
    size_bytes: int


def observe_primary(dsn: str) -> SourceMark:
    """Return where the living primary stands. Only reads; raises as :func:`seawall.postgres.session.connect`."""
    with connect(dsn, application_name="seawall drill") as session:
        (size,) = session.query_one("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
        (xid,) = session.query_one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
        (timeline,) = session.query_one("SELECT timeline_id FROM pg_control_checkpoint()")
    return SourceMark(int(xid), int(timeline), int(size))


def mark_of_restored(server: DrillServer) -> SourceMark:
    """Return where the restored server stands, before anything was written in it."""
    return observe_primary(server.dsn("template1"))


def lost_s(
    began_at: datetime,
    at: datetime | None,
    primary: SourceMark | None,
    restored: SourceMark,
    *,
    is_physical: bool,
) -> float | None:
    """Return how much time's transactions would be lost if the disaster had been when the drill began.

    None where it can't be told. Zero where the primary has begun no transaction that the restored server doesn't know.
    """
    if is_physical and primary is not None and primary.next_xid <= restored.next_xid:
        return 0.0
    if at is None:
        return None
    return max(0.0, (began_at - at).total_seconds())


def forecast(
    goals: Goals, primary: SourceMark | None, phases: Sequence[Phase], raw_bytes: int
) -> Forecast | None:
    """Return how long a database of full size would take at the measured rates, where the drill's was smaller."""
    full = goals.full_bytes or (primary.size_bytes if primary is not None else 0)
    if not raw_bytes or full < raw_bytes * _LARGER:
        return None
    growing_ms = sum(phase.elapsed_ms for phase in phases if phase.name in _GROWING)
    fixed_ms = sum(phase.elapsed_ms for phase in phases if phase.name == "decide")
    total_ms = milliseconds(goals.detection_s or 0) + fixed_ms + growing_ms * full // raw_bytes
    return Forecast(
        raw_bytes=full, rto_ms=total_ms, basis=f"in proportion to the {format_bytes(raw_bytes)} of this drill"
    )
