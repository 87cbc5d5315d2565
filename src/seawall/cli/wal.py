"""``seawall wal push|get|gaps``: push and get are documented here and run by :mod:`seawall.cli.wal_client`."""

from __future__ import annotations

from pathlib import Path

import click

from seawall.cli.options import cluster_option, json_option, plan_option, repository_option
from seawall.cli.output import print_json


@click.group()
def command() -> None:
    """Archive and fetch WAL, and find what is missing."""


@command.command()
@click.argument("path")
@click.option("--data-directory", type=click.Path(), default=None, help="Else the current directory.")
@cluster_option
@plan_option
def push(path: str, data_directory: str | None, cluster_name: str | None, plan_path: Path | None) -> int:
    """Archive PATH (PostgreSQL's %p): exit status 0 once it is durable in every required repository.

    \b
    archive_command = 'seawall wal push --plan /etc/seawall/plan.yaml --cluster main %p'
    """
    from seawall.cli import wal_client

    words = [path]
    for name, value in (
        ("--plan", plan_path),
        ("--cluster", cluster_name),
        ("--data-directory", data_directory),
    ):
        if value is not None:
            words += [name, str(value)]
    return wal_client.run("push", words)


@command.command()
@click.argument("name")
@click.argument("destination")
@click.option(
    "--restore", "spec", type=click.Path(), default=None, help="The file that `seawall restore` wrote."
)
@click.option(
    "--standby", is_flag=True, help="For a standby: every failure is answered with 1, and it asks again."
)
@click.option("--data-directory", type=click.Path(), default=None, help="Else the current directory.")
@cluster_option
@plan_option
def get(
    name: str,
    destination: str,
    spec: str | None,
    standby: bool,
    data_directory: str | None,
    cluster_name: str | None,
    plan_path: Path | None,
) -> int:
    """Fetch the WAL file NAME (%f) to DESTINATION (%p): 0 found, 1 not there, 126 it could not be fetched.

    \b
    restore_command = 'seawall wal get --restore DIR.seawall/restore.json %f %p'
    restore_command = 'seawall wal get --standby --plan /etc/seawall/plan.yaml %f %p'
    """
    from seawall.cli import wal_client

    words = [name, destination, *(["--standby"] if standby else [])]
    for option, value in (
        ("--restore", spec),
        ("--plan", plan_path),
        ("--cluster", cluster_name),
        ("--data-directory", data_directory),
    ):
        if value is not None:
            words += [option, str(value)]
    return wal_client.run("get", words)


@command.command()
@cluster_option
@repository_option
@plan_option
@json_option
def gaps(cluster_name: str | None, repository_name: str | None, plan_path: Path | None, as_json: bool) -> int:
    """Say which WAL segments are missing between the oldest backup and the newest archived segment."""
    from seawall.app import App
    from seawall.repository.verify.gaps import find_gaps
    from seawall.repository.wal.errors import WalGap

    app = App.load(plan_path)
    cluster = app.cluster_name(cluster_name)
    found = {
        name: find_gaps(app.open_repository(name), cluster)
        for name in app.repository_names(cluster, repository_name)
    }
    if as_json:
        print_json({"cluster": cluster, "gaps": found})
    else:
        for name, missing in found.items():
            print(f"{name}: " + ("no gap" if not missing else "missing " + ", ".join(missing)))
    if any(found.values()):
        count = sum(map(len, found.values()))
        raise WalGap(
            f"WAL is missing in {count} place(s): no moment behind a gap can be reached from backups before it",
            hint="take a backup now: seawall backup; then find out why archiving lost it",
        )
    return 0
