"""Whole files in the shape that Terraform gives them, and what is said of each: ``NAME`` and ``NAME.txt`` beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seawall.audit.rule import Finding, apply_rules
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.reading.reader import read_terraform
from seawall.audit.terraform.rulebook import TERRAFORM_RULES, describe
from tests.unit.audit.terraform.stacks import OBJECTIVES

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "terraform"
FILES = sorted(path for path in GOLDEN.iterdir() if path.suffix != ".txt")


def told(path: Path) -> str:
    """Return everything that is said of a file."""
    facts = TerraformFacts(read_terraform(path), OBJECTIVES)
    findings = apply_rules(TERRAFORM_RULES, facts)
    return (
        "\n".join([*describe(facts), "", *(line for finding in findings for line in _lines(finding))]) + "\n"
    )


def _lines(finding: Finding) -> list[str]:
    verdict = finding.verdict
    about = f" [{verdict.subject}]" if verdict.subject else ""
    weight = f" {finding.severity.value}" if finding.is_failure else ""
    lines = [f"{verdict.result.value}{weight} {finding.rule.id}{about}: {verdict.text}"]
    lines += [f"    {line}" for line in verdict.evidence]
    return lines + [f"    → {line}" for line in verdict.remedy.splitlines()]


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_what_is_said_of_a_file(path: Path) -> None:
    expected = path.with_name(f"{path.name}.txt")
    text = told(path)
    if os.environ.get("SEAWALL_WRITE_GOLDEN"):
        expected.write_text(text)
    assert text == expected.read_text()


def test_there_is_a_file_of_every_kind() -> None:
    kinds = {read_terraform(path).kind.value for path in FILES}
    assert kinds == {"plan", "state"} and any(path.suffix == ".tfstate" for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_nothing_that_is_secret_is_ever_said(path: Path) -> None:
    """Every secret of the files begins with MARKED, or is the tutorial's password."""
    stack = read_terraform(path)
    for text in (told(path), repr(stack)):
        assert "MARKED" not in text and "hunter2" not in text
