"""The sentence. Bounds and ages are rounded up: a figure that is shown is never better than the one that is known."""

from __future__ import annotations

from datetime import datetime
from math import ceil

from seawall.reporting.status.decide import Loss, LossKind, Proof, Verdict, bytes_words, size_words

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def sentence(verdict: Verdict, now: datetime) -> str:
    """Return what would happen if the site died now, in one sentence."""
    begin = f"If {verdict.site} died now: "
    if verdict.loss.kind is LossKind.EVERYTHING:
        return f"{begin}not back, everything is lost: {verdict.loss.why}."
    return f"{begin}{back_words(verdict)}, {loss_words(verdict.loss)}; {proof_words(verdict.proof, now)}."


def back_words(verdict: Verdict) -> str:
    """Say how long it takes until the service is back."""
    back = verdict.back
    if back.low_s is None or back.high_s is None:
        return "back in unknown time"
    text = f"back in {span(back.low_s, back.high_s)}"
    notes = [
        *(["a forecast"] if back.is_forecast else []),
        *(["once there is a machine"] if verdict.lacks_host else []),
    ]
    return text + (f" ({', '.join(notes)})" if notes else "")


def loss_words(loss: Loss) -> str:
    """Say what is lost."""
    if loss.kind is LossKind.NOTHING:
        return "losing nothing"
    if loss.kind is LossKind.EVERYTHING:
        return "losing everything"
    if loss.kind is LossKind.UNKNOWN:
        return "losing an unknown amount"
    if loss.seconds is None:
        return f"losing at most {bytes_words(loss)}, of unknown age"
    return f"losing at most {span(loss.seconds, loss.seconds)}"


def proof_words(proof: Proof, now: datetime) -> str:
    """Say when it was proven, or that it was not and why."""
    if proof.at is None:
        return f"not proven: {proof.why}"
    return f"proven {age((now - proof.at).total_seconds())} ago"


def reasons(verdict: Verdict) -> tuple[str, ...]:
    """Return what a reader has to know beside the sentence: why something is unknown, what counts for nothing."""
    found: list[str] = []
    if verdict.loss.kind is not LossKind.EVERYTHING:
        if not verdict.back.is_known and verdict.back.why != verdict.proof.why:
            found.append(f"time unknown: {verdict.back.why}")
        if verdict.loss.why:
            found.append(
                f"loss {'unknown' if verdict.loss.kind is LossKind.UNKNOWN else 'larger'}: {verdict.loss.why}"
            )
        if verdict.back.is_forecast:
            found.append(f"forecast, not measured: {size_words(verdict.back)}")
        if verdict.lacks_host:
            found.append(f"the plan names no host outside {verdict.site} to come back on: sites.SITE.hosts")
        found += [f"in doubt: {way.key_doubt}" for way in verdict.ways if way.key_doubt]
    found += [warning for way in verdict.ways for warning in way.warnings]
    if verdict.declared:
        found.append(f"DECLARED, NOT ACTIVE, and not counted: {', '.join(verdict.declared)}")
    return tuple(found)


def remedy(verdict: Verdict) -> str:
    """Return what to type next, "" where nothing is missing that a command could bring."""
    return verdict.loss.remedy if verdict.loss.kind is LossKind.EVERYTHING else verdict.proof.remedy


def span(low_s: float, high_s: float) -> str:
    """Show a range in one unit, ``11 to 14 min``; both ends are rounded up, and equal ones are one."""
    if high_s <= 2 * _MINUTE_S:
        unit, unit_s = "s", 1
    elif high_s <= 2 * _HOUR_S:
        unit, unit_s = "min", _MINUTE_S
    elif high_s <= 2 * _DAY_S:
        unit, unit_s = "h", _HOUR_S
    else:
        unit, unit_s = "days", _DAY_S
    low, high = ceil(low_s / unit_s), ceil(high_s / unit_s)
    return f"{high} {unit}" if low == high else f"{low} to {high} {unit}"


def age(seconds: float) -> str:
    """Show how long ago something was, rounded up: ``20 minutes``, ``3 days``."""
    if seconds <= 90 * _MINUTE_S:
        count, unit = ceil(seconds / _MINUTE_S), "minute"
    elif seconds <= 36 * _HOUR_S:
        count, unit = ceil(seconds / _HOUR_S), "hour"
    else:
        count, unit = ceil(seconds / _DAY_S), "day"
    count = max(1, count)
    return f"{count} {unit}" + ("" if count == 1 else "s")
