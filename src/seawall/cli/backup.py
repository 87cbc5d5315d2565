"""``seawall backup``: a full physical backup of a cluster into its repositories."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.memory import keep_freed_memory
from seawall.cli.options import LONG_PATIENCE_S, json_option, plan_option, repository_option
from seawall.cli.output import ProgressDisplay, note, print_json
from seawall.model.errors import SeawallError
from seawall.model.units import format_bytes, format_duration

if TYPE_CHECKING:
    from seawall.app import App
    from seawall.backup.physical import BackupOutcome
    from seawall.repository.repository import Repository


@click.command()
@click.argument("cluster_name", metavar="[CLUSTER]", required=False)
@click.option("--type", "backup_type", type=click.Choice(["full"]), default="full", help="What to copy.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Threads (else the plan's, else cores)."
)
@click.option("--wal-timeout", default="5m", help="How long to wait for the backup's WAL in each repository.")
@click.option("--spread-checkpoint", is_flag=True, help="Let the server spread the checkpoint out.")
@repository_option
@plan_option
@json_option
def command(
    cluster_name: str | None,
    backup_type: str,
    jobs: int | None,
    wal_timeout: str,
    spread_checkpoint: bool,
    repository_name: str | None,
    plan_path: Path | None,
    as_json: bool,
) -> int:
    """Take a backup of CLUSTER into its repositories, with one read of the data directory."""
    import dataclasses

    from seawall.app import App
    from seawall.backup.physical import take_full_backup
    from seawall.cli.parsing import duration_s

    keep_freed_memory()
    _import_ahead()
    app = App.load(plan_path, patience_s=LONG_PATIENCE_S)
    cluster = app.cluster_name(cluster_name)
    policy = dataclasses.replace(
        app.backup_policy(cluster, jobs=jobs, wal_timeout_s=duration_s(wal_timeout, "--wal-timeout")),
        is_fast=not spread_checkpoint,
    )
    names = app.repository_names(cluster, repository_name)
    repositories, unopened = _open(app, names)
    with ProgressDisplay(f"backup of {cluster}", is_silent=as_json) as display:
        outcome = take_full_backup(
            app.source(cluster),
            repositories,
            policy,
            app.clock,
            lambda progress: display.update(progress.done_bytes, progress.total_bytes, progress.phase),
        )
    outcome = dataclasses.replace(outcome, failures={**unopened, **outcome.failures})
    _show(outcome, cluster, as_json=as_json)
    for name in outcome.records:
        _collect_dead(repositories[name], cluster)
    if outcome.failures:
        from seawall.backup.errors import SomeRepositoriesFailed

        raise SomeRepositoriesFailed(
            f"backup {outcome.backup_id} is missing in: "
            + "; ".join(f"{name} ({error.message})" for name, error in outcome.failures.items()),
            hint="it is complete in the others; repair the cause and back up again: seawall check",
        )
    if outcome.corrupt_blocks:
        from seawall.backup.errors import SourceDamaged

        raise SourceDamaged(
            f"backup {outcome.backup_id} is complete, and holds damaged pages of the server itself in: "
            + "; ".join(_damage(outcome, path) for path in outcome.corrupt_blocks),
            hint="keep the older backups; look into these relations, and restore them from before the damage",
        )
    return 0


def _open(app: App, names: Sequence[str]) -> tuple[dict[str, Repository], dict[str, SeawallError]]:
    """Open what can be opened: one repository that is down must not cost the backup in the others."""
    opened: dict[str, Repository] = {}
    failed: dict[str, SeawallError] = {}
    for name in names:
        try:
            opened[name] = app.open_repository(name)
        except SeawallError as error:
            failed[name] = error
            if len(failed) == len(names):
                raise
    return opened, failed


def _damage(outcome: BackupOutcome, path: str) -> str:
    blocks = outcome.corrupt_blocks[path]
    shown = ", ".join(str(block) for block in blocks[:8]) + (", …" if len(blocks) > 8 else "")
    relation = f" ({outcome.relations[path]})" if path in outcome.relations else ""
    return f"{path}{relation}: block {shown}"


def _collect_dead(repository: Repository, cluster: str) -> None:
    """Remove what killed backups left, once their leases have run out; a failure here is only told."""
    from seawall.model.errors import SeawallError
    from seawall.repository.collect import execute_collection, observe_traces, plan_collection

    try:
        plan = plan_collection(observe_traces(repository, [cluster]))
        if plan.dead or plan.expired_leases:
            result = execute_collection(repository, plan)
            note(
                f"removed what {len(result.collected)} unfinished backup(s) left: {format_bytes(result.deleted_bytes)}"
            )
    except SeawallError as error:
        note(f"warning: the remains of unfinished backups could not be removed: {error.message}")


def _import_ahead() -> None:
    """Load the driver while the plan is read and keys are derived, which releases the GIL in part."""
    from seawall.postgres.session import load_driver

    threading.Thread(target=load_driver, daemon=True).start()


def _show(outcome: BackupOutcome, cluster: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "backup": outcome.backup_id,
                "cluster": cluster,
                "seconds": round(outcome.seconds, 3),
                "repositories": {
                    name: {
                        "raw_bytes": record.raw_bytes,
                        "stored_bytes": record.stored_bytes,
                        "files": record.file_count,
                        "start_lsn": record.start_lsn,
                        "stop_lsn": record.stop_lsn,
                        "timeline": record.timeline,
                    }
                    for name, record in outcome.records.items()
                },
                "failed": {name: error.code for name, error in outcome.failures.items()},
                "corrupt": {path: list(blocks) for path, blocks in outcome.corrupt_blocks.items()},
                "corrupt_relations": outcome.relations,
            }
        )
        return
    for name, record in outcome.records.items():
        ratio = record.raw_bytes / max(record.stored_bytes, 1)
        print(
            f"{name}: backup {record.id} complete, {record.file_count} files, "
            f"{format_bytes(record.raw_bytes)} stored as {format_bytes(record.stored_bytes)} "
            f"({ratio:.1f} : 1), LSN {record.start_lsn} to {record.stop_lsn}, {format_duration(outcome.seconds)}"
        )
