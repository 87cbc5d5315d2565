"""Which plan file is meant. Imports only ``os``: the WAL client asks first."""

from __future__ import annotations

import os

VARIABLE = "SEAWALL_PLAN"
SYSTEM_PLAN = "/etc/seawall/plan.yaml"


def locate_plan(explicit: str | None) -> str | None:
    """Return the absolute path of the plan: ``--plan``, SEAWALL_PLAN, ./plan.yaml, /etc/seawall/plan.yaml.

    What was named is returned whether it exists or not, so that its absence is an error and never a silent
    fall to another plan. None if nothing was named and nothing is there.
    """
    named = explicit or os.environ.get(VARIABLE)
    if named:
        return os.path.abspath(named)
    for candidate in ("plan.yaml", SYSTEM_PLAN):
        if os.path.exists(candidate):
            return os.path.abspath(candidate)
    return None
