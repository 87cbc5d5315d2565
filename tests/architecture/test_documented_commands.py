"""Every ``seawall …`` in the documentation's code blocks exists: command, options, choices of options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from seawall.cli.commands import COMMANDS, root
from tests.architecture.source import ROOT

DOCUMENTS = sorted(
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if path.name != "CHANGELOG.md"
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND_LINE = re.compile(r"^(?:[$#] )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(seawall(?: .*)?)$")
PLACEHOLDER = re.compile(r"^(\[.*|.*\]|…|\.\.\.|[|].*)$")


def documented() -> Iterator[tuple[str, str]]:
    """Yield where and what: every command line of Seawall in a code block."""
    for path in DOCUMENTS:
        for block in FENCE.finditer(path.read_text(encoding="utf-8")):
            if block[1] not in {"", "sh", "bash", "shell", "console"}:
                continue
            for line in block[2].replace("\\\n", " ").splitlines():
                if match := COMMAND_LINE.match(line.strip()):
                    yield str(path.relative_to(ROOT)), re.split(r"\s{2,}|\s#\s", match[1])[0]


@pytest.mark.parametrize(("where", "line"), sorted(set(documented())))
def test_documented_command_exists(where: str, line: str) -> None:
    problem = find_problem(shlex.split(line)[1:])
    assert problem is None, f"{where}: {line}: {problem}"


def find_problem(words: list[str]) -> str | None:
    """Return what is wrong with a command line, or None. Values are not checked, except choices."""
    command: click.Command = root
    context = click.Context(root, info_name="seawall")
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-") and word != "-":
            name, _, value = word.partition("=")
            option = _option(command, context, name)
            if option is None:
                return f"{context.command_path} has no option {name}"
            if not (option.is_flag or option.count or value):
                value = waiting.pop(0) if waiting else ""
            choices = option.type.choices if isinstance(option.type, click.Choice) else [value]
            if value and not PLACEHOLDER.match(value) and value not in choices:
                return f"{name} takes one of {list(choices)}"
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return f"{context.command_path} has no command {word}"
            command, context = found, click.Context(found, info_name=word, parent=context)
        elif not PLACEHOLDER.match(word) and not _takes_arguments(command):
            return f"{context.command_path} takes no argument like {word}"
    return None


def _takes_arguments(command: click.Command) -> bool:
    return any(isinstance(parameter, click.Argument) for parameter in command.params)


def _option(command: click.Command, context: click.Context, name: str) -> click.Option | None:
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and name in (*parameter.opts, *parameter.secondary_opts):
            return parameter
    return None


@pytest.mark.parametrize("name", COMMANDS)
def test_command_loads_and_explains_itself(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert command.help
    for leaf in _leaves(command):
        assert leaf.help, f"{name}: {leaf.name} has no help"
        for parameter in leaf.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {leaf.name}: {parameter.opts} has no help"


def test_no_option_takes_a_secret_itself() -> None:
    """Options name where a secret is (``env:``, ``file:``, ``command:``); its value would show in ``ps``."""
    named = {
        f"{name} {leaf.name} {option}"
        for name in COMMANDS
        if (command := root.get_command(click.Context(root), name)) is not None
        for leaf in _leaves(command)
        for parameter in leaf.params
        for option in parameter.opts
        if option in {"--password", "--secret", "--token", "--master-key"}
    }
    assert not named


def _leaves(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from _leaves(child)


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"]])
def test_what_does_not_exist_is_found(words: list[str]) -> None:
    assert find_problem(words) is not None


def test_documents_are_where_they_are_looked_for() -> None:
    assert {Path("README.md"), Path("ARCHITECTURE.md")} <= {path.relative_to(ROOT) for path in DOCUMENTS}
