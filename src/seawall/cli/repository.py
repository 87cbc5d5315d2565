"""``seawall repository init|list``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.options import json_option, plan_option, repository_option
from seawall.cli.output import note, print_json, print_table
from seawall.model.errors import SeawallError

if TYPE_CHECKING:
    from seawall.storage.protocol import ObjectLock


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
    from seawall.cli.lock_words import describe_lock, lock_fields
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
        lock = repository.store.object_lock()
        made[repository_name] = {
            "id": repository.id,
            "url": repository.store.url,
            "encrypted": repository.encrypted,
            "object_lock": lock_fields(lock),
        }
        if not as_json:
            sealed = "encrypted" if repository.encrypted else "NOT ENCRYPTED, as the plan asks"
            print(f"{repository_name}: created at {repository.store.url} ({sealed}; {describe_lock(lock)})")
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
    from seawall.cli.lock_words import describe_lock, lock_fields, summarize_lock
    from seawall.repository.backups.catalog import cluster_names
    from seawall.storage.protocol import LockState

    app = App.load(plan_path)
    found: dict[str, dict[str, object]] = {}
    locks: dict[str, ObjectLock] = {}
    worst = 0
    for name in app.repository_names(only=repository_name):
        settings = app.plan.repositories[name]
        facts: dict[str, object] = {"site": settings.site, "url": settings.url}
        try:
            repository = app.open_repository(name)
            lock = repository.store.object_lock()
            facts |= {
                "state": "ok",
                "id": repository.id,
                "encrypted": repository.encrypted,
                "clusters": cluster_names(repository),
                "object_lock": lock_fields(lock),
            }
            locks[name] = lock
        except SeawallError as error:
            facts |= {"state": error.code, "message": error.message, "hint": error.hint}
            worst = worst or error.status
        found[name] = facts
    if as_json:
        print_json({"repositories": found})
        return worst
    rows = [
        [
            name,
            str(facts["site"]),
            str(facts["url"]),
            str(facts["state"]),
            summarize_lock(locks[name]) if name in locks else "",
        ]
        for name, facts in found.items()
    ]
    print_table(["repository", "site", "url", "state", "object lock"], rows)
    for name, lock in locks.items():
        if lock.state is LockState.UNKNOWN:
            note(f"{name}: {describe_lock(lock)}\n  → {lock.remedy}")
    for name, facts in found.items():
        if facts["state"] != "ok":
            note(f"{name}: {facts['message']}\n  → {facts['hint']}")
    return worst
