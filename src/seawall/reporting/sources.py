"""Which source of a drill is which repository of the plan: by its place, written in one way."""

from __future__ import annotations

import os
from collections import Counter
from typing import NamedTuple
from urllib.parse import unquote

from seawall.plan.model import Plan

SEAWALL = "seawall"
_COORDINATED = " (coordinated by "
"""What a store of two parts adds to its URL (:class:`seawall.storage.coordinated.CoordinatedStore`)."""


class SourceKey(NamedTuple):
    """What was restored from: the same place of the same tool, for the same cluster."""

    cluster: str
    tool: str
    location: str

    @property
    def words(self) -> str:
        return f"{self.tool} {self.location}"


def recorded_location(location: str) -> str:
    """Return an entry's place as places are compared: a store's URL, or a tool's path."""
    text = location.partition(_COORDINATED)[0].rstrip("/")
    return f"file://{text}" if text.startswith("/") else text


def planned_location(url: str) -> str:
    """Return the place of a plan's URL as the store at it names itself."""
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return f"file://{os.path.abspath(unquote(rest))}"
    return f"{scheme}://{unquote(rest.partition('?')[0]).rstrip('/')}"


def planned_sources(plan: Plan | None) -> dict[SourceKey, str]:
    """Return the plan's repositories as sources, cluster by cluster, with their names.

    Entries don't tell buckets of one name at different endpoints apart: such repositories get keys that no drill has,
    so that none of them counts as proven by a drill of another.
    """
    if plan is None:
        return {}
    places = Counter(planned_location(settings.url) for settings in plan.repositories.values())
    found: dict[SourceKey, str] = {}
    for cluster in plan.clusters:
        for name, settings in plan.repositories_of(cluster).items():
            place = planned_location(settings.url)
            if places[place] > 1:
                place += f" (repository {name})"
            found[SourceKey(cluster, SEAWALL, place)] = name
    return found
