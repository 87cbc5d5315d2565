"""Decide what the death of a site would cost. Pure.

The invariant: nothing is said that is better than what is active and measured. What is unknown stays unknown and
makes the whole unknown; a bound is rounded up by whoever says it; a duration comes from drills that passed and
whose signature is proven, of a repository that is left, stretched to the real size; a repository whose keys are lost
with the site brings nothing back; and a drill that failed since takes back what those before it proved.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf

from seawall.evidence.model import DrillOutcome
from seawall.model.fact import Unknown
from seawall.model.units import format_bytes
from seawall.reporting.history import Drill
from seawall.reporting.status.facts import ClusterFacts, LiveServer, Reach, Refuge, SiteFacts

LAST_DRILLS = 5
"""How many of the last drills that passed make the range."""
SAME_SIZE = 1.1
"""Up to this factor between a drill's size and the real one it was measured, beyond it is a forecast."""
_SEGMENT_HEADER_BYTES = 40
"""XLogLongPageHeaderData: where the position stands in a segment that holds no record yet."""


class LossKind(enum.StrEnum):
    """How much is known of what would be lost."""

    NOTHING = "nothing"
    BOUNDED = "bounded"
    EVERYTHING = "everything"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Loss:
    """What would be lost: at most ``seconds``, and ``byte_count`` of WAL, as far as each is known."""

    kind: LossKind
    seconds: float | None = None
    byte_count: int | None = None
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Back:
    """How long it would take, detection included; both None where that is unknown, and ``why``."""

    low_s: float | None = None
    high_s: float | None = None
    drills: tuple[int, ...] = ()
    stretched: float = 1.0
    why: str = ""

    @property
    def is_known(self) -> bool:
        return self.high_s is not None

    @property
    def is_forecast(self) -> bool:
        return self.stretched > SAME_SIZE


@dataclass(frozen=True, slots=True)
class Proof:
    """The newest drill that passed with a proven signature; None where there is none that counts, and ``why``."""

    at: datetime | None = None
    entry: int | None = None
    why: str = ""
    remedy: str = ""
    is_disproved: bool = False
    """Its newest drill failed."""


@dataclass(frozen=True, slots=True)
class Way:
    """What one cluster would come back from, and what that costs. ``refuge`` is None where nothing is left.

    ``warnings`` are what drills of the other repositories disproved, ``key_doubt`` why its key may be lost, too.
    """

    cluster: str
    refuge: str | None
    loss: Loss
    back: Back
    proof: Proof
    warnings: tuple[str, ...] = ()
    key_doubt: str = ""


class Standing(enum.IntEnum):
    """How it stands with a site; the value is the exit status."""

    PROVEN = 0
    MISSED = 3
    UNPROVEN = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a site. ``ways`` are its clusters'."""

    site: str
    loss: Loss
    back: Back
    proof: Proof
    ways: tuple[Way, ...]
    standing: Standing
    lacks_host: bool
    declared: tuple[str, ...]


def decide_site(facts: SiteFacts) -> Verdict:
    """Say what the death of a site would cost, all its clusters together."""
    ways = tuple(decide_way(cluster, facts.objectives.detection_s) for cluster in facts.clusters)
    loss, back, proof = (
        _worst_loss(ways),
        _one_after_the_other(ways, facts.objectives.detection_s),
        _oldest(ways),
    )
    return Verdict(
        site=facts.name,
        loss=loss,
        back=back,
        proof=proof,
        ways=ways,
        standing=_standing(facts, ways, loss, back, proof),
        lacks_host=not facts.has_hosts_elsewhere,
        declared=facts.declared,
    )


def decide_way(cluster: ClusterFacts, detection_s: float) -> Way:
    """Choose what a cluster would come back from: a way that is proven before others, then the smallest loss."""
    if not cluster.refuges:
        named = " and ".join(cluster.at_the_site)
        why = f"its only repository is at the same site ({named})" if named else "it has no repository"
        nothing_left = Back(why="there is nothing to come back from")
        return Way(cluster.name, None, Loss(LossKind.EVERYTHING, why=why), nothing_left, Proof(why=why))
    ways = [_way(cluster, refuge, detection_s) for refuge in cluster.refuges]
    best = min(ways, key=_rank)
    warnings = tuple(way.proof.why for way in ways if way is not best and way.proof.is_disproved)
    return replace(best, warnings=warnings)


