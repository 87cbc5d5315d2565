"""``seawall evidence list|show|verify|note|sign-off|correct|keys``: what drills proved, and who may say so.

Reading and verifying need no key at all: a copied folder and public keys are enough. Writing needs this host's
signing key, which the ledger must know.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from seawall.cli.options import json_option, plan_option, repository_option
from seawall.cli.output import note as say
from seawall.cli.output import print_json, print_table

if TYPE_CHECKING:
    from seawall.evidence.keys import SigningKey
    from seawall.evidence.ledger import Ledger
    from seawall.evidence.model import Statement

Command = TypeVar("Command", bound=Callable[..., Any])

_SHOWN_DIGITS = 8


def ledger_options(function: Command) -> Command:
    """``--ledger`` for a ledger without a plan, else ``--plan`` and ``--repository``; ``--name`` of several."""
    for option in (
        plan_option,
        repository_option,
        click.option("--name", default=None, help="The ledger's name, where there are several (else main)."),
        click.option(
            "--ledger", "where", default=None, help="A repository's URL, or a folder; else the plan's."
        ),
    ):
        function = option(function)
    return function


def signing_options(function: Command) -> Command:
    """``--state``: where the signing key is, with a ledger that no plan describes."""
    return click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="The folder of this host's signing key (else the plan's `state:`, or the user's own).",
    )(ledger_options(function))


@click.group()
def command() -> None:
    """Evidence of drills: signed entries that can't be changed unnoticed."""


@command.group()
def keys() -> None:
    """The keys that sign evidence: this host's, and those that a ledger knows."""


@command.command(name="list")
@ledger_options
@json_option
def list_(
    where: str | None, name: str | None, repository_name: str | None, plan_path: Path | None, as_json: bool
) -> int:
    """List the entries, oldest first, as they are; `verify` proves them."""
    from seawall.cli.evidence_words import entry_document, summarize

    ledger = opened_ledger(where, name, repository_name, plan_path)
    entries = list(ledger.entries())
    if as_json:
        print_json({"ledger": ledger.url, "entries": [entry_document(entry) for entry in entries]})
        return 0
    if not entries:
        say(f"{ledger.url}: no evidence yet")
        return 0
    rows = [
        [
            str(entry.number),
            f"{entry.at:%Y-%m-%d %H:%M}",
            entry.type,
            entry.signer[:_SHOWN_DIGITS],
            summarize(entry),
        ]
        for entry in entries
    ]
    print_table(["entry", "at (UTC)", "type", "signed by", "says"], rows)
    return 0


@command.command()
@click.argument("number", type=click.IntRange(min=1))
@ledger_options
@json_option
def show(
    number: int,
    where: str | None,
    name: str | None,
    repository_name: str | None,
    plan_path: Path | None,
    as_json: bool,
) -> int:
    """Show entry NUMBER in full, as it was signed."""
    from seawall.cli.evidence_words import entry_document, show_entry

    ledger = opened_ledger(where, name, repository_name, plan_path)
    entry = ledger.read(number)
    if as_json:
        print_json({"ledger": ledger.url, **entry_document(entry), "id": entry.id, "body": entry.body})
        return 0
    show_entry(entry)
    say(f"{ledger.url}: entry {number}, SHA-256 {entry.sha256}; what it proves: seawall evidence verify")
    return 0


@command.command()
@click.option(
    "--public-key",
    "key_paths",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A public key that you trust, a PEM file; may be given several times.",
)
@click.option(
    "--head", default=None, help="A head that you kept outside, NUMBER:HASH; it must be in the chain."
)
@ledger_options
@json_option
def verify(
    key_paths: tuple[Path, ...],
    head: str | None,
    where: str | None,
    name: str | None,
    repository_name: str | None,
    plan_path: Path | None,
    as_json: bool,
) -> int:
    """Prove every entry: nothing altered, removed, moved or put in. Works offline, on a copy of the folder."""
    from seawall.cli.evidence_words import report_document, show_report
    from seawall.evidence.keys import read_public_key
    from seawall.evidence.verify import KnownHead, verify_ledger

    trusted = [read_public_key(path) for path in key_paths]
    known = KnownHead.parse(head) if head is not None else None
    place = opened_ledger(where, name, repository_name, plan_path).place
    report = verify_ledger(place, trusted=trusted, known_head=known)
    if as_json:
        print_json(report_document(report))
    else:
        show_report(report)
    report.raise_if_damaged()
    return 0


@command.command()
@click.argument("text")
@click.option("--about", type=click.IntRange(min=1), default=None, help="The entry that the note is about.")
@click.option("--who", default=None, help="Who says it (else the user of this session).")
@signing_options
def note(text: str, about: int | None, who: str | None, **place: Any) -> int:
    """Append TEXT as a note."""
    from seawall.evidence.model import Note, this_user

    return _append(Note(text=text, about=about, who=who or this_user()), **place)


@command.command(name="sign-off")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--who", required=True, help="The person who takes responsibility.")
@click.option("--text", default="", help="Further words.")
@signing_options
def sign_off(number: int, who: str, text: str, **place: Any) -> int:
    """Record that a person has looked at entry NUMBER and all before it."""
    from seawall.evidence.model import SignOff

    return _append(SignOff(about=number, text=text, who=who), **place)


@command.command()
@click.argument("number", type=click.IntRange(min=1))
@click.option("--owner", required=True, help="Who mends what failed.")
@click.option("--due", required=True, type=click.DateTime(["%Y-%m-%d"]), help="By when: 2026-12-31.")
@click.option("--note", "text", required=True, help="What is done about it.")
@signing_options
def correct(number: int, owner: str, due: datetime, text: str, **place: Any) -> int:
    """Record who mends what drill NUMBER found, and by when. The failed drill stays as it is."""
    from seawall.evidence.model import Correction

    return _append(Correction(about=number, owner=owner, due=due.date(), note=text), **place)


