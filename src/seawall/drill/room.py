"""What a source is given to work with: the scratch folder, PostgreSQL's programs, a user, and a time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from seawall.drill.isolation import Isolation
from seawall.drill.scratch import Scratch
from seawall.drill.tools import ToolRun
from seawall.model.clock import Clock
from seawall.postgres.programs import ServerPrograms

OnPhase = Callable[[str, int, int | None], None]
"""Progress: phase, bytes done, bytes in all."""


@dataclass(slots=True)
class Room:
    """One drill's place and means. What a source finds out on the way is collected here."""

    scratch: Scratch
    programs: ServerPrograms
    isolation: Isolation
    clock: Clock
    jobs: int
    deadline_s: float
    on_phase: OnPhase
    deviations: list[str] = field(default_factory=list)
    tool_runs: list[ToolRun] = field(default_factory=list)
    missing_roles: list[str] | None = None
    """Roles that a dump names and doesn't carry; None where that can't happen."""

    @property
    def data(self) -> Path:
        return self.scratch.data

    def settle(self) -> None:
        """Give everything to the server's user, once a source has filled the folder."""
        self.scratch.give_all_to(self.isolation.user.uid, self.isolation.user.gid)
