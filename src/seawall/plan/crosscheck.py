"""What no single value shows."""

from __future__ import annotations

from seawall.plan.diagnostics import Findings
from seawall.plan.reader import Tree


def crosscheck(tree: Tree, findings: Findings) -> None:
    """Look at the plan as a whole."""
