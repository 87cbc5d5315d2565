"""``seawall status``: what would happen if a site died now, in one sentence."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.options import json_option, plan_option
from seawall.cli.output import print_json

if TYPE_CHECKING:
    from seawall.reporting.status.decide import Verdict

_PATIENCE_S = 10.0
_FILE = click.Path(path_type=Path, dir_okay=False)
_STYLES = {0: "bold green", 3: "bold red", 4: "bold yellow"}


@click.command()
@click.option(
    "--public-key",
    "key_paths",
    multiple=True,
    type=_FILE,
    help="A public key of a host that drills, beside this host's own; may be given several times.",
)
@click.option("--deadline", default="30s", show_default=True, help="How long each server may be questioned.")
@plan_option
@json_option
def command(key_paths: tuple[Path, ...], deadline: str, plan_path: Path | None, as_json: bool) -> int:
    """Say what would happen if a site died now: how long until it is back, how much is lost, when that was proven.

    Never better than what is active and measured. Exit status 0: proven, within the objectives; 3: an
    objective would be missed; 4: something is unknown or not proven.
    """
    from seawall.app import App
    from seawall.cli.parsing import duration_s
    from seawall.evidence.keys import read_public_key
    from seawall.model.clock import SystemClock
    from seawall.plan.load import examine_plan, plan_invalid
    from seawall.reporting.own_key import own_public_key
    from seawall.reporting.status.decide import decide_site
    from seawall.reporting.status.document import overall, status_document
    from seawall.reporting.status.observe import Openers, observe_sites

    limit_s = duration_s(deadline, "--deadline")
    plan, diagnostics = examine_plan(plan_path)
    if plan is None:
        raise plan_invalid(diagnostics)
    app = App(plan, SystemClock(), patience_s=min(_PATIENCE_S, limit_s))
    own = own_public_key(plan.state)
    trusted = [*(read_public_key(path) for path in key_paths), *([] if own is None else [own])]
    openers = Openers(app.open_repository, app.evidence_ledger)
    sites = observe_sites(plan, diagnostics, openers, trusted, clock=app.clock, deadline_s=limit_s)
    verdicts, now = [decide_site(site) for site in sites], app.clock.now()
    if as_json:
        print_json(status_document(plan.service, verdicts, now))
    else:
        _show(verdicts, now)
    return int(overall(verdicts))


def _show(verdicts: list[Verdict], now: datetime) -> None:
    from rich.console import Console

    from seawall.cli.evidence_words import printable
    from seawall.cli.paragraphs import WIDEST, hanging
    from seawall.reporting.status.words import reasons, remedy, sentence

    out = Console(highlight=False, markup=False, soft_wrap=False)
    out.width = min(out.width, WIDEST)
    for verdict in verdicts:
        style = _STYLES[int(verdict.standing)]
        hanging(out, "", printable(sentence(verdict, now)), indent=0, style=style)
        for text in reasons(verdict):
            hanging(out, "- ", printable(text), indent=2, style="dim")
        if next_step := remedy(verdict):
            hanging(out, "→ ", printable(next_step), indent=2, style="green")