def _way(cluster: ClusterFacts, refuge: Refuge, detection_s: float) -> Way:
    loss = decide_loss(refuge, cluster.server)
    if loss.kind is LossKind.EVERYTHING:
        return Way(
            cluster.name,
            refuge.name,
            loss,
            Back(why="there is nothing to come back from"),
            Proof(why=loss.why),
        )
    if isinstance(cluster.drills, Unknown):
        why = f"the ledger of drills: {cluster.drills.reason}"
        return Way(cluster.name, refuge.name, loss, Back(why=why), Proof(why=why))
    own = [drill for drill in cluster.drills if drill.source.location == refuge.location]
    proof = decide_proof(own, refuge.name)
    if proof.at is None and not proof.remedy:
        proof = replace(
            proof, remedy=f"seawall drill restore --cluster {cluster.name} --repository {refuge.name}"
        )
    back = Back(why=proof.why)
    if isinstance(refuge.reach, Unknown):
        back = Back(why=f"{refuge.name} can't be looked at")
    elif proof.at is not None:
        back = decide_back(own, _real_bytes(cluster.server, refuge), detection_s)
    return Way(cluster.name, refuge.name, loss, back, proof, key_doubt=refuge.key_doubt)


def decide_loss(refuge: Refuge, server: LiveServer | Unknown) -> Loss:
    """Say what would be lost if only ``refuge`` were left."""
    if isinstance(refuge.reach, Unknown):
        return Loss(LossKind.UNKNOWN, why=f"{refuge.name}: {refuge.reach.reason}")
    if refuge.reach is None:
        return Loss(
            LossKind.EVERYTHING,
            why=f"{refuge.name} is declared, and holds no backup",
            remedy="seawall backup",
        )
    if not refuge.has_key_elsewhere:
        return Loss(
            LossKind.EVERYTHING,
            why=f"{refuge.name} is encrypted, and the plan names no key of it that is kept elsewhere",
            remedy=f"seawall key add {refuge.name} --recovery-code, and keys: […, escrow] in the plan",
        )
    if isinstance(server, Unknown):
        return Loss(LossKind.UNKNOWN, why=f"how far the server got is unknown: {server.reason}")
    return _loss_behind(refuge.name, refuge.reach, server)


def _loss_behind(name: str, reach: Reach, server: LiveServer) -> Loss:
    if reach.timeline != server.timeline:
        return Loss(
            LossKind.UNKNOWN,
            why=f"the server is on timeline {server.timeline}, and {name} holds WAL of timeline {reach.timeline}",
        )
    behind = max(0, server.position - reach.end)
    if behind <= _SEGMENT_HEADER_BYTES or (server.settled_at is not None and reach.end >= server.settled_at):
        return Loss(LossKind.NOTHING, 0.0, 0)
    why = f"WAL segment {reach.hole} is missing in {name}" if reach.hole else ""
    written = None if isinstance(server.written_at, Unknown) else server.written_at.get(reach.last_segment)
    if written is None:
        return Loss(LossKind.BOUNDED, None, behind, why)
    return Loss(LossKind.BOUNDED, max(0.0, (server.now - written).total_seconds()), behind, why)


def decide_proof(drills: Sequence[Drill], name: str) -> Proof:
    """Return the newest drill that proves a restore from ``name``, unless one after it failed."""
    if not drills:
        return Proof(why=f"a restore from {name} was never drilled")
    passed = [drill for drill in drills if drill.evidence.outcome is DrillOutcome.PASSED]
    proven = [drill for drill in passed if drill.is_proven]
    failed = [drill for drill in drills if drill.evidence.outcome is DrillOutcome.FAILED]
    last_failed = failed[-1].number if failed else 0
    if proven and proven[-1].number > last_failed:
        return Proof(proven[-1].at, proven[-1].number)
    if passed and passed[-1].number > last_failed:
        return Proof(
            why=f"the drill of entry {passed[-1].number} passed, and no public key that is known here proves its "
            "signature",
            remedy="--public-key FILE, with what `seawall evidence keys show` prints on the host that drills",
        )
    if failed:
        return Proof(why=f"the last drill from {name} failed (entry {last_failed})", is_disproved=True)
    return Proof(why=f"no drill from {name} passed yet")


def decide_back(drills: Sequence[Drill], real_bytes: int | None, detection_s: float) -> Back:
    """Return the range of the last drills that passed, each stretched to the real size, with the detection."""
    proven = [drill for drill in drills if drill.is_proven and drill.evidence.outcome is DrillOutcome.PASSED]
    last = proven[-LAST_DRILLS:]
    if real_bytes is None:
        return Back(why="how large the data is, is unknown")
    times: list[float] = []
    stretched = 1.0
    for drill in last:
        technical_ms, raw_bytes = drill.technical_ms, drill.evidence.source.raw_bytes
        if technical_ms is None or not raw_bytes:
            missing = "how long it took" if technical_ms is None else "how large it was"
            return Back(why=f"the drill of entry {drill.number} does not say {missing}")
        factor = max(1.0, real_bytes / raw_bytes)
        stretched = max(stretched, factor)
        times.append(max(technical_ms * factor, _forecast_ms(drill)) / 1000 + detection_s)
    return Back(min(times), max(times), tuple(drill.number for drill in last), stretched)


