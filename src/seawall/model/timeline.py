"""Timelines and their history files (src/backend/access/transam/timeline.c).

Every promotion and every archive recovery starts a new timeline; its ``.history`` file lists the
ancestors and the positions at which each was left.
"""

from __future__ import annotations

from dataclasses import dataclass

from seawall.model.lsn import Lsn


@dataclass(frozen=True, slots=True)
class TimelineSwitch:
    """``timeline`` was left at ``at`` for the next one of the history."""

    timeline: int
    at: Lsn
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TimelineHistory:
    """The ancestry of ``timeline``, oldest first. Timeline 1 has no history file and no switches."""

    timeline: int
    switches: tuple[TimelineSwitch, ...] = ()

    @classmethod
    def parse(cls, timeline: int, text: str) -> TimelineHistory:
        """Read a history file's content. Raises ValueError as readTimeLineHistory would fail."""
        switches: list[TimelineSwitch] = []
        for line in text.splitlines():
            fields = line.split(None, 2)
            if not fields or fields[0].startswith("#"):
                continue
            if len(fields) < 2 or not fields[0].isdigit():
                raise ValueError(f"invalid line in the history of timeline {timeline}: {line!r}")
            parent, at = int(fields[0]), Lsn.parse(fields[1])
            if switches and parent <= switches[-1].timeline:
                raise ValueError(f"timelines must increase in the history of timeline {timeline}: {line!r}")
            switches.append(TimelineSwitch(parent, at, fields[2].strip() if len(fields) > 2 else ""))
        if switches and switches[-1].timeline >= timeline:
            raise ValueError(f"timeline {timeline} can't descend from timeline {switches[-1].timeline}")
        return cls(timeline, tuple(switches))

    def includes(self, timeline: int, lsn: int) -> bool:
        """Say whether a server at ``lsn`` on ``timeline`` can follow this history: "is a child of"."""
        if timeline == self.timeline:
            return not self.switches or lsn >= self.switches[-1].at
        previous = Lsn(0)
        for switch in self.switches:
            if switch.timeline == timeline:
                return previous <= lsn <= switch.at
            previous = switch.at
        return False
