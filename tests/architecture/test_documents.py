"""Documents hang together: links lead somewhere, decisions are numbered, the glossary can be searched by eye."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, committed_files

MARKDOWN = [path for path in committed_files() if path.suffix == ".md"]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
LINE_NUMBER = re.compile(r"\.py:\d+|\bline \d+ of `")
MAKE_TARGET = re.compile(r"\bmake ([a-z]+)")


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    dead = [
        target
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not dead


def test_documents_name_symbols_and_never_lines() -> None:
    assert [str(path) for path in MARKDOWN if LINE_NUMBER.search(path.read_text(encoding="utf-8"))] == []


def test_make_targets_that_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in MARKDOWN:
        blocks = "\n".join(re.findall(r"`+([^`]*)`+", path.read_text(encoding="utf-8")))
        assert set(MAKE_TARGET.findall(blocks)) <= targets, path


def test_decisions_are_numbered_without_gaps_and_short() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    for number, path in enumerate(decisions, 1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert len(text.splitlines()) <= 60, f"{path.name}: half a page"


def test_glossary_is_in_order_and_defines_each_word_once() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word.lower() for word in re.findall(r"^\| \*\*(.+?)\*\*", text, re.MULTILINE)]
    assert words == sorted(words)
    assert len(words) == len(set(words)) > 30


def test_architecture_is_two_pages() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 130
