"""All claims, in the order in which they are made, and how each is put: timed, and never believed without an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seawall.drill.assertions import catalogs, connections, contents, files
from seawall.drill.assertions.inquiry import Answer, Claim, Inquiry, could_not_run, failed, without_server
from seawall.drill.server import running
from seawall.evidence.model import Assertion, AssertionOutcome, milliseconds
from seawall.model.clock import Clock
from seawall.model.errors import IntegrityError, SeawallError
from seawall.postgres.errors import StatementRefused

CLAIMS: tuple[Claim, ...] = (
    Claim("isolation", connections.ask_isolation),
    Claim("databases answer", connections.ask_databases),
    Claim("restore tool", files.ask_tools, applies=lambda inquiry: bool(inquiry.server.room.tool_runs)),
    Claim("WAL is whole", files.ask_wal, applies=lambda inquiry: inquiry.is_physical),
    Claim("checks", connections.ask_checks, applies=lambda inquiry: bool(inquiry.checks)),
    Claim("roles", catalogs.ask_roles),
    Claim("extensions", catalogs.ask_extensions),
    Claim("collations", catalogs.ask_collations),
    Claim("indexes valid", catalogs.ask_indexes),
    Claim("rows", contents.ask_rows),
    Claim("sequences", catalogs.ask_sequences),
    Claim("foreign keys", catalogs.ask_foreign_keys),
    Claim("large objects", contents.ask_large_objects),
    Claim("amcheck", files.ask_amcheck),
    Claim("page checksums", files.ask_checksums, is_of_stopped=True, applies=files.has_checksums),
)


def make_claims(claims: Sequence[Claim], inquiry: Inquiry, clock: Clock) -> Iterator[Assertion]:
    """Yield the outcome of every claim that applies."""
    for claim in claims:
        if not claim.applies(inquiry):
            continue
        began = clock.monotonic()
        answers = _answers(claim, inquiry)
        elapsed_s = (clock.monotonic() - began) / max(1, len(answers))
        for answer in answers:
            yield _assertion(claim, answer, elapsed_s, inquiry)


def _answers(claim: Claim, inquiry: Inquiry) -> Sequence[Answer]:
    try:
        return claim.ask(inquiry)
    except (StatementRefused, IntegrityError) as error:
        # Our own questions are right: what the server can't answer is in its data.
        return [failed(without_server(error.message))]
    except SeawallError as error:
        if not claim.is_of_stopped and running(inquiry.server.room) is None:
            return [failed("the server ended while it was asked")]
        return [could_not_run(without_server(error.message))]


def _assertion(claim: Claim, answer: Answer, elapsed_s: float, inquiry: Inquiry) -> Assertion:
    outcome = answer.outcome
    if outcome is AssertionOutcome.PASSED and elapsed_s > inquiry.slow_after_s:
        outcome = AssertionOutcome.SLOW
    return Assertion(
        name=answer.name or claim.name,
        outcome=outcome,
        detail=answer.detail,
        elapsed_ms=milliseconds(elapsed_s),
        tries=answer.tries,
        figures=dict(answer.figures),
    )
