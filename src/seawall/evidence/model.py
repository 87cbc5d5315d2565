"""What an entry may state. Fill these values; :meth:`seawall.evidence.ledger.Ledger.append` does the rest.

Every kind has a ``VERSION``. Adding a member with a default keeps it: older readers keep what they don't know.
Durations are whole milliseconds, for reasons that :mod:`~seawall.evidence.canonical` gives (:func:`milliseconds`
rounds); times are aware. What is not known is None, and never a guess.

Entries are in the clear: counts and digests, never rows, never secrets.
"""

from __future__ import annotations

import enum
import getpass
import hashlib
import os
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, TypeAlias

import msgspec

from seawall import __version__
from seawall.evidence.errors import EvidenceUnfit

Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""An aware time: one without an offset is refused."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored: ``tool`` is ``seawall``, ``pgbackrest``, ``barman`` or ``pg_dump``; ``location`` a URL or
    path without credentials; ``backup`` the tool's own name of it."""

    tool: str
    location: str
    cluster: str | None = None
    backup: str | None = None
    backup_at: Time | None = None
    system_identifier: str | None = None
    raw_bytes: Count | None = None


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One step that was timed, in order: ``detect``, ``decide``, ``fetch``, ``restore``, ``replay``, ``check`` …"""

    name: str
    elapsed_ms: Count
    byte_count: Count | None = None


class RecoveryPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the recovered service stood: its last transaction, and the place in the WAL as PostgreSQL writes it."""

    asked: str = "latest"
    at: Time | None = None
    lsn: str | None = None
    timeline: Count | None = None


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """A promise and what was measured against it; for the RTO, ``reached_ms`` includes the declared detection."""

    target_ms: Count | None = None
    reached_ms: Count | None = None
    detection_ms: Count | None = None

    @property
    def is_met(self) -> bool | None:
        """None where there is no target, or nothing was measured."""
        if self.target_ms is None or self.reached_ms is None:
            return None
        return self.reached_ms <= self.target_ms


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What the measured rates say of the full-size database, where the drill's was smaller."""

    raw_bytes: Count
    rto_ms: Count
    basis: str


class AssertionOutcome(enum.StrEnum):
    """How an assertion ended. ``SLOW`` held, but took longer than it may; what could not run proved nothing."""

    PASSED = "passed"
    FAILED = "failed"
    SLOW = "slow"
    COULD_NOT_RUN = "could-not-run"


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was checked. ``figures`` are counts (numbers) and digests (text); ``detail`` quotes no row."""

    name: str
    outcome: AssertionOutcome
    detail: str = ""
    elapsed_ms: Count | None = None
    tries: Count = 1
    """More than 1: it failed first, and held when it was asked again (flaky)."""
    figures: dict[str, int | str] = {}


class DrillOutcome(enum.StrEnum):
    """``INCOMPLETE``: nothing failed, but not everything could be asked."""

    PASSED = "passed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


_RANKS = [DrillOutcome.FAILED, DrillOutcome.INCOMPLETE, DrillOutcome.PASSED]


def judge(assertions: Sequence[Assertion], *objectives: Objective) -> DrillOutcome:
    """Return the best that may be said of a drill with these results.

    A check that could not run is not a check that passed, nothing checked is nothing proven, and a missed
    objective is a failure however well the data came back.
    """
    outcomes = {assertion.outcome for assertion in assertions}
    if AssertionOutcome.FAILED in outcomes or any(objective.is_met is False for objective in objectives):
        return DrillOutcome.FAILED
    if AssertionOutcome.COULD_NOT_RUN in outcomes or not outcomes:
        return DrillOutcome.INCOMPLETE
    return DrillOutcome.PASSED


class DrillEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One drill or real recovery, whatever became of it. ``outcome`` may be worse than :func:`judge` says (the
    drill was killed), never better."""

    TYPE: ClassVar[str] = "drill"
    VERSION: ClassVar[int] = 1

    drill: str
    """The drill's own id, from its directory and reports."""
    scenario: str
    """What was rehearsed, in words: ``restore of the newest backup to a random moment``."""
    source: Source
    outcome: DrillOutcome
    started_at: Time
    ended_at: Time
    phases: tuple[Phase, ...] = ()
    recovery_point: RecoveryPoint = RecoveryPoint()
    rto: Objective = Objective()
    rpo: Objective = Objective()
    assertions: tuple[Assertion, ...] = ()
    deviations: tuple[str, ...] = ()
    """What was not as in a real disaster, or not as planned: smaller machine, skipped phase, other version."""
    measures: dict[str, int | str] = {}
    """Further figures: bytes, rates, versions of programs."""
    forecast: Forecast | None = None
    plan_sha256: str | None = None
    """SHA-256 of the plan's text (:func:`plan_hash`); None without a plan."""
    is_real: bool = False
    """True for a real recovery."""
    who: str = msgspec.field(default_factory=lambda: this_user())
    host: str = msgspec.field(default_factory=lambda: this_host())
    seawall_version: str = __version__

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it, and as an entry's body would."""
        made: dict[str, Any] = msgspec.to_builtins(self)
        return made

    def check(self) -> None:
        """Raise EvidenceUnfit if it claims more than its own parts say."""
        best = judge(self.assertions, self.rto, self.rpo)
        if _RANKS.index(self.outcome) > _RANKS.index(best):
            raise EvidenceUnfit(
                f"drill {self.drill!r} is called {self.outcome}, and what it measured says {best}",
                hint="take the outcome from seawall.evidence.model.judge",
            )
        if self.ended_at < self.started_at:
            raise EvidenceUnfit(f"drill {self.drill!r} ended before it started")


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about a failed drill, and by when. The failed entry stays; later ones may correct this one."""

    TYPE: ClassVar[str] = "correction"
    VERSION: ClassVar[int] = 1

    about: Count
    """The number of the entry that is corrected."""
    owner: str
    due: date
    note: str
    who: str = msgspec.field(default_factory=lambda: this_user())

    def check(self) -> None:
        """Raise EvidenceUnfit if it names nobody or nothing."""
        _require(self.owner, "an owner")
        _require(self.note, "a note")


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Words of a person, about an entry or the ledger as a whole."""

    TYPE: ClassVar[str] = "note"
    VERSION: ClassVar[int] = 1

    text: str
    about: Count | None = None
    who: str = msgspec.field(default_factory=lambda: this_user())

    def check(self) -> None:
        """Raise EvidenceUnfit if it says nothing."""
        _require(self.text, "a text")


