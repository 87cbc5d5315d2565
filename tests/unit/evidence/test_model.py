"""What an entry may say: never more than its own parts."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import msgspec
import pytest

from seawall.evidence.canonical import canonical, parse_canonical
from seawall.evidence.entry import Place, parse_entry, seal_entry
from seawall.evidence.envelope import seal
from seawall.evidence.errors import EvidenceUnfit
from seawall.evidence.model import (
    STATEMENTS,
    Assertion,
    AssertionOutcome,
    Correction,
    DrillEvidence,
    DrillOutcome,
    Note,
    Objective,
    SignOff,
    Statement,
    judge,
    milliseconds,
    plan_hash,
)
from tests.unit.evidence.sample_ledger import STARTED, correction, drill, key, note

FIRST = Place("ab" * 16, 1, None, 0)


def sealed(statement: Statement) -> bytes:
    return seal_entry(statement, FIRST, key(), entry_id="00" * 16, at=STARTED)


@pytest.mark.parametrize("count", range(4))
def test_the_best_that_may_be_said_over_all_outcomes(count: int) -> None:
    for outcomes in itertools.product(AssertionOutcome, repeat=count):
        assertions = [Assertion(name="a", outcome=outcome) for outcome in outcomes]
        for missed in (False, True):
            objectives = [Objective(), Objective(target_ms=5), Objective(target_ms=5, reached_ms=5 + missed)]
            found = judge(assertions, *objectives)
            if missed or AssertionOutcome.FAILED in outcomes:
                assert found is DrillOutcome.FAILED
            elif not outcomes or AssertionOutcome.COULD_NOT_RUN in outcomes:
                assert found is DrillOutcome.INCOMPLETE
            else:
                assert found is DrillOutcome.PASSED


def test_an_objective_is_met_only_where_both_are_known() -> None:
    assert Objective().is_met is None
    assert Objective(target_ms=5).is_met is None and Objective(reached_ms=5).is_met is None
    assert Objective(target_ms=5, reached_ms=5).is_met is True
    assert Objective(target_ms=5, reached_ms=6).is_met is False


@pytest.mark.parametrize("claimed", DrillOutcome)
@pytest.mark.parametrize("outcome", AssertionOutcome)
def test_a_drill_claims_no_more_than_it_measured(claimed: DrillOutcome, outcome: AssertionOutcome) -> None:
    order = [DrillOutcome.FAILED, DrillOutcome.INCOMPLETE, DrillOutcome.PASSED]
    honest = drill("d", outcome)
    made = msgspec.structs.replace(honest, outcome=claimed)
    if order.index(claimed) <= order.index(honest.outcome):
        sealed(made)
        return
    with pytest.raises(EvidenceUnfit, match="says"):
        sealed(made)


def test_a_missed_rto_is_no_success() -> None:
    with pytest.raises(EvidenceUnfit):
        sealed(msgspec.structs.replace(drill(reached_ms=900_001), outcome=DrillOutcome.PASSED))


def test_a_drill_that_ends_before_it_starts() -> None:
    with pytest.raises(EvidenceUnfit, match="before it started"):
        sealed(msgspec.structs.replace(drill(), ended_at=STARTED - timedelta(seconds=1)))


@pytest.mark.parametrize(
    "statement", [drill(), correction(2), note(), SignOff(about=3, who="eve", text="ok")]
)
def test_statements_read_back_as_they_were(statement: Statement) -> None:
    entry = parse_entry(sealed(statement))
    assert entry.statement == statement
    assert (entry.type, entry.version, entry.at) == (statement.TYPE, statement.VERSION, STARTED)


def test_who_and_where_are_filled_in() -> None:
    made = DrillEvidence(
        drill="d",
        scenario="s",
        source=drill().source,
        outcome=DrillOutcome.FAILED,
        started_at=STARTED,
        ended_at=STARTED,
    )
    assert made.who and made.host and made.seawall_version


@pytest.mark.parametrize(
    "change",
    [
        {"started_at": datetime(2026, 1, 1)},
        {"rto": Objective(target_ms=1.5)},  # type: ignore[arg-type]
        {"rto": Objective(target_ms=-1)},
        {"measures": {"rate": 1.5}},
        {"measures": {"lsn": 2**60}},
        {"outcome": DrillOutcome.FAILED, "deviations": "a text"},
        {"scenario": None},
    ],
)
def test_what_has_no_exact_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((EvidenceUnfit, TypeError)) as raised:
        sealed(msgspec.structs.replace(drill(), **change))
    assert raised.type is EvidenceUnfit or "offset" in str(raised.value)


def test_empty_words_are_refused() -> None:
    for statement in (Note(text=" "), SignOff(about=1, who=""), correction(1)):
        if isinstance(statement, Correction):
            statement = msgspec.structs.replace(statement, owner="")
        with pytest.raises(EvidenceUnfit, match="is missing"):
            sealed(statement)


def test_members_of_a_later_version_are_kept() -> None:
    """A ledger outlives the Seawall that reads it: what it doesn't know is shown, and proven, all the same."""

    class LaterDrill(DrillEvidence, frozen=True, kw_only=True):
        weather: str = "rain"

    made = LaterDrill(**{name: getattr(drill(), name) for name in DrillEvidence.__struct_fields__})
    entry = parse_entry(sealed(made))
    assert entry.body["weather"] == "rain"
    assert entry.statement == drill()


def test_a_type_or_version_that_is_not_known_is_no_error() -> None:
    class LaterNote(Note, frozen=True, kw_only=True):
        VERSION = 2

    class Poem(Note, frozen=True, kw_only=True):
        TYPE = "poem"

    for statement in (LaterNote(text="x"), Poem(text="x")):
        entry = parse_entry(sealed(statement))
        assert entry.statement is None and entry.body["text"] == "x"


def test_secrets_are_struck_out_of_what_is_signed() -> None:
    spoken = Assertion(name="a", outcome=AssertionOutcome.FAILED, detail="host=db1 password=hunter2")
    data = sealed(msgspec.structs.replace(drill(), assertions=(spoken,), outcome=DrillOutcome.FAILED))
    payload = parse_entry(data).envelope.payload.decode()
    assert "hunter2" not in payload and "host=db1" in payload


@pytest.mark.parametrize("change", [{"seawall": "term"}, {"signer": "ab" * 32}, {"number": -1}, {"body": 7}])
def test_a_signed_payload_that_is_no_entry(change: dict[str, object]) -> None:
    fields = parse_canonical(parse_entry(sealed(note())).envelope.payload)
    with pytest.raises(ValueError):
        parse_entry(seal(canonical({**fields, **change}), key()))


def test_types_are_told_apart() -> None:
    assert len(STATEMENTS) == 7
    assert all(name == kind.TYPE for name, kind in STATEMENTS.items())


def test_durations_and_plans() -> None:
    assert milliseconds(1.2345) == 1234 and milliseconds(0) == 0
    assert plan_hash("version: 1\n") == "09bfcc6a14b83e2192b8673677725c84883ee9cd0c70e45c9ec09daa8f2b2847"
