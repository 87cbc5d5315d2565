"""``seawall init``: look at a running server, write a plan, say which settings to change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.options import json_option
from seawall.cli.output import note, print_json
from seawall.cli.usage import UsageInvalid

if TYPE_CHECKING:
    from seawall.plan.init_plan import InitFacts, ServerChange
    from seawall.postgres.server.owner import ServerOwner
    from seawall.postgres.session import ServerSession


@click.command()
@click.argument("dsn")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("plan.yaml"),
    help="Where to write the plan (else ./plan.yaml).",
)
@click.option(
    "--repository",
    "repositories",
    multiple=True,
    metavar="[NAME[@SITE]=]URL",
    help="Where backups go; may be repeated: near=file:///var/lib/seawall far@eu-central=s3://BUCKET.",
)
@click.option("--service", default=None, help="The service's name (else the server's cluster_name).")
@click.option("--site", default=None, help="The site of this server: what is lost together with it.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The key file of the repositories, made if it is not there (else beside the plan).",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The folder of this host's own state, for all users that run seawall.",
)
@click.option("--no-encryption", is_flag=True, help="Let anybody who reads a store read the data.")
@click.option("--apply", "applies", is_flag=True, help="Change the settings on the server, these alone.")
@click.option(
    "--force", is_flag=True, help="Move an existing plan aside; with --apply replace another archive_command."
)
@json_option
def command(
    dsn: str,
    output: Path,
    repositories: tuple[str, ...],
    service: str | None,
    site: str | None,
    key_file: Path | None,
    state: Path | None,
    no_encryption: bool,
    applies: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Look at the server at DSN and write a plan with every choice explained. Changes nothing on it
    unless told to --apply."""
    from seawall.cli.init_facts import InitChoices, current_settings, init_facts
    from seawall.plan.init_plan import render_plan, server_changes
    from seawall.postgres.observe import observe_server
    from seawall.postgres.server.owner_signals import detect_owner
    from seawall.postgres.session import connect, has_password

    _refuse_existing(output, force=force)
    choices = InitChoices(
        output, repositories, service, site, key_file, is_encrypted=not no_encryption, state=state
    )
    with connect(dsn, application_name="seawall init") as session:
        observed = observe_server(session)
        owner = detect_owner(session, observed)
        facts = init_facts(observed, owner, choices)
        changes = server_changes(facts, current_settings(observed))
        if applies:
            _refuse_apply(owner, changes, force=force)
        text = render_plan(facts)
        made_key = _make_key_file(facts)
        _make_state_directory(facts)
        moved = _write_plan(facts.plan_path, text)
        waiting = _apply(session, changes) if applies else ()
    outcome = {
        "plan": str(facts.plan_path),
        "moved_aside": str(moved) if moved else None,
        "key_file": str(facts.key_file) if facts.key_file else None,
        "made_key_file": made_key,
        "owner": {"kind": owner.kind.value, "name": owner.name, "evidence": list(owner.evidence)},
        "settings": [_as_document(change) for change in changes],
        "applied": applies,
        "waiting_for_restart": list(waiting),
    }
    if as_json:
        print_json(outcome)
        return 0
    _show_files(facts, moved, made_key=made_key)
    if has_password(dsn):
        note("the password is not in the plan: put it into ~/.pgpass of the users that run seawall")
    _show_settings(changes, owner, applied=applies, waiting=waiting)
    _show_next(facts, owner, changes, applied=applies)
    return 0


def _refuse_existing(output: Path, *, force: bool) -> None:
    if output.exists() and not force:
        raise UsageInvalid(
            f"{output} exists already; nothing was changed",
            hint="--output another file, or --force to move this one aside",
        )
    if not output.absolute().parent.is_dir():
        raise UsageInvalid(
            f"there is no folder {output.absolute().parent}", hint="create it, or --output elsewhere"
        )


