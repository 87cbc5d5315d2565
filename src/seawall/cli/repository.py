"""``seawall repository init|list``."""

from __future__ import annotations

from pathlib import Path

import click

from seawall.cli.options import json_option, plan_option, repository_option
from seawall.cli.output import note, print_json, print_table
from seawall.model.errors import SeawallError


@click.group()
def command() -> None:
    """Create and inspect the repositories of the plan."""


@command.command()
@click.argument("name", required=False)
@click.option("--escrow", is_flag=True, help="Also make a recovery code, printed once, to be kept in a safe.")
@plan_option
@json_option
def init(name: str | None, escrow: bool, plan_path: Path | None, as_json: bool) -> int:
    """Probe each store of the plan (or the one NAMEd) and create its repository."""
    from seawall.app import App
    from seawall.repository.errors import RepositoryExists
    from seawall.repository.secrets import RecoveryCode

    app = App.load(plan_path)
    made: dict[str, dict[str, object]] = {}
    for repository_name in app.repository_names(only=name):
        code = (
            RecoveryCode.generate()
            if escrow and app.plan.repositories[repository_name].is_encrypted
            else None
        )
        try:
            repository = app.create_repository(repository_name, [code] if code else [])
        except RepositoryExists:
            if name is not None:
                raise
            repository, code = app.open_repository(repository_name), None
            note(f"{repository_name}: is there already, and these keys open it ({repository.store.url})")
            continue
        made[repository_name] = {
            "id": repository.id,
            "url": repository.store.url,
            "encrypted": repository.encrypted,
        }
        if not as_json:
            sealed = "encrypted" if repository.encrypted else "NOT ENCRYPTED, as the plan asks"
            print(f"{repository_name}: created at {repository.store.url} ({sealed})")
        if code is not None:
            note(
                f"{repository_name}: recovery code, shown only now. Print it and lock it away:\n  {code.reveal()}"
            )
    if as_json:
        print_json({"created": made})
    return 0


@command.command(name="list")
@repository_option
@plan_option
@json_option
def list_(repository_name: str | None, plan_path: Path | None, as_json: bool) -> int:
    """List the plan's repositories, and whether each can be opened from here."""
    from seawall.app import App
    from seawall.repository.backups.catalog import cluster_names

    app = App.load(plan_path)
    found: dict[str, dict[str, object]] = {}
    worst = 0
    for name in app.repository_names(only=repository_name):
        settings = app.plan.repositories[name]
        facts: dict[str, object] = {"site": settings.site, "url": settings.url}
        try:
            repository = app.open_repository(name)
            facts |= {
                "state": "ok",
                "id": repository.id,
                "encrypted": repository.encrypted,
                "clusters": cluster_names(repository),
            }
        except SeawallError as error:
            facts |= {"state": error.code, "message": error.message, "hint": error.hint}
            worst = worst or error.status
        found[name] = facts
    if as_json:
        print_json({"repositories": found})
        return worst
    rows = [
        [name, str(facts["site"]), str(facts["url"]), str(facts["state"])] for name, facts in found.items()
    ]
    print_table(["repository", "site", "url", "state"], rows)
    for name, facts in found.items():
        if facts["state"] != "ok":
            note(f"{name}: {facts['message']}\n  → {facts['hint']}")
    return worst
