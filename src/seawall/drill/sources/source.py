"""The seam between a drill and the many kinds of backups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from seawall.drill.moments import MomentWish
from seawall.drill.room import Room
from seawall.drill.server import DrillServer
from seawall.drill.wal_feed import Fetch, Inspect
from seawall.evidence.model import Source


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is about to be restored, found out without changing anything.

    ``need_bytes`` is what the scratch folder has to hold; ``major`` the server's version; ``asked`` the moment in
    words.
    """

    source: Source
    major: int
    need_bytes: int
    asked: str
    scenario: str
    at: datetime | None = None
    point_at: datetime | None = None
    """How old the data is at best, where no replay tells: when the dump was made."""


@dataclass(slots=True)
class Filled:
    """A data directory that a server can start on. ``fetch`` gives it WAL; ``settings`` are the source's own."""

    raw_bytes: int
    fetch: Fetch | None = None
    inspect: Inspect | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    """Names that may be a superuser's in there."""


class DrillSource(Protocol):
    """A kind of backup. Nothing in it writes to the backups themselves."""

    @property
    def is_physical(self) -> bool:
        """Whether pages come back as they were: checksums, WAL and page damage can be judged then."""
        ...

    def look(self, wish: MomentWish) -> Prospect:
        """Find what to restore. Raises NotFound, InvalidInput, Unavailable leaves; nothing was changed."""
        ...

    def fill(self, prospect: Prospect, room: Room) -> Filled:
        """Make the data directory in ``room``. Raises DrillFailed and what restoring raises."""
        ...

    def load(self, prospect: Prospect, room: Room, server: DrillServer) -> int:
        """Bring in what needs a running server; return its bytes. Raises as :meth:`fill`."""
        ...

    def ended_early(self, server: DrillServer) -> str:
        """Say what is missing between the end of the recovery and the end of the archive, "" if nothing is."""
        ...
