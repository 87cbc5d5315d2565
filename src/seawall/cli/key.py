"""``seawall key add|list|rotate|remove|export``: what opens a repository, without rewriting any data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.options import json_option, plan_option
from seawall.cli.output import note, print_json, print_table
from seawall.cli.usage import UsageInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from seawall.repository.repository import Repository
    from seawall.repository.secrets import SlotSecret


@click.group()
def command() -> None:
    """Manage the keys that open a repository. Data is never rewritten: only the seal of its key is."""


def _secret_options(function: Callable[..., int]) -> Callable[..., int]:
    for option in (
        click.option("--new", "reference", default=None, help="A reference: file:/path, env:NAME, command:…"),
        click.option("--passphrase", is_flag=True, help="The reference leads to words, not to a key file."),
        click.option(
            "--recovery-code", is_flag=True, help="Make a code, printed once, to be kept in a safe."
        ),
        click.option("--label", default=None, help="The new slot's public name."),
    ):
        function = option(function)
    return function


@command.command(name="list")
@click.argument("repository", required=False)
@plan_option
@json_option
def list_(repository: str | None, plan_path: Path | None, as_json: bool) -> int:
    """List the key slots. Labels are public; nothing secret is shown."""
    from seawall.app import App
    from seawall.repository.key_ring import list_slots

    app = App.load(plan_path)
    found: dict[str, dict[str, object]] = {}
    rows: list[list[str]] = []
    for name in app.repository_names(only=repository):
        opened = app.open_repository(name)
        listing = list_slots(opened)
        slots = [
            {"slot": slot.slot, "label": slot.label, "kind": slot.kind, "created_at": slot.created_at}
            for slot in listing.slots
        ]
        found[name] = {"slots": slots, "damaged": list(listing.damaged), "opened_with": opened.opened_with}
        rows += [[name, slot["label"], slot["kind"], slot["created_at"], slot["slot"]] for slot in slots]
        rows += [[name, "(damaged)", "", "", slot] for slot in listing.damaged]
    if as_json:
        print_json({"repositories": found})
    else:
        print_table(["repository", "label", "kind", "created", "slot"], rows)
    return 0


@command.command()
@click.argument("repository")
@_secret_options
@plan_option
def add(
    repository: str,
    reference: str | None,
    passphrase: bool,
    recovery_code: bool,
    label: str | None,
    plan_path: Path | None,
) -> int:
    """Add a key to REPOSITORY, beside those that open it."""
    from seawall.repository.key_ring import add_slot

    opened = _open(plan_path, repository)
    secret = _secret(reference, label, is_passphrase=passphrase, makes_code=recovery_code)
    slot = add_slot(opened, secret)
    print(f"{repository}: key {slot.label!r} ({slot.kind}) added")
    _reveal(secret)
    return 0


@command.command()
@click.argument("repository")
@click.argument("slot")
@_secret_options
@plan_option
def rotate(
    repository: str,
    slot: str,
    reference: str | None,
    passphrase: bool,
    recovery_code: bool,
    label: str | None,
    plan_path: Path | None,
) -> int:
    """Replace SLOT (its label or id) of REPOSITORY by a new key: first the new one is there, then the old goes.

    This re-seals the repository's data key. It does not make a copy of the old key worthless: who had that,
    and read the repository with it, may know the data key.
    """
    from seawall.repository.key_ring import rotate_slot

    opened = _open(plan_path, repository)
    secret = _secret(reference, label, is_passphrase=passphrase, makes_code=recovery_code)
    made = rotate_slot(opened, slot, secret)
    print(f"{repository}: key {slot!r} replaced by {made.label!r} ({made.kind})")
    _reveal(secret)
    return 0


@command.command()
@click.argument("repository")
@click.argument("slot")
@plan_option
def remove(repository: str, slot: str, plan_path: Path | None) -> int:
    """Remove SLOT (its label or id) of REPOSITORY; the last one can't be removed."""
    from seawall.repository.key_ring import remove_slot

    removed = remove_slot(_open(plan_path, repository), slot)
    print(f"{repository}: key {removed.label!r} removed")
    return 0


@command.command()
@click.argument("repository")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="A new file, made with mode 0600."
)
@click.option(
    "--seal-with", "reference", default=None, help="A reference to the secret that opens the document."
)
@click.option("--passphrase", is_flag=True, help="The reference leads to words, not to a key file.")
@click.option(
    "--readable", is_flag=True, help="Write the master key readable: whoever has the file has the data."
)
@plan_option
def export(
    repository: str,
    output: Path,
    reference: str | None,
    passphrase: bool,
    readable: bool,
    plan_path: Path | None,
) -> int:
    """Write an escrow document: with it the repository opens even if every key slot is gone."""
    from seawall.repository.key_ring import export_master_key, export_sealed

    if (reference is None) == (not readable):
        raise UsageInvalid(
            "an escrow document is either sealed or readable",
            hint="say --seal-with file:/path (or env:, command:), or --readable",
        )
    opened = _open(plan_path, repository)
    if readable:
        document = export_master_key(opened)
    else:
        document = export_sealed(
            opened, _secret(reference, "escrow", is_passphrase=passphrase, makes_code=False)
        )
    _write_new(output, document)
    print(
        f"{repository}: escrow document written to {output}"
        + (" (READABLE: lock it away)" if readable else "")
    )
    return 0


def _open(plan_path: Path | None, name: str) -> Repository:
    from seawall.app import App

    app = App.load(plan_path)
    return app.open_repository(app.repository_names(only=name)[0])


def _secret(reference: str | None, label: str | None, *, is_passphrase: bool, makes_code: bool) -> SlotSecret:
    from seawall.app import key_label
    from seawall.plan.secrets import SecretReference, resolve
    from seawall.repository.secrets import KeyFile, Passphrase, RecoveryCode

    if makes_code == (reference is not None):
        raise UsageInvalid(
            "a new key is either a reference or a recovery code",
            hint="say --new file:/path, or --recovery-code",
        )
    if reference is None:
        return RecoveryCode.generate(label or "escrow")
    try:
        parsed = SecretReference.parse(reference)
    except ValueError as error:
        raise UsageInvalid(
            f"the new key's reference can't be used: {error}",
            hint="--new takes file:/path, env:NAME or command:…",
        ) from error
    chosen = label or key_label(parsed)
    secret = resolve(parsed)
    return Passphrase(chosen, secret.reveal_text()) if is_passphrase else KeyFile(chosen, secret.reveal())


def _reveal(secret: SlotSecret) -> None:
    from seawall.repository.secrets import RecoveryCode

    if isinstance(secret, RecoveryCode):
        note(f"recovery code, shown only now. Print it and lock it away:\n  {secret.reveal()}")


def _write_new(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageInvalid(
            f"{path} can't be created: {error.strerror}", hint="--output takes a new file"
        ) from error
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
