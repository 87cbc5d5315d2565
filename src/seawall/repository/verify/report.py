"""What ``verify`` found: values, and the places where threads add to them."""

from __future__ import annotations

import enum
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from seawall.repository.wal.errors import RepositoryDamaged

_MOST_NAMED = 100
"""Affected files that one finding names; a lost pack may hold thousands, and their count says enough."""


class Problem(enum.StrEnum):
    """What is wrong with an object."""

    DAMAGED = "damaged"
    MISSING = "missing"
    STRAY = "stray"
    """Nothing refers to it: no danger, but nobody wrote it in this format."""


class Finding(NamedTuple):
    """One object that is not as it was written. ``affects`` says in words what is lost with it."""

    key: str
    problem: Problem
    message: str
    affects: tuple[str, ...]


class VerifyProgress(NamedTuple):
    """How far it is. ``expected_bytes`` grows as more is discovered."""

    objects: int
    bytes_read: int
    expected_bytes: int
    findings: int


ProgressCallback = Callable[[VerifyProgress], None]


@dataclass(slots=True)
class VerifyReport:
    """The outcome. Intact means that every object looked at is bit for bit what was written."""

    repository_id: str
    fraction: float
    seed: int
    findings: list[Finding] = field(default_factory=list)
    stray: list[Finding] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    """Backups without a commit record: being written, dead, or robbed of the record."""
    not_restorable: dict[str, list[str]] = field(default_factory=dict)
    """Why, by backup id."""
    backups: list[str] = field(default_factory=list)
    objects: int = 0
    skipped_objects: int = 0
    """Left out because only a fraction was asked for."""
    bytes_read: int = 0
    notes: list[str] = field(default_factory=list)
    """What whoever relies on this should know; no damage."""

    @property
    def is_intact(self) -> bool:
        return not self.findings and not self.not_restorable

    def raise_if_damaged(self) -> None:
        """Raise RepositoryDamaged, with the first findings in its message, unless all is intact."""
        if self.is_intact:
            return
        shown = [f"{item.key} is {item.problem}: {item.message}" for item in self.findings[:3]]
        shown += [f"backup {name} can't be restored: {why[0]}" for name, why in self.not_restorable.items()][
            :3
        ]
        more = len(self.findings) - 3
        raise RepositoryDamaged(
            "; ".join(shown) + (f"; and {more} more" if more > 0 else ""),
            hint="restore from another repository, or a backup that is intact; take a new full backup now",
            findings=len(self.findings),
            not_restorable=sorted(self.not_restorable),
        )


class Sample:
    """Which objects are read, the same ones for the same seed: chosen by name, not by chance."""

    def __init__(self, fraction: float, seed: int) -> None:
        if not 0 < fraction <= 1:
            raise ValueError("the fraction to verify is more than 0 and at most 1")
        self.fraction = fraction
        self.seed = seed

    def takes(self, key: str) -> bool:
        if self.fraction >= 1:
            return True
        digest = hashlib.sha256(f"{self.seed}:{key}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.fraction * 2**64


class Ledger:
    """Collects findings and counts from several threads, and tells the progress."""

    def __init__(self, report: VerifyReport, sample: Sample, progress: ProgressCallback | None) -> None:
        self.report = report
        self.sample = sample
        self._progress = progress
        self._expected_bytes = 0
        self._lock = threading.Lock()

    def find(self, key: str, problem: Problem, message: str, affects: Sequence[str] = ()) -> None:
        """Record a finding; strays are kept apart."""
        named = tuple(affects[:_MOST_NAMED])
        if len(affects) > _MOST_NAMED:
            named += (f"and {len(affects) - _MOST_NAMED} more",)
        target = self.report.stray if problem is Problem.STRAY else self.report.findings
        with self._lock:
            target.append(Finding(key, problem, message, named))

    def lose(self, backup_id: str, why: str) -> None:
        """Record that a backup can't be restored."""
        with self._lock:
            reasons = self.report.not_restorable.setdefault(backup_id, [])
            if why not in reasons:
                reasons.append(why)

    def expect(self, size_bytes: int) -> None:
        with self._lock:
            self._expected_bytes += size_bytes

    def skip(self) -> None:
        with self._lock:
            self.report.skipped_objects += 1

    def count(self, *, objects: int = 0, size_bytes: int = 0) -> None:
        """Count what was read, and call back."""
        with self._lock:
            self.report.objects += objects
            self.report.bytes_read += size_bytes
            state = VerifyProgress(
                self.report.objects,
                self.report.bytes_read,
                max(self._expected_bytes, self.report.bytes_read),
                len(self.report.findings),
            )
            if self._progress is not None:
                self._progress(state)
