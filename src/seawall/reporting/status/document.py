"""The status as a document for programs (docs/json.md)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from seawall.reporting.status.decide import Back, Loss, Proof, Standing, Verdict
from seawall.reporting.status.words import reasons, remedy, sentence


def status_document(service: str, verdicts: Sequence[Verdict], now: datetime) -> dict[str, object]:
    """Return all verdicts in JSON's types; times stay datetimes for the printer."""
    return {
        "service": service,
        "observed_at": now,
        "standing": overall(verdicts).name.lower(),
        "sites": [
            {
                "site": verdict.site,
                "sentence": sentence(verdict, now),
                "standing": verdict.standing.name.lower(),
                "back": _back(verdict.back),
                "loss": _loss(verdict.loss),
                "proof": _proof(verdict.proof),
                "has_host_elsewhere": not verdict.lacks_host,
                "reasons": list(reasons(verdict)),
                "remedy": remedy(verdict) or None,
                "declared_not_active": list(verdict.declared),
                "clusters": [
                    {
                        "cluster": way.cluster,
                        "repository": way.refuge,
                        "back": _back(way.back),
                        "loss": _loss(way.loss),
                        "proof": _proof(way.proof),
                    }
                    for way in verdict.ways
                ],
            }
            for verdict in verdicts
        ],
    }


def overall(verdicts: Sequence[Verdict]) -> Standing:
    """Return how it stands with the worst of the sites: a broken promise is worse than an unproven one."""
    standings = {verdict.standing for verdict in verdicts}
    for standing in (Standing.MISSED, Standing.UNPROVEN):
        if standing in standings:
            return standing
    return Standing.PROVEN


def _back(back: Back) -> dict[str, object]:
    return {
        "low_s": None if back.low_s is None else round(back.low_s, 3),
        "high_s": None if back.high_s is None else round(back.high_s, 3),
        "is_forecast": back.is_forecast,
        "entries": list(back.drills),
        "why": back.why or None,
    }


def _loss(loss: Loss) -> dict[str, object]:
    return {
        "kind": loss.kind.value,
        "at_most_s": None if loss.seconds is None else round(loss.seconds, 3),
        "wal_bytes": loss.byte_count,
        "why": loss.why or None,
    }


def _proof(proof: Proof) -> dict[str, object]:
    return {"at": proof.at, "entry": proof.entry, "why": proof.why or None}
