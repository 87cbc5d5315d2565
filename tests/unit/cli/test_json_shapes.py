"""docs/json.md tells the shape of every ``--json`` document: the golden ones, which tests/faults compares with
what real commands print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from seawall.cli.commands import COMMANDS, LazyGroup
from tests.support.json_shape import merge, misfits, shape

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "json"
DOCUMENT = (ROOT / "docs" / "json.md").read_text()
BLOCKS = dict(re.findall(r"<!-- ([a-z-]+) -->\n```json\n(.*?)```", DOCUMENT, re.DOTALL))
WITHOUT_GOLDEN = {"demo"}
"""The demo's report is not recorded yet: a run of it takes a minute."""


def commands_with_json() -> Iterator[str]:
    group = LazyGroup()
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield from _leaves_with_json(name, command)


def _leaves_with_json(name: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for subname, subcommand in command.commands.items():
            yield from _leaves_with_json(f"{name} {subname}", subcommand)
    elif any("--json" in parameter.opts for parameter in command.params):
        yield name


def test_every_command_with_json_has_a_golden_shape_and_a_section() -> None:
    names = {name for name in commands_with_json() if name not in WITHOUT_GOLDEN}
    assert {name.replace(" ", "-") for name in names} <= {path.stem for path in GOLDEN.glob("*.json")}
    assert {name for name in names if f"\n## seawall {name}\n" not in DOCUMENT} == set()


def test_the_document_shows_the_golden_shapes() -> None:
    golden = {path.stem: path.read_text() for path in GOLDEN.glob("*.json")}
    assert golden == BLOCKS


def test_a_shape_has_names_and_types_alone() -> None:
    document = {
        "repositories": {"near": {"n": 1, "at": None}, "far": {"n": 2, "at": "x"}},
        "list": [1, 2.5],
        "e": [],
    }
    assert shape(document) == {
        "repositories": {"REPOSITORY": {"n": "integer", "at": "null|string"}},
        "list": ["integer|number"],
        "e": [],
    }


@pytest.mark.parametrize(
    "change",
    [{"a": "1"}, {"a": 1, "b": [1], "c": 2}, {"b": [1]}, {"a": 1, "b": ["x"]}, {"a": 1, "b": {}}],
)
def test_a_changed_shape_is_noticed(change: object) -> None:
    golden = merge([shape({"a": 1, "b": [1]})])
    assert misfits(shape({"a": 5, "b": []}), golden) == []
    assert misfits(shape(change), golden) != []


def test_golden_files_are_plain_json() -> None:
    for path in GOLDEN.glob("*.json"):
        assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=2) + "\n"
