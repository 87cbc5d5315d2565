"""``seawall drill restore|due|capture|list|show``: rehearse a restore, and see what rehearsals showed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seawall.cli.options import (
    LONG_PATIENCE_S,
    cluster_option,
    json_option,
    pg_bin_option,
    plan_option,
    repository_option,
)
from seawall.cli.output import ProgressDisplay, print_json, print_table
from seawall.cli.output import note as say
from seawall.model.errors import SeawallError

if TYPE_CHECKING:
    from seawall.app import App
    from seawall.cli.drill_setup import DrillOptions
    from seawall.evidence.ledger import Ledger
    from seawall.evidence.model import DrillEvidence

DUE_STATUS = 3
"""Exit status of ``drill due`` when one is: a result, not an error."""
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def command() -> None:
    """Rehearse restores beside the living, and see what rehearsals showed."""


@command.command()
@click.argument("source", default="plan")
@click.option(
    "--moment",
    default="latest",
    show_default=True,
    help="latest, random (inside the window; the seed is recorded), or a time.",
)
@click.option("--seed", type=int, default=None, help="The seed of a random moment; recorded in any case.")
@click.option(
    "--check", "checks", multiple=True, metavar="NAME=SQL", help="SQL that returns true; repeatable."
)
@click.option("--database", default=None, help="The database that --check asks (else the restored one).")
@click.option(
    "--globals", "globals_path", type=_FILE, default=None, help="A dump's pg_dumpall --globals-only."
)
@click.option("--no-owner", is_flag=True, help="Restore a dump without its owners and grants.")
@click.option(
    "--expect", "expect_path", type=_FILE, default=None, help="Row counts captured with the backup (JSON)."
)
@click.option("--user", default=None, help="A superuser of the restored cluster (else the plan's, postgres).")
@click.option(
    "--scratch", type=_FOLDER, default=None, help="Where to work (else /var/tmp); cleared away afterwards."
)
@click.option(
    "--evidence", "where", default=None, help="A folder or URL for the evidence, else the plan's repository."
)
@click.option(
    "--state", type=_FOLDER, default=None, help="The folder of this host's signing key (else the plan's)."
)
@click.option("--rto", default=None, help="The recovery time to judge by (else the plan's): 15m.")
@click.option("--rpo", default=None, help="The loss to judge by (else the plan's): 5m.")
@click.option("--detection", default=None, help="Counts against the RTO (else the plan's): 3m.")
@click.option("--full-size", default=None, help="The real database's size, for a forecast: 2TiB.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Threads (else one for each core).")
@click.option("--deadline", default="6h", show_default=True, help="How long any one step may take.")
@click.option(
    "--slow", default="10m", show_default=True, help="An assertion that takes longer is called slow."
)
@cluster_option
@repository_option
@pg_bin_option
@plan_option
@json_option
def restore(source: str, as_json: bool, plan_path: Path | None, **options: Any) -> int:
    """Restore SOURCE into a scratch folder, ask whether it is right, measure it, and clear it away.

    SOURCE is the plan's cluster (the default: `plan`), `pgbackrest:STANZA[?config=FILE]`,
    `barman:SERVER[?config=FILE]`, or the path of a dump: a file of pg_dump -Fc, a folder of -Fd, or SQL (.sql,
    .sql.gz, .sql.zst). Nothing of the source is changed, and nothing that runs is touched.
    """
    from seawall.cli.drill_setup import DrillOptions, find_app

    chosen = DrillOptions(source=source, **options)
    app = find_app(plan_path, is_needed=source == "plan")
    return _hold(app, chosen, as_json=as_json)


@command.command()
@click.option("--run", "runs", is_flag=True, help="Hold what is due now.")
@click.option(
    "--scratch", type=_FOLDER, default=None, help="Where to work (else /var/tmp); cleared away afterwards."
)
@cluster_option
@plan_option
@json_option
def due(
    runs: bool, scratch: Path | None, cluster_name: str | None, plan_path: Path | None, as_json: bool
) -> int:
    """Say whether a drill is due by the plan's timetable; for timers. Exit status 3: one is.

    With --run it is held, of the latest moment or a random one in turn, and the exit status is the drill's. What
    earlier drills left when the machine went down is cleared away.
    """
    from seawall.cli.drill_setup import DrillOptions, due_drills, find_app
    from seawall.drill.scratch import sweep

    app = find_app(plan_path, is_needed=True)
    assert app is not None  # it is needed
    for folder in sweep(app.plan.state):
        say(f"cleared away {folder}, which an earlier drill had left")
    found = due_drills(app, cluster_name)
    if as_json and not runs:
        print_json(
            {
                "due": [
                    {
                        "cluster": item.cluster,
                        "is_due": item.is_due,
                        "reason": item.reason,
                        "last_drill": item.last.evidence.drill if item.last else None,
                        "last_outcome": item.last.evidence.outcome.value if item.last else None,
                        "next_at": item.next_at,
                    }
                    for item in found
                ]
            }
        )
    if not runs:
        for item in found if not as_json else ():
            upcoming = f"; next {item.next_at:%Y-%m-%d %H:%M} UTC" if item.next_at else ""
            print(f"{item.cluster}: {'DUE' if item.is_due else 'not due'}, {item.reason}{upcoming}")
        return DUE_STATUS if any(item.is_due for item in found) else 0
    failure: SeawallError | None = None
    for item in found:
        if item.is_due:
            moment = "random" if item.last is not None and item.last.number % 2 else "latest"
            options = DrillOptions(source="plan", moment=moment, cluster_name=item.cluster, scratch=scratch)
            try:
                _hold(app, options, as_json=as_json)
            except SeawallError as error:
                failure = failure or error  # the other clusters' drills are due all the same
    if failure is not None:
        raise failure
    return 0


@command.command()
@click.argument("dsn")
@click.option("--digests", is_flag=True, help="Digests of all rows too; reads every table twice.")
@click.option("--deadline", default="1h", show_default=True, help="How long one table may take.")
def capture(dsn: str, digests: bool, deadline: str) -> int:
    """Print the row counts of the server at DSN, as JSON for --expect: call it when a backup is made."""
    from seawall.cli.parsing import duration_s
    from seawall.drill.assertions.capture import capture_tables

    print_json(capture_tables(dsn, with_digests=digests, deadline_s=duration_s(deadline, "--deadline")))
    return 0


@command.command(name="list")
@click.option(
    "--evidence", "where", default=None, help="A folder or URL of evidence, else the plan's repository."
)
@plan_option
@json_option
def list_(where: str | None, plan_path: Path | None, as_json: bool) -> int:
    """List the drills that were held, newest first."""
    from seawall.cli.drill_report import line_of
    from seawall.drill.ledger import drills_in

    ledger = _ledger(where, plan_path)
    drills = list(drills_in(ledger))
    if as_json:
        print_json(
            {
                "ledger": ledger.url,
                "drills": [{"entry": item.number, **item.evidence.document()} for item in drills],
            }
        )
    elif drills:
        print_table(
            ["entry", "at (UTC)", "outcome", "rto", "rpo", "source"], [line_of(item) for item in drills]
        )
    else:
        say(f"{ledger.url}: no drill yet; hold one: seawall drill restore")
    return 0


@command.command()
@click.argument("drill", required=False)
@click.option(
    "--evidence", "where", default=None, help="A folder or URL of evidence, else the plan's repository."
)
@plan_option
@json_option
def show(drill: str | None, where: str | None, plan_path: Path | None, as_json: bool) -> int:
    """Show one DRILL, by its id or entry number; else the newest."""
    from seawall.cli.drill_report import show_drill
    from seawall.drill.ledger import find_drill

    ledger = _ledger(where, plan_path)
    found = find_drill(ledger, drill)
    if as_json:
        document = {"ledger": ledger.url, "entry": found.number, **found.evidence.document()}
        print_json(document)
    else:
        show_drill(found.evidence)
        print(f"entry {found.number} of {ledger.url}; what it proves: seawall evidence verify")
    return 0


def _hold(app: App | None, options: DrillOptions, *, as_json: bool) -> int:
    """Hold one drill, record it, show it. Raises DrillFailed, DrillIncomplete once all that is done."""
    from seawall.cli.drill_report import show_drill
    from seawall.cli.drill_setup import prepare
    from seawall.drill.run import run_drill

    setup = prepare(app, options)
    with ProgressDisplay(f"drill of {options.source}", is_silent=as_json) as display:
        evidence = run_drill(
            setup.source,
            setup.request,
            setup.fallback,
            setup.clock,
            lambda phase, done, total: display.update(done, total, phase),
        )
    entry = (
        setup.ledger.append(evidence, setup.key)
        if setup.ledger is not None and setup.key is not None
        else None
    )
    recorded = (
        {"ledger": setup.ledger.url, "entry": entry.number, "head": entry.head}
        if entry and setup.ledger
        else None
    )
    if as_json:
        print_json({**evidence.document(), "recorded": recorded})
    else:
        show_drill(evidence)
        if recorded is not None:
            print(f"recorded as entry {recorded['entry']} of {recorded['ledger']}")
            print(f"keep the head elsewhere, it proves that nothing is cut off: {recorded['head']}")
        else:
            print("no evidence was kept: --evidence DIR, or a plan (seawall init)")
    _raise_outcome(evidence)
    return 0


def _raise_outcome(evidence: DrillEvidence) -> None:
    from seawall.drill.errors import DrillFailed, DrillIncomplete
    from seawall.evidence.model import AssertionOutcome, DrillOutcome

    def named(outcome: AssertionOutcome) -> str:
        return "; ".join(
            f"{item.name}: {item.detail}" for item in evidence.assertions if item.outcome is outcome
        )

    if evidence.outcome is DrillOutcome.FAILED:
        missed = [
            f"the {name} was missed"
            for name, objective in (("RTO", evidence.rto), ("RPO", evidence.rpo))
            if objective.is_met is False
        ]
        why = "; ".join(filter(None, [named(AssertionOutcome.FAILED), *missed]))
        raise DrillFailed(
            f"the drill failed: {why}",
            hint="repair what it names, then hold it again: seawall drill restore",
            drill=evidence.drill,
        )
    if evidence.outcome is DrillOutcome.INCOMPLETE:
        raise DrillIncomplete(
            f"the drill is incomplete: {named(AssertionOutcome.COULD_NOT_RUN)}",
            hint="make possible what could not be asked, then hold it again: seawall drill restore",
            drill=evidence.drill,
        )


def _ledger(where: str | None, plan_path: Path | None) -> Ledger:
    from seawall.evidence.ledger import Ledger
    from seawall.evidence.places import find_ledger, store_at
    from seawall.model.clock import SystemClock

    if where is not None:
        return Ledger(find_ledger(store_at(where)), clock=SystemClock())
    from seawall.app import App

    return App.load(plan_path, patience_s=LONG_PATIENCE_S).evidence_ledger()
