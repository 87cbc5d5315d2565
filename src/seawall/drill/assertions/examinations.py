"""All examinations, in the order in which they are held: each is timed, and never believed without an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seawall.drill.assertions import catalogs, connections, contents, files
from seawall.drill.assertions.inquiry import (
    Answer,
    Examination,
    Inquiry,
    could_not_run,
    failed,
    without_server,
)
from seawall.drill.server import running
from seawall.evidence.model import Assertion, AssertionOutcome, milliseconds
from seawall.model.clock import Clock
from seawall.model.errors import IntegrityError, SeawallError
from seawall.postgres.errors import StatementRefused

EXAMINATIONS: tuple[Examination, ...] = (
    Examination("isolation", connections.ask_isolation),
    Examination("databases answer", connections.ask_databases),
    Examination("restore tool", files.ask_tools, applies=lambda inquiry: bool(inquiry.server.room.tool_runs)),
    Examination("WAL is whole", files.ask_wal, applies=lambda inquiry: inquiry.is_physical),
    Examination("checks", connections.ask_checks, applies=lambda inquiry: bool(inquiry.checks)),
    Examination("roles", catalogs.ask_roles),
    Examination("extensions", catalogs.ask_extensions),
    Examination("collations", catalogs.ask_collations),
    Examination("indexes valid", catalogs.ask_indexes),
    Examination("rows", contents.ask_rows),
    Examination("sequences", catalogs.ask_sequences),
    Examination("foreign keys", catalogs.ask_foreign_keys),
    Examination("large objects", contents.ask_large_objects),
    Examination("amcheck", files.ask_amcheck),
    Examination("page checksums", files.ask_checksums, is_of_stopped=True, applies=files.has_checksums),
)


def examine(examinations: Sequence[Examination], inquiry: Inquiry, clock: Clock) -> Iterator[Assertion]:
    """Yield the outcome of every examination that applies."""
    for examination in examinations:
        if not examination.applies(inquiry):
            continue
        began = clock.monotonic()
        answers = _answers(examination, inquiry)
        elapsed_s = (clock.monotonic() - began) / max(1, len(answers))
        for answer in answers:
            yield _assertion(examination, answer, elapsed_s, inquiry)


def _answers(examination: Examination, inquiry: Inquiry) -> Sequence[Answer]:
    try:
        return examination.ask(inquiry)
    except (StatementRefused, IntegrityError) as error:
        # Our own questions are right: what the server can't answer is in its data.
        return [failed(without_server(error.message))]
    except SeawallError as error:
        if not examination.is_of_stopped and running(inquiry.server.room) is None:
            return [failed("the server ended while it was asked")]
        return [could_not_run(without_server(error.message))]


def _assertion(examination: Examination, answer: Answer, elapsed_s: float, inquiry: Inquiry) -> Assertion:
    outcome = answer.outcome
    if outcome is AssertionOutcome.PASSED and elapsed_s > inquiry.slow_after_s:
        outcome = AssertionOutcome.SLOW
    return Assertion(
        name=answer.name or examination.name,
        outcome=outcome,
        detail=answer.detail,
        elapsed_ms=milliseconds(elapsed_s),
        tries=answer.tries,
        figures=dict(answer.figures),
    )
