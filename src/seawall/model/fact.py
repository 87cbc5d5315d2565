"""What was observed, or why it was not: "unknown" is a value, never a guess and never an empty default.

Observing code returns a fact for each matter that it looks at, so that one thing which may not be seen hides
nothing else. Code that decides from facts reads each through :func:`known` and so can't mistake what nobody
saw for something that is fine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that could not be observed: why, and what would make it known (a GRANT, a command)."""

    reason: str
    needs: str = ""


Fact: TypeAlias = T | Unknown
"""A value, or why there is none."""


class FactUnknown(Exception):
    """A decision needs a fact that is unknown; whoever asked for the decision says "cannot tell"."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.reason)
        self.unknown = unknown


def known(fact: T | Unknown) -> T:
    """Return the value of a fact. Raises FactUnknown."""
    if isinstance(fact, Unknown):
        raise FactUnknown(fact)
    return fact
