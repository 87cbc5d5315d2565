"""The error tree refuses leaves that scripts could not rely on, and keeps what a user is told."""

from __future__ import annotations

import pytest

from seawall.model.errors import REGISTRY, Bug, InvalidInput, SeawallError, Unavailable, UnexpectedFailure


def test_a_leaf_carries_message_hint_and_facts() -> None:
    error = UnexpectedFailure("it broke", hint="report it", report="/tmp/report")
    assert (str(error), error.hint, error.fields) == ("it broke", "report it", {"report": "/tmp/report"})
    assert (error.code, error.status) == ("unexpected-failure", 99)


def test_the_default_hint_serves_where_none_is_given() -> None:
    class Puzzled(SeawallError):
        default_hint = "look again"

    assert Puzzled("what?").hint == "look again"
    assert Puzzled("what?", hint="ask").hint == "ask"


def test_a_code_or_status_can_be_taken_only_once() -> None:
    with pytest.raises(TypeError, match="defined twice"):
        type("Again", (Bug,), {}, code="unexpected-failure", status=98)
    with pytest.raises(TypeError, match="defined twice"):
        type("Again", (Bug,), {}, code="another-failure", status=99)
    assert "another-failure" not in REGISTRY


@pytest.mark.parametrize("category", [InvalidInput, Unavailable])
def test_a_status_outside_its_category_is_refused(category: type[SeawallError]) -> None:
    with pytest.raises(TypeError, match="outside its category"):
        type("Astray", (category,), {}, code="astray", status=97)  # free, and a Bug's
    assert "astray" not in REGISTRY