def _refuse_apply(owner: ServerOwner, changes: tuple[ServerChange, ...], *, force: bool) -> None:
    from seawall.postgres.errors import OwnerForbids

    if not owner.may_alter_system:
        listed = "".join(f"\n{change.setting} = {change.wanted}" for change in changes)
        raise OwnerForbids(
            f"the server's settings belong to {owner.name} ({owner.evidence[0]}); nothing was changed",
            hint=(owner.settings_advice or owner.advice) + listed,
        )
    for change in changes:
        replaces = change.setting in ("archive_command", "archive_library") and change.current
        if replaces and "seawall" not in change.current and not force:
            raise OwnerForbids(
                f"{change.setting} is in use: {change.current}; nothing was changed",
                hint="if its archive may end here, repeat with --force: WAL goes to one place at a time",
            )


def _make_key_file(facts: InitFacts) -> bool:
    """Make the key file unless it is there, readable for the server's user, who runs ``wal push``."""
    from seawall.plan.secrets import generate_key_file

    if facts.key_file is None or facts.key_file.exists():
        return False
    generate_key_file(facts.key_file)
    _hand_over(facts.key_file, facts.data)
    return True


def _make_state_directory(facts: InitFacts) -> None:
    """Make the state folder for the server's user; made by root later, ``wal push`` could not use it."""
    if facts.state is None or facts.state.exists():
        return
    facts.state.mkdir(parents=True, mode=0o700)
    _hand_over(facts.state, facts.data)


def _hand_over(path: Path, data_directory: Path) -> None:
    """Give a file that root made to the owner of the data directory."""
    try:
        state = data_directory.stat()
    except OSError:
        return  # the server is on another machine
    if os.geteuid() == 0 and state.st_uid != 0:
        os.chown(path, state.st_uid, state.st_gid)


def _write_plan(path: Path, text: str) -> Path | None:
    """Write the plan whole or not at all; return where an older one was moved to."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    moved = _move_aside(path)
    os.rename(temporary, path)
    return moved


def _move_aside(path: Path) -> Path | None:
    if not path.exists():
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.old{number}")).exists():
        number += 1
    os.rename(path, aside)
    return aside


def _apply(session: ServerSession, changes: tuple[ServerChange, ...]) -> tuple[str, ...]:
    from seawall.postgres.server_settings import apply_settings

    return apply_settings(
        session, [change.statement for change in changes], [change.setting for change in changes]
    )


def _as_document(change: ServerChange) -> dict[str, object]:
    return {
        "setting": change.setting,
        "current": change.current,
        "wanted": change.wanted,
        "statement": change.statement,
        "reason": change.reason,
        "needs_restart": change.needs_restart,
    }


def _show_files(facts: InitFacts, moved: Path | None, *, made_key: bool) -> None:
    if moved is not None:
        note(f"the plan that was there is now {moved}")
    print(f"plan: {facts.plan_path} (read it; its objectives are only a beginning)")
    if facts.key_file is not None:
        made = (
            "made; without it the backups can't be read: keep a copy elsewhere" if made_key else "as it was"
        )
        print(f"key:  {facts.key_file} ({made})")


def _show_settings(
    changes: tuple[ServerChange, ...], owner: ServerOwner, *, applied: bool, waiting: tuple[str, ...]
) -> None:
    if not changes:
        print("the server's settings are as they must be")
        return
    print("\nsettings changed on the server:" if applied else "\nsettings to change on the server:")
    for change in changes:
        when = "needs a restart" if change.needs_restart else "needs a reload"
        print(f"  {change.statement}\n      was {change.current or 'empty'}; {change.reason} ({when})")
    if not applied and not owner.may_alter_system:
        print(f"\nthe server belongs to {owner.name}: {owner.settings_advice or owner.advice}")
    if waiting:
        print("waiting for a restart: " + ", ".join(waiting))


def _show_next(
    facts: InitFacts, owner: ServerOwner, changes: tuple[ServerChange, ...], *, applied: bool
) -> None:
    steps = [f"seawall repository init --plan {facts.plan_path} --escrow"]
    if changes and not applied:
        steps.append("the settings above, or: seawall init … --apply --force")
    if any(change.needs_restart for change in changes):
        restart = " && ".join(" ".join(line) for line in (owner.stop, owner.start) if line)
        steps.append("restart the server: " + (restart or owner.advice or "through its owner"))
    steps += [f"seawall check --plan {facts.plan_path}", f"seawall backup --plan {facts.plan_path}"]
    print("\nnext:")
    for number, step in enumerate(steps, 1):
        print(f"  {number}. {step}")
