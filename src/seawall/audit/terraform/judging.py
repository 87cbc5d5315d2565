"""How rules over Terraform go through resources: each is judged for itself, so that one which hides a value takes
no other's verdict away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias, TypeVar

from seawall.audit.rule import Verdict, cannot_tell, not_applicable
from seawall.audit.terraform.facts import TerraformFacts
from seawall.model.fact import FactUnknown

Verdicts: TypeAlias = Verdict | Iterable[Verdict]
Judge: TypeAlias = Callable[[TerraformFacts], Iterator[Verdict]]


class Addressed(Protocol):
    """What a verdict can be about."""

    @property
    def address(self) -> str: ...


ItemT = TypeVar("ItemT", bound=Addressed)


def for_each(
    select: Callable[[TerraformFacts], Iterable[ItemT]],
    judge: Callable[[TerraformFacts, ItemT], Verdicts | None],
    *,
    none: str,
) -> Judge:
    """Ask ``judge`` about every item; None means that the question makes no sense for it. Where there is nothing
    to ask about, the rule is not applicable because ``none``."""

    def judged(facts: TerraformFacts) -> Iterator[Verdict]:
        asked = False
        for item in select(facts):
            for verdict in _ask(facts, item, judge):
                asked = True
                yield verdict
        if not asked:
            yield not_applicable(none)

    return judged


def _ask(
    facts: TerraformFacts, item: ItemT, judge: Callable[[TerraformFacts, ItemT], Verdicts | None]
) -> list[Verdict]:
    try:
        said = judge(facts, item)
        found = [] if said is None else [said] if isinstance(said, Verdict) else list(said)
    except FactUnknown as missing:
        found = [cannot_tell(missing.unknown.reason, missing.unknown.needs)]
    return [_about(verdict, item.address) for verdict in found]


def _about(verdict: Verdict, address: str) -> Verdict:
    return Verdict(
        verdict.result,
        verdict.text,
        verdict.subject or address,
        verdict.evidence,
        verdict.remedy,
        verdict.severity,
    )
