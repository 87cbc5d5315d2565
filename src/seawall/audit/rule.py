"""What a rule is: a pure function from facts to verdicts, with the words that make its verdicts useful.

The model knows nothing about servers, plans or infrastructure: a rule is generic over the facts that it reads,
so rules over a running server, over a plan and over Terraform's files share one report, one set of waivers,
one documentation. A rule says *fail* only for what was seen, *pass* only for what was seen to be right;
whatever it could not see is *cannot tell*, with what it would need.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from seawall.audit.masking import printable
from seawall.model.fact import FactUnknown
from seawall.plan.model import Waiver

FactsT = TypeVar("FactsT", contravariant=True)


class Severity(enum.Enum):
    """What a failed rule means on the day of the disaster. Ordered: the worst is the greatest."""

    CRITICAL = "critical"
    """Data will be lost, or there is nothing to recover from."""
    HIGH = "high"
    """A likely disaster costs data, or much more time than promised."""
    MEDIUM = "medium"
    """A recovery gets harder, slower or less certain."""
    LOW = "low"
    """Worth knowing before it is needed."""

    @property
    def rank(self) -> int:
        """How bad it is, 1 to 4."""
        return 4 - list(Severity).index(self)

    def __lt__(self, other: Severity) -> bool:
        return self.rank < other.rank

    def __le__(self, other: Severity) -> bool:
        return self.rank <= other.rank

    def __gt__(self, other: Severity) -> bool:
        return self.rank > other.rank

    def __ge__(self, other: Severity) -> bool:
        return self.rank >= other.rank


class Result(enum.Enum):
    """How a rule came out."""

    FAIL = "fail"
    CANNOT_TELL = "cannot-tell"
    PASS = "pass"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of one subject (a cluster, a repository, a resource; empty where there is only one).

    ``text`` is one sentence: what is wrong, why it is right, why the rule can't apply, or what could not be
    seen. ``evidence`` is what was found, literally, without secrets. ``remedy`` is what to type or write
    (empty: the rule's own); of *cannot tell* it is what the rule would need. ``severity`` overrides the rule's.
    """

    result: Result
    text: str
    subject: str = ""
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    severity: Severity | None = None


def failed(
    text: str,
    *,
    subject: str = "",
    evidence: Iterable[str] = (),
    remedy: str = "",
    severity: Severity | None = None,
) -> Verdict:
    return Verdict(Result.FAIL, text, subject, tuple(evidence), remedy, severity)


def passed(text: str, *, subject: str = "", evidence: Iterable[str] = ()) -> Verdict:
    return Verdict(Result.PASS, text, subject, tuple(evidence))


def not_applicable(text: str, *, subject: str = "") -> Verdict:
    return Verdict(Result.NOT_APPLICABLE, text, subject)


def cannot_tell(text: str, needs: str, *, subject: str = "", evidence: Iterable[str] = ()) -> Verdict:
    return Verdict(Result.CANNOT_TELL, text, subject, tuple(evidence), needs)


@dataclass(frozen=True, slots=True)
class Story:
    """Something that happened: in a sentence or two, and where to look it up."""

    text: str
    source: str


@dataclass(frozen=True)  # not slotted: Rule[X](…) would fail (typing sets __orig_class__)
class Rule(Generic[FactsT]):
    """One rule. ``id`` is stable: waivers, scripts and links rely on it.

    ``title`` names the trouble ("archive_command reports success whatever happens"), ``why`` says what it does to a
    recovery, ``story`` shows it happened. ``remedy`` is a command or a plan edit that fits most cases. ``judge``
    is pure; it may end by :class:`~seawall.model.fact.FactUnknown`, which reads as *cannot tell*.
    """

    id: str
    severity: Severity
    title: str
    why: str
    story: Story
    remedy: str
    judge: Callable[[FactsT], Verdict | Iterable[Verdict]]

    @property
    def topic(self) -> str:
        """The first word of the id, under which rules are grouped: ``wal``, ``backup``, ``server``."""
        return self.id.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's verdict on one subject, with everything that a reader of it needs."""

    rule: Rule[Any]
    verdict: Verdict
    waiver: Waiver | None = None
    """Who accepts it, why and until when. Where its day has passed, it excuses nothing."""
    is_waived: bool = False

    @property
    def severity(self) -> Severity:
        return self.verdict.severity or self.rule.severity

    @property
    def remedy(self) -> str:
        return self.verdict.remedy or (self.rule.remedy if self.verdict.result is Result.FAIL else "")

    @property
    def is_failure(self) -> bool:
        return self.verdict.result is Result.FAIL


def apply_rules(rules: Iterable[Rule[FactsT]], facts: FactsT, *, subject: str = "") -> list[Finding]:
    """Judge ``facts`` by every rule, in their order. ``subject`` names what the facts are about, for verdicts
    that don't say it themselves."""
    return [Finding(rule, _about(verdict, subject)) for rule in rules for verdict in _verdicts(rule, facts)]


def _verdicts(rule: Rule[FactsT], facts: FactsT) -> tuple[Verdict, ...]:
    try:
        said = rule.judge(facts)
        return (said,) if isinstance(said, Verdict) else tuple(said)
    except FactUnknown as missing:
        return (cannot_tell(missing.unknown.reason, missing.unknown.needs),)


def _about(verdict: Verdict, subject: str) -> Verdict:
    """Name the subject where the verdict doesn't, and make what servers and plans say fit to be shown."""
    return Verdict(
        verdict.result,
        printable(verdict.text),
        printable(verdict.subject or subject),
        tuple(printable(line) for line in verdict.evidence),
        printable(verdict.remedy),
        verdict.severity,
    )
