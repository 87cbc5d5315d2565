"""One question after the other within a total deadline; what goes wrong with one is only its own answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from seawall.model.clock import Clock
from seawall.model.errors import Refused, Unavailable
from seawall.model.fact import Fact, Unknown
from seawall.postgres.errors import ServerPermissionMissing
from seawall.postgres.session import ServerSession

T = TypeVar("T")

QUESTION_LIMIT_S = 5.0
_STATEMENT_TIMEOUT = f"{QUESTION_LIMIT_S * 2:.0f}s"
"""The server's own limit, for statements of a process that died meanwhile."""


class Inquiry:
    """Asks until the time is up. ``grant`` is what a role that sees too little needs."""

    def __init__(self, clock: Clock, deadline_s: float, grant: str = "GRANT pg_monitor TO the role") -> None:
        self._clock = clock
        self._ends_at = clock.monotonic() + deadline_s
        self.deadline_s = deadline_s
        self.grant = grant

    @property
    def left_s(self) -> float:
        """How long may still be spent."""
        return max(0.0, self._ends_at - self._clock.monotonic())

    @property
    def limit_s(self) -> float:
        """How long the next question may take."""
        return min(QUESTION_LIMIT_S, self.left_s)

    def ask(self, what: str, question: Callable[[float], T]) -> Fact[T]:
        """Return the answer to ``question`` (called with its time limit), or why there is none."""
        if self.limit_s <= 0:
            return self.out_of_time(what)
        try:
            return question(self.limit_s)
        except ServerPermissionMissing:
            return Unknown(f"the role may not see {what}", self.grant)
        except (Unavailable, Refused) as error:
            return Unknown(f"{what} could not be seen: {error.message}", error.hint)

    def out_of_time(self, what: str) -> Unknown:
        """Return the answer to a question that there was no time for."""
        return Unknown(
            f"there was no time left to look at {what} ({self.deadline_s:g} s)",
            "more time: seawall audit --deadline 2m",
        )


def make_read_only(session: ServerSession) -> None:
    """Let nothing that this session does change anything or wait for long. Raises as its queries."""
    session.deadline_s = QUESTION_LIMIT_S
    session.execute(
        f"SET default_transaction_read_only = on; SET statement_timeout = '{_STATEMENT_TIMEOUT}';"
        " SET lock_timeout = '1s'"
    )
