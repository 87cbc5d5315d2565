"""``seawall plan schema|key-file``: what surrounds the plan file."""

from __future__ import annotations

from pathlib import Path

import click

from seawall.cli.output import print_json


@click.group()
def command() -> None:
    """The plan file's surroundings: its JSON Schema for editors, a key file for its repositories."""


@command.command()
def schema() -> int:
    """Print the plan's JSON Schema (draft 2020-12), for editors and other programs."""
    from seawall.plan.definition.schema import json_schema

    print_json(json_schema())
    return 0


@command.command(name="key-file")
@click.argument("path", type=click.Path(path_type=Path))
def key_file(path: Path) -> int:
    """Make a new key file at PATH: random, mode 0600, never replacing one."""
    from seawall.plan.secrets import generate_key_file

    generate_key_file(path)
    print(f"key file written to {path}; keep a copy of it where neither the database nor the repository is")
    return 0
