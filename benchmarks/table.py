"""One table: what was measured, against what, the ratio, the goal, and whether it holds."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEADINGS = ("Measured", "Cache", "Seawall", "Compared with", "", "Ratio", "Goal", "Holds")


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. ``goal`` is the ratio's bound, from above or, where ``is_at_least``, from below."""

    measured: str
    cache: str
    ours: float
    ours_text: str
    rival: str = ""
    theirs: float = 0.0
    theirs_text: str = ""
    goal: float | None = None
    is_at_least: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def holds(self) -> bool:
        if self.goal is None:
            return True
        return self.ratio >= self.goal if self.is_at_least else self.ratio <= self.goal

    def cells(self) -> tuple[str, ...]:
        """Return the row's words in the order of :data:`HEADINGS`."""
        ratio = f"{self.ratio:.2f}" if self.theirs else ""
        if self.goal is None:
            return (self.measured, self.cache, self.ours_text, self.rival, self.theirs_text, ratio, "", "")
        goal = f"{'≥' if self.is_at_least else '≤'} {self.goal:.2f}"
        verdict = "yes" if self.holds else "NO"
        return (self.measured, self.cache, self.ours_text, self.rival, self.theirs_text, ratio, goal, verdict)


def seconds_text(seconds: float) -> str:
    return f"{seconds:.2f} s"


def bytes_text(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def render(rows: Sequence[Row]) -> str:
    """Return the table as Markdown that is also easy on the eye in a terminal."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = ["| " + " | ".join(_pad(line, widths)) + " |" for line in lines]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def _pad(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]


def describe_machine(work: Path) -> str:
    """Name what the numbers depend on: cores, processor, memory, file system, kernel."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return (
        f"{os.cpu_count()} cores of {_processor()}, {memory / 2**30:.0f} GiB of memory, "
        f"{_file_system(work)}, Linux {platform.release()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(place: Path) -> str:
    """Return type and device of the mount that holds ``place``."""
    found = ("", "", "")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        device, mount, kind, *_ = line.split()
        if place.resolve().is_relative_to(mount) and len(mount) >= len(found[1]):
            found = (device, mount, kind)
    return f"{found[2]} on {found[0]}"
