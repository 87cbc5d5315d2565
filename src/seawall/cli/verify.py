"""``seawall verify``: re-read repositories and find any damage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.memory import keep_freed_memory
from seawall.cli.options import LONG_PATIENCE_S, json_option, plan_option, repository_option
from seawall.cli.output import ProgressDisplay, print_json
from seawall.model.units import format_bytes

if TYPE_CHECKING:
    from seawall.repository.repository import Repository
    from seawall.repository.verify.report import ProgressCallback, VerifyReport


@click.command()
@click.option("--backup", default=None, help="One backup, with the WAL that makes it consistent.")
@click.option(
    "--cluster", "cluster_name", default=None, help="One cluster; else all that the repository holds."
)
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="Share of the packs and WAL to read.",
)
@click.option("--seed", type=int, default=None, help="Which share; else another one each day.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Threads (else one for each core).")
@repository_option
@plan_option
@json_option
def command(
    backup: str | None,
    cluster_name: str | None,
    fraction: float,
    seed: int | None,
    jobs: int | None,
    repository_name: str | None,
    plan_path: Path | None,
    as_json: bool,
) -> int:
    """Re-read everything, authenticate every frame, and name what is damaged or missing and what it affects."""
    from seawall.app import App
    from seawall.repository.verify.whole import verify

    keep_freed_memory()
    app = App.load(plan_path, patience_s=LONG_PATIENCE_S)
    reports: dict[str, VerifyReport] = {}
    for name in app.repository_names(only=repository_name):
        repository = app.open_repository(name)
        _refuse_unknown(repository, name, cluster_name)
        with ProgressDisplay(f"verify {name}", is_silent=as_json) as display:
            reports[name] = verify(
                repository,
                cluster=cluster_name,
                backup=backup,
                fraction=fraction,
                seed=seed if seed is not None else app.clock.now().toordinal(),
                threads=jobs or os.cpu_count() or 1,
                progress=_shown_on(display),
            )
        if not as_json:
            _show(name, reports[name])
    if as_json:
        print_json({"repositories": {name: _document(report) for name, report in reports.items()}})
    for report in reports.values():
        report.raise_if_damaged()
    return 0


def _refuse_unknown(repository: Repository, name: str, cluster: str | None) -> None:
    """Raise NameUnknown for a cluster that is not there: nothing read must not look like nothing found."""
    from seawall.app import NameUnknown
    from seawall.repository.backups.catalog import cluster_names

    known = cluster_names(repository)
    if cluster is not None and cluster not in known:
        raise NameUnknown(
            f"repository {name!r} holds nothing of a cluster {cluster!r}",
            hint="--cluster takes one of: " + ", ".join(known)
            if known
            else "seawall backup makes the first backup",
        )


def _shown_on(display: ProgressDisplay) -> ProgressCallback:
    return lambda state: display.update(state.bytes_read, state.expected_bytes)


def _show(name: str, report: VerifyReport) -> None:
    part = "" if report.fraction >= 1 else f" (a sample of {report.fraction:.0%}, seed {report.seed})"
    print(
        f"{name}: {report.objects} objects, {format_bytes(report.bytes_read)} read, "
        f"{len(report.backups)} backup(s){part}: {'intact' if report.is_intact else 'DAMAGED'}"
    )
    for finding in report.findings:
        print(f"  {finding.problem}: {finding.key}: {finding.message}")
        for affected in finding.affects:
            print(f"      affects {affected}")
    for backup, reasons in report.not_restorable.items():
        print(f"  backup {backup} can't be restored: {'; '.join(reasons)}")
    for finding in report.stray:
        print(f"  not part of the repository: {finding.key}")
    for note in report.notes:
        print(f"  note: {note}")
    for backup in report.unfinished:
        print(f"  unfinished: {backup} (being written, or dead and collected later)")


def _document(report: VerifyReport) -> dict[str, object]:
    return {
        "intact": report.is_intact,
        "objects": report.objects,
        "bytes_read": report.bytes_read,
        "skipped_objects": report.skipped_objects,
        "fraction": report.fraction,
        "seed": report.seed,
        "backups": report.backups,
        "findings": [item._asdict() for item in report.findings],
        "stray": [item.key for item in report.stray],
        "unfinished": report.unfinished,
        "not_restorable": report.not_restorable,
        "notes": report.notes,
    }
