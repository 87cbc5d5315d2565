"""What every examination is given, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from seawall.drill.server import DrillServer
from seawall.evidence.model import AssertionOutcome
from seawall.model.errors import SeawallError
from seawall.postgres.errors import DatabaseMissing, StatementRefused
from seawall.postgres.session import Row, ServerSession
from seawall.restore.planning.request import Check

_MOST_NAMED = 5
_SERVER = re.compile(r"^postgresql://\S+: ")
"""How a session begins its errors; there is only one server in a drill."""
_SAYS_NO_DATA = re.compile(
    r"(?:relation|column|function|schema|type|role|extension|table|database) .* does not exist|^permission denied"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One examination's outcome. ``name`` is for examinations that are several, as the plan's checks."""

    outcome: AssertionOutcome
    detail: str = ""
    figures: Mapping[str, int | str] = field(default_factory=dict)
    tries: int = 1
    name: str = ""


@dataclass(slots=True)
class Inquiry:
    """A restored server and what is asked of it. ``databases`` are those that let us in."""

    server: DrillServer
    is_physical: bool
    checks: Sequence[Check] = ()
    recovered_to: datetime | None = None
    expected_roles: Sequence[str] = ()
    expected_tables: Mapping[str, Mapping[str, Mapping[str, int | str]]] = field(default_factory=dict)
    """By database and table: ``rows`` and perhaps ``digest``, as captured with the backup."""
    missing_wal: str = ""
    databases: list[str] = field(default_factory=list)
    deadline_s: float = 3600.0
    slow_after_s: float = 600.0
    deviations: list[str] = field(default_factory=list)

    def in_each_database(self, ask: Callable[[ServerSession, str], Sequence[str]]) -> list[str]:
        """Put a question to every database that answers; return all troubles, with their database."""
        found: list[str] = []
        for database in self.databases:
            with self.server.session(database) as session:
                found += [f"{database}: {trouble}" for trouble in ask(session, database)]
        return found

    def query(self, session: ServerSession, sql: str, params: Sequence[object] = ()) -> list[Row]:
        return session.query_all(sql, params, deadline_s=self.deadline_s)


@dataclass(frozen=True, slots=True)
class Examination:
    """One assertion: ``ask`` raises SeawallError where it can't be answered.

    ``is_of_stopped``: asked of the files, once the server has ended. ``applies`` says whether it means anything here.
    """

    name: str
    ask: Callable[[Inquiry], Sequence[Answer]]
    is_of_stopped: bool = False
    applies: Callable[[Inquiry], bool] = lambda inquiry: True


def passed(detail: str = "", **figures: int | str) -> Answer:
    return Answer(AssertionOutcome.PASSED, detail, figures)


def failed(detail: str, **figures: int | str) -> Answer:
    return Answer(AssertionOutcome.FAILED, detail, figures)


def could_not_run(detail: str, **figures: int | str) -> Answer:
    return Answer(AssertionOutcome.COULD_NOT_RUN, detail, figures)


def verdict(troubles: Sequence[str], when_well: str, **figures: int | str) -> list[Answer]:
    """Return failed with the first troubles named, passed without any."""
    if troubles:
        more = f" and {len(troubles) - _MOST_NAMED} more" if len(troubles) > _MOST_NAMED else ""
        return [failed("; ".join(troubles[:_MOST_NAMED]) + more, **figures)]
    return [passed(when_well, **figures)]


def refusal_words(error: SeawallError) -> str:
    """Return an error of the server without what may be data: its words about values quote them."""
    if isinstance(error, StatementRefused | DatabaseMissing) and not _SAYS_NO_DATA.search(error.message):
        return "the server refused it with an error that may quote data"
    return without_server(error.message)


def without_server(message: str) -> str:
    return _SERVER.sub("", message)


def quoted(*names: str) -> str:
    """Return a qualified name as SQL writes it."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def count_of(number: int, what: str, plural: str = "") -> str:
    """Return ``1 row``, ``2 rows``, ``no rows``."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {plural or what + 's'}" if number else f"no {plural or what + 's'}"
