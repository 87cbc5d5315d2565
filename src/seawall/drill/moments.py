"""Which moment a drill goes back to: the latest, one that was named, or one drawn at random and told.

A moment that is always the newest proves only itself. The seed of a random one is recorded: with it the same drill can
be held again.
"""

from __future__ import annotations

import enum
import random
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta


class Wish(enum.Enum):
    """What was asked for."""

    LATEST = "latest"
    RANDOM = "random"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class MomentWish:
    """The moment of a drill. ``at`` is for TIME, ``seed`` for RANDOM."""

    wish: Wish
    at: datetime | None = None
    seed: int = 0

    @classmethod
    def random(cls, seed: int | None = None) -> MomentWish:
        return cls(Wish.RANDOM, seed=secrets.randbits(32) if seed is None else seed)

    @classmethod
    def latest(cls) -> MomentWish:
        return cls(Wish.LATEST)

    @classmethod
    def time(cls, at: datetime) -> MomentWish:
        return cls(Wish.TIME, at=at)

    def within(self, first: datetime, last: datetime) -> datetime | None:
        """Return the moment inside a window, to the second; None means the latest."""
        if self.wish is Wish.TIME:
            return self.at
        if self.wish is Wish.LATEST:
            return None
        start = first.replace(microsecond=0) + timedelta(seconds=1)
        if start > last:
            return None  # right after the first backup there is no other moment yet
        span = int((last - start).total_seconds())
        return start + timedelta(seconds=random.Random(self.seed).randint(0, span))

    def choose(self, count: int) -> int:
        """Return which of ``count`` backups, ordered by age with the newest last, is taken."""
        return count - 1 if self.wish is not Wish.RANDOM else random.Random(self.seed).randrange(count)

    def words(self, at: datetime | None) -> str:
        """Return how the evidence calls it."""
        how = f" (random, seed {self.seed})" if self.wish is Wish.RANDOM else ""
        if at is None:
            return f"latest{how}"
        return f"{at:%Y-%m-%d %H:%M:%S} UTC{how}"
