"""``seawall demo``: a whole disaster on this machine, start to end, in about a minute."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.options import json_option, pg_bin_option
from seawall.cli.output import print_json
from seawall.model.units import format_duration

if TYPE_CHECKING:
    from rich.console import Console

    from seawall.demo.story import Outcome, Scene


@click.command()
@click.option("--keep", is_flag=True, help="Leave the recovered shop running, to look at.")
@pg_bin_option
@json_option
def command(keep: bool, pg_bin: Path | None, as_json: bool) -> int:
    """Play a disaster: a shop loses its site and comes back at another, with RTO and RPO measured.

    Exit status 0 only if both objectives were met.
    """
    from rich.console import Console

    from seawall.demo.story import play

    console = Console(highlight=False, soft_wrap=True)
    # A demo that is told to end must strike its stage: SIGTERM unwinds like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcome = play(
        pg_bin=pg_bin, keep=keep, show=(lambda scene: None) if as_json else (lambda s: _show(console, s))
    )
    if as_json:
        print_json(_document(outcome))
    else:
        _show_outcome(console, outcome, keep=keep)
    return 0 if outcome.is_rto_met and outcome.is_rpo_met else 1


def _show(console: Console, scene: Scene) -> None:
    from rich.text import Text

    styles = {
        "scene": "bold cyan",
        "command": "bold",
        "output": "dim",
        "fact": "",
        "disaster": "bold white on red",
    }
    marks = {"scene": "▌ ", "command": "  $ ", "output": "    ", "fact": "  · ", "disaster": "▌ "}
    line = Text(f"{scene.at_s:5.1f} s  ", style="dim")
    line.append(marks[scene.kind] + scene.text, style=styles[scene.kind])
    console.print(line)


def _show_outcome(console: Console, outcome: Outcome, *, keep: bool) -> None:
    from rich.table import Table

    from seawall.demo.story import RPO_OBJECTIVE_S, RTO_OBJECTIVE_S

    verdict = outcome.verdict
    for proof in outcome.proofs:
        console.print(f"         [dim]{proof.question}[/]  →  [bold]{proof.answer}[/]")
    table = Table(title="What the shop's client saw", title_justify="left", title_style="bold")
    for name in ("", "objective", "reached", ""):
        table.add_column(name, justify="left" if not name else "right")
    for name, objective_s, reached_s, is_met in (
        ("RTO: first failed to first accepted order", RTO_OBJECTIVE_S, verdict.rto_s, outcome.is_rto_met),
        (
            "RPO: last recovered to last acknowledged order",
            RPO_OBJECTIVE_S,
            verdict.rpo_s,
            outcome.is_rpo_met,
        ),
    ):
        met = "[bold green]✓ met[/]" if is_met else "[bold red]✗ missed[/]"
        table.add_row(name, format_duration(objective_s), f"[bold]{format_duration(reached_s)}[/]", met)
    console.print(table)
    console.print(
        f"{verdict.acknowledged_before:,} orders were acknowledged before the disaster, "
        f"{verdict.recovered:,} of them came back, {verdict.lost:,} are lost; "
        f"{outcome.orders_after:,} more were taken at the new site. The whole demo took {outcome.seconds:.0f} s."
    )
    if keep:
        console.print(
            f"Kept, running, in {outcome.root}: psql -h {outcome.root}/eu-central/socket -U postgres\n"
            f"When done: kill -INT $(head -1 {outcome.root}/eu-central/data/postmaster.pid); rm -r {outcome.root}"
        )


def _document(outcome: Outcome) -> dict[str, object]:
    verdict = outcome.verdict
    return {
        "server_version": outcome.server_version,
        "rto_s": round(verdict.rto_s, 3),
        "rpo_s": round(verdict.rpo_s, 3),
        "is_rto_met": outcome.is_rto_met,
        "is_rpo_met": outcome.is_rpo_met,
        "orders_acknowledged": verdict.acknowledged_before,
        "orders_recovered": verdict.recovered,
        "orders_lost": verdict.lost,
        "orders_after": outcome.orders_after,
        "seconds": round(outcome.seconds, 1),
        "root": outcome.root,
    }
