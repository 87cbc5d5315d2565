"""Does every database let us in, and what do the checks say: asked twice before it counts as a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from seawall.drill.assertions.inquiry import (
    Answer,
    Inquiry,
    could_not_run,
    failed,
    passed,
    refusal_words,
    verdict,
    without_server,
)
from seawall.evidence.model import AssertionOutcome
from seawall.model.errors import SeawallError, Unavailable
from seawall.postgres.databases import check_every_database
from seawall.restore.planning.request import Check


def ask_databases(inquiry: Inquiry) -> Sequence[Answer]:
    """A missing locale makes single databases refuse, while the server runs."""
    dsn = inquiry.server.dsn("template1")
    for tries in (1, 2):  # noqa: B007 - how often it was asked is told
        reports = [item for item in check_every_database(dsn) if not item.is_meant_to_refuse]
        inquiry.databases = [item.name for item in reports if not item.refusal]
        refusing = [f"{item.name}: {without_server(item.refusal)}" for item in reports if item.refusal]
        if not refusing:
            break
    named = ", ".join(sorted(inquiry.databases))
    (answer,) = verdict(refusing, named, databases=len(reports))
    return [replace(answer, tries=tries)]


def ask_isolation(inquiry: Inquiry) -> Sequence[Answer]:
    """The drill itself must be harmless: it is asked of the server, not believed of its command line."""
    wanted = {
        "archive_mode": "off",
        "listen_addresses": "",
        "max_wal_senders": "0",
        "primary_conninfo": "",
        "max_logical_replication_workers": "0",
        "max_worker_processes": "0",
    }
    with inquiry.server.session("template1") as session:
        found: dict[str, str] = dict(
            session.query_all("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(wanted),))
        )
    troubles = [f"{name} = {found.get(name)!r}" for name, value in wanted.items() if found.get(name) != value]
    return verdict(troubles, "no archiving, no replication, no jobs, no TCP port")


def ask_checks(inquiry: Inquiry) -> Sequence[Answer]:
    """The plan's questions, or the command line's."""
    return [_put_twice(inquiry, check) for check in inquiry.checks]


def _put_twice(inquiry: Inquiry, check: Check) -> Answer:
    first = _put(inquiry, check)
    if first.outcome is AssertionOutcome.PASSED:
        return first
    second = _put(inquiry, check)
    if second.outcome is AssertionOutcome.PASSED:
        return replace(second, tries=2, detail=f"flaky: the first time it {first.detail}")
    return replace(second, tries=2)


def _put(inquiry: Inquiry, check: Check) -> Answer:
    at = inquiry.recovered_to or datetime.now(UTC)
    database = check.database or _only_database(inquiry)
    if not database:
        return replace(could_not_run("say which database it asks: --database"), name=f"check: {check.name}")
    sql = check.sql.replace(":recovered_to", f"timestamptz '{at:%Y-%m-%d %H:%M:%S.%f+00}'")
    try:
        with inquiry.server.session(database, search_path=None) as session:
            rows = inquiry.query(session, sql)
    except Unavailable as error:
        return replace(could_not_run(without_server(error.message)), name=f"check: {check.name}")
    except SeawallError as error:
        return replace(failed(refusal_words(error)), name=f"check: {check.name}")
    value = rows[0][0] if rows and rows[0] else None
    answer = passed("returned true") if value is True else failed(f"returned {_kind(value, rows)}, not true")
    return replace(answer, name=f"check: {check.name}")


def _only_database(inquiry: Inquiry) -> str:
    """Return the database that a check without one means: the only one beside those that every server has."""
    own = [name for name in inquiry.databases if name not in ("postgres", "template1")] or ["postgres"]
    return own[0] if len(own) == 1 else ""


def _kind(value: object, rows: Sequence[object]) -> str:
    """Say what came back without saying what it holds."""
    if value is None:
        return "null" if rows else "no row"
    return "false" if value is False else f"a value of another kind ({type(value).__name__})"
