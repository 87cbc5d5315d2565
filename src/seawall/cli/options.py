"""Options that many commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

LONG_PATIENCE_S = 180.0
"""How long commands that run for minutes or hours let a store be out before they give up."""

Command = TypeVar("Command", bound=Callable[..., Any])


def plan_option(function: Command) -> Command:
    """``--plan FILE``: else SEAWALL_PLAN, ./plan.yaml, /etc/seawall/plan.yaml."""
    return click.option(
        "--plan",
        "plan_path",
        type=click.Path(path_type=Path),
        default=None,
        help="The plan file (else SEAWALL_PLAN, ./plan.yaml, /etc/seawall/plan.yaml).",
    )(function)


def json_option(function: Command) -> Command:
    """``--json``: one document on standard output, errors as a document on standard error."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)


def cluster_option(function: Command) -> Command:
    """``--cluster NAME``: may be left out where the plan has one cluster."""
    return click.option(
        "--cluster",
        "cluster_name",
        default=None,
        help="The cluster's name in the plan (needed with several).",
    )(function)


def repository_option(function: Command) -> Command:
    """``--repository NAME``: limits the command to one repository of the plan."""
    return click.option(
        "--repository", "repository_name", default=None, help="One repository of the plan, by name."
    )(function)


def pg_bin_option(function: Command) -> Command:
    """``--pg-bin DIR``: where postgres, pg_ctl and pg_waldump are."""
    return click.option(
        "--pg-bin",
        "pg_bin",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="The folder of PostgreSQL's server programs.",
    )(function)