@keys.command(name="show")
@click.option(
    "--state", type=click.Path(path_type=Path, file_okay=False), default=None, help="The folder of the key."
)
@plan_option
@json_option
def show_key(state: Path | None, plan_path: Path | None, as_json: bool) -> int:
    """Print this host's public key (made on first use), to be given to auditors and other hosts."""
    from seawall.plan.locate import locate_plan

    has_plan = locate_plan(str(plan_path) if plan_path else None) is not None
    key = _signing_key(state, plan_path, is_planned=has_plan).public
    if as_json:
        print_json({"fingerprint": key.fingerprint, "public_key": key.pem})
        return 0
    print(key.pem, end="")
    say(f"SHA-256 fingerprint {key.fingerprint}")
    return 0


@keys.command(name="list")
@ledger_options
@json_option
def list_keys(
    where: str | None, name: str | None, repository_name: str | None, plan_path: Path | None, as_json: bool
) -> int:
    """List the keys that the ledger knows, and which of them may sign."""
    from seawall.cli.evidence_words import printable
    from seawall.evidence.errors import LedgerMissing

    ledger = opened_ledger(where, name, repository_name, plan_path)
    head = ledger.head()
    if head is None:
        raise LedgerMissing(f"no ledger was begun in {ledger.url}")
    known = list(ledger.signers(head))
    if as_json:
        found = [
            {
                "fingerprint": signer.fingerprint,
                "label": signer.label,
                "since_entry": signer.since,
                "retired_at_entry": signer.until,
                "public_key": signer.key.pem,
            }
            for signer in known
        ]
        print_json({"ledger": ledger.url, "signers": found})
        return 0
    rows = [
        [printable(signer.label), str(signer.since), str(signer.until or ""), signer.fingerprint]
        for signer in known
    ]
    print_table(["label", "since entry", "retired at", "SHA-256 fingerprint"], rows)
    return 0


@keys.command(name="add")
@click.argument("public_key", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--label", required=True, help="Whose key it is: the host's name.")
@signing_options
def add_key(public_key: Path, label: str, **place: Any) -> int:
    """Let the holder of PUBLIC_KEY (a PEM file) sign in this ledger. This host's key vouches for it."""
    from seawall.evidence.keys import read_public_key
    from seawall.evidence.model import SignerAdded

    return _append(SignerAdded(public_key=read_public_key(public_key).pem, label=label), **place)


@keys.command(name="retire")
@click.argument("fingerprint")
@click.option("--reason", required=True, help="Why: lost, host gone, read by others.")
@signing_options
def retire_key(fingerprint: str, reason: str, **place: Any) -> int:
    """End the right of the key with FINGERPRINT to sign. What it signed before stays valid."""
    from seawall.evidence.model import SignerRetired

    return _append(SignerRetired(signer=fingerprint.lower(), reason=reason), **place)


def opened_ledger(
    where: str | None, name: str | None, repository_name: str | None, plan_path: Path | None
) -> Ledger:
    """Return the ledger that is meant, to be read."""
    from seawall.evidence.ledger import Ledger
    from seawall.evidence.places import find_ledger, store_at
    from seawall.model.clock import SystemClock

    if where is not None:
        return Ledger(find_ledger(store_at(where), name), clock=SystemClock())
    return _planned(name, repository_name, plan_path)


def _writable_ledger(
    where: str | None, name: str | None, repository_name: str | None, plan_path: Path | None
) -> Ledger:
    """Return the ledger that is meant, to be written, and perhaps to be begun."""
    from seawall.evidence.errors import LedgerMissing
    from seawall.evidence.ledger import Ledger
    from seawall.evidence.places import find_ledger, place_in, store_at
    from seawall.model.clock import SystemClock
    from seawall.storage.errors import StoreMissing

    if where is None:
        return _planned(name, repository_name, plan_path)
    store = store_at(where)
    try:
        return Ledger(find_ledger(store, name), clock=SystemClock())
    except (LedgerMissing, StoreMissing) as error:
        if error.fields.get("names"):
            raise  # there are others: which one is meant has to be said
        return Ledger(place_in(store, name), clock=SystemClock())


def _planned(name: str | None, repository_name: str | None, plan_path: Path | None) -> Ledger:
    from seawall.app import App

    return App.load(plan_path).evidence_ledger(repository_name, name)


def _signing_key(state: Path | None, plan_path: Path | None, *, is_planned: bool) -> SigningKey:
    """Return this host's key: in the folder that is named, else the plan's, else the user's own."""
    from seawall.app import App
    from seawall.evidence.keys import load_or_create_key
    from seawall.plan.definition.fields import default_state_directory

    if state is not None:
        return load_or_create_key(state)
    if is_planned:
        return App.load(plan_path).evidence_key()
    return load_or_create_key(default_state_directory())


def _append(
    statement: Statement,
    *,
    state: Path | None,
    where: str | None,
    name: str | None,
    repository_name: str | None,
    plan_path: Path | None,
) -> int:
    ledger = _writable_ledger(where, name, repository_name, plan_path)
    key = _signing_key(state, plan_path, is_planned=where is None or plan_path is not None)
    entry = ledger.append(statement, key)
    print(f"{ledger.url}: entry {entry.number} ({entry.type}) appended")
    print(f"keep the head elsewhere, it proves that nothing is cut off: {entry.head}")
    return 0