class SignOff(msgspec.Struct, frozen=True, kw_only=True):
    """A person has looked at the entry, and at all before it, and takes responsibility for it."""

    TYPE: ClassVar[str] = "sign-off"
    VERSION: ClassVar[int] = 1

    about: Count
    text: str = ""
    who: str = msgspec.field(default_factory=lambda: this_user())

    def check(self) -> None:
        """Raise EvidenceUnfit if nobody signs off."""
        _require(self.who, "who signs off")


class Genesis(msgspec.Struct, frozen=True, kw_only=True):
    """The first entry: what ledger this is, and the key of the host that began it."""

    TYPE: ClassVar[str] = "genesis"
    VERSION: ClassVar[int] = 1

    name: str
    public_key: str
    """PEM (SubjectPublicKeyInfo), as ``openssl`` reads it."""
    label: str
    repository: str | None = None
    """The id of the repository that it was begun in; None in a plain folder."""
    seawall_version: str = __version__

    def check(self) -> None:
        """Nothing beyond its types."""


class SignerAdded(msgspec.Struct, frozen=True, kw_only=True):
    """A known signer introduces the key of another host."""

    TYPE: ClassVar[str] = "signer-added"
    VERSION: ClassVar[int] = 1

    public_key: str
    label: str
    who: str = msgspec.field(default_factory=lambda: this_user())

    def check(self) -> None:
        """Nothing beyond its types; the ledger reads the key."""


class SignerRetired(msgspec.Struct, frozen=True, kw_only=True):
    """A known signer ends the right of a key (perhaps its own) to sign what comes after this entry."""

    TYPE: ClassVar[str] = "signer-retired"
    VERSION: ClassVar[int] = 1

    signer: str
    """The key's fingerprint."""
    reason: str
    who: str = msgspec.field(default_factory=lambda: this_user())

    def check(self) -> None:
        """Raise EvidenceUnfit if no reason is given."""
        _require(self.reason, "a reason")


Statement: TypeAlias = DrillEvidence | Correction | Note | SignOff | Genesis | SignerAdded | SignerRetired
"""Everything that an entry may state."""

STATEMENTS: dict[str, type[Statement]] = {
    kind.TYPE: kind
    for kind in (DrillEvidence, Correction, Note, SignOff, Genesis, SignerAdded, SignerRetired)
}
SIGNER_TYPES = frozenset({Genesis.TYPE, SignerAdded.TYPE, SignerRetired.TYPE})
"""The types of entries that decide who may sign."""


def milliseconds(seconds: float) -> int:
    """Return ``seconds`` as entries state durations."""
    return round(seconds * 1000)


def plan_hash(text: str) -> str:
    """Return a plan's SHA-256, as ``sha256sum plan.yaml`` prints it."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def this_user() -> str:
    """Return who runs this program; ``sudo`` does not hide the person."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = f"uid {os.geteuid()}"
    person = os.environ.get("SUDO_USER", "")
    return f"{person} (as {user})" if person and person != user else user


def this_host() -> str:
    return os.uname().nodename


def _require(text: str, what: str) -> None:
    if not text.strip():
        raise EvidenceUnfit(f"{what} is missing")