def _forecast_ms(drill: Drill) -> float:
    """What the drill itself foretold for the full size; it may know better than a stretch, never worse."""
    forecast = drill.evidence.forecast
    return 0.0 if forecast is None else forecast.rto_ms - (drill.evidence.rto.detection_ms or 0)


def _real_bytes(server: LiveServer | Unknown, refuge: Refuge) -> int | None:
    """Return the size of what would have to come back, by the larger of what server and backup say."""
    sizes: list[int] = []
    if not isinstance(server, Unknown) and not isinstance(server.size_bytes, Unknown):
        sizes.append(server.size_bytes)
    if isinstance(refuge.reach, Reach):
        sizes.append(refuge.reach.raw_bytes)
    return max(sizes, default=None)


def _rank(way: Way) -> tuple[bool, bool, bool, float, float, bool, str]:
    loss = way.loss
    return (
        loss.kind is LossKind.EVERYTHING,
        loss.kind is LossKind.UNKNOWN,
        not way.back.is_known,
        inf if loss.byte_count is None else loss.byte_count,
        inf if way.back.high_s is None else way.back.high_s,
        not way.proof.is_disproved,  # of two that prove nothing, the one with a reason
        way.refuge or "",
    )


def _worst_loss(ways: Sequence[Way]) -> Loss:
    """Return the worst of all clusters' losses: a service is back when all of it is."""
    named = [(way, way.loss) for way in ways]
    for kind in (LossKind.EVERYTHING, LossKind.UNKNOWN):
        for way, loss in named:
            if loss.kind is kind:
                return replace(loss, why=_of(way, loss.why, ways))
    bounded = [loss for _, loss in named if loss.kind is LossKind.BOUNDED]
    if not bounded:
        return Loss(LossKind.NOTHING, 0.0, 0)
    seconds = [loss.seconds for loss in bounded]
    known = [value for value in seconds if value is not None]
    return Loss(
        LossKind.BOUNDED,
        max(known) if len(known) == len(seconds) else None,
        sum(loss.byte_count or 0 for loss in bounded),
        "; ".join(_of(way, loss.why, ways) for way, loss in named if loss.why),
    )


def _one_after_the_other(ways: Sequence[Way], detection_s: float) -> Back:
    """Add the clusters' times up: nobody measured that they come back side by side. Detection counts once."""
    low = high = detection_s
    for way in ways:
        if way.back.low_s is None or way.back.high_s is None:
            return Back(why=_of(way, way.back.why, ways))
        low += way.back.low_s - detection_s
        high += way.back.high_s - detection_s
    entries = tuple(sorted({entry for way in ways for entry in way.back.drills}))
    return Back(low, high, entries, max(way.back.stretched for way in ways))


def _oldest(ways: Sequence[Way]) -> Proof:
    for way in ways:
        if way.proof.at is None:
            return replace(way.proof, why=_of(way, way.proof.why, ways))
    return min((way.proof for way in ways), key=lambda proof: proof.at.timestamp() if proof.at else 0.0)


def _of(way: Way, why: str, ways: Sequence[Way]) -> str:
    return f"{way.cluster}: {why}" if len(ways) > 1 and why else why


def _standing(facts: SiteFacts, ways: Sequence[Way], loss: Loss, back: Back, proof: Proof) -> Standing:
    """A promise that would be broken weighs more than one that nobody can judge."""
    too_long = back.high_s is not None and back.high_s > facts.objectives.rto_s
    too_much = loss.seconds is not None and loss.seconds > facts.objectives.rpo_s
    if loss.kind is LossKind.EVERYTHING or too_long or too_much:
        return Standing.MISSED
    is_doubtful = any(way.key_doubt for way in ways) or not facts.has_hosts_elsewhere
    if not back.is_known or loss.seconds is None or proof.at is None or is_doubtful:
        return Standing.UNPROVEN
    return Standing.PROVEN


def size_words(back: Back) -> str:
    """Say how much smaller the smallest of the drills was than the real data."""
    return f"the smallest drill held 1/{back.stretched:.3g} of the data"


def bytes_words(loss: Loss) -> str:
    """Say how much WAL would be lost, "" where that is unknown."""
    return "" if loss.byte_count is None else f"{format_bytes(loss.byte_count)} of WAL"
