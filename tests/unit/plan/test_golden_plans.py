"""Every kind of mistake, as a file with the findings that it must give, word for word and in file order.

To accept an intended change of wording: ``SEAWALL_ACCEPT_GOLDEN=1 pytest tests/unit/plan/test_golden_plans.py``,
then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seawall.plan.diagnostics import Severity, render
from seawall.plan.load import diagnose_bytes

GOLDEN = Path(__file__).parents[2] / "golden" / "plans"
PLANS = sorted(GOLDEN.glob("*.yaml"))
LOADABLE = ("design", "everything", "minimal")


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_findings_are_as_recorded(path: Path) -> None:
    plan, found = diagnose_bytes(path.read_bytes(), Path(path.name))

    shown = render(found)
    recorded = path.with_suffix(".txt")
    if os.environ.get("SEAWALL_ACCEPT_GOLDEN"):
        recorded.write_text(shown)
    assert shown == recorded.read_text()
    assert (plan is None) == any(finding.severity is Severity.ERROR for finding in found)


def test_only_the_good_plans_load() -> None:
    loadable = [path.stem for path in PLANS if diagnose_bytes(path.read_bytes(), path)[0] is not None]

    assert loadable == sorted([*LOADABLE, "weak-promises"])


def test_every_finding_has_a_place_a_message_and_a_remedy() -> None:
    for path in PLANS:
        data = path.read_bytes()
        lines = data.decode("utf-8", "replace").splitlines() or [""]
        for finding in diagnose_bytes(data, path)[1]:
            assert finding.message and finding.remedy and finding.code, finding
            assert 1 <= finding.line <= len(lines) + 1, finding
            assert 1 <= finding.column <= len((*lines, "")[finding.line - 1]) + 1, finding


def test_findings_come_in_file_order() -> None:
    for path in PLANS:
        places = [(found.line, found.column) for found in diagnose_bytes(path.read_bytes(), path)[1]]
        assert places == sorted(places)


def test_every_code_of_the_source_has_a_golden_example() -> None:
    """A finding that no golden plan shows is one whose wording nobody has read."""
    source = Path(__file__).parents[3] / "src" / "seawall" / "plan"
    seen = {found.code for path in PLANS for found in diagnose_bytes(path.read_bytes(), path)[1]}
    defined = set().union(*(_codes(path.read_text()) for path in source.rglob("*.py")))

    assert defined - seen - {"too-large"} == set()
    assert seen - defined == set()


def _codes(source: str) -> set[str]:
    import ast

    codes: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("error", "warning", "declared") and len(node.args) == 4:
            codes |= _text(node.args[1])
        if called == "_wrong_type":
            codes.add("type-wrong")
        if called == "Rejected":
            codes.add("value-invalid")
            codes |= set().union(*(_text(word.value) for word in node.keywords if word.arg == "code"), set())
    return codes


def _text(node: object) -> set[str]:
    import ast

    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()
