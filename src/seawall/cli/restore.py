"""``seawall restore``: a cluster, back at a moment, in a directory or as a running server."""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seawall.cli.memory import keep_freed_memory
from seawall.cli.options import (
    LONG_PATIENCE_S,
    cluster_option,
    json_option,
    pg_bin_option,
    plan_option,
    repository_option,
)
from seawall.cli.output import ProgressDisplay, print_json
from seawall.cli.usage import UsageInvalid
from seawall.model.units import format_bytes, format_duration

if TYPE_CHECKING:
    from seawall.app import App
    from seawall.restore.planning.moment import Moment
    from seawall.restore.planning.request import RestoreReport, RestoreRequest

_MOMENTS = "--latest, --to, --to-lsn, --to-xid, --to-name or --immediate"


@click.command()
@click.option(
    "--into", "directory", type=click.Path(path_type=Path), required=True, help="The data directory to make."
)
@click.option("--latest", is_flag=True, help="Everything that the archive holds.")
@click.option(
    "--to", "to_time", default=None, help='A time, like "2026-11-25 10:41:07+00"; else the plan\'s zone.'
)
@click.option("--to-lsn", default=None, help="A WAL position.")
@click.option("--to-xid", type=click.IntRange(3), default=None, help="The end of this transaction.")
@click.option("--to-name", default=None, help="A point made by pg_create_restore_point.")
@click.option("--immediate", is_flag=True, help="The end of the backup.")
@click.option("--exclusive", is_flag=True, help="Stop just before the target instead of just after it.")
@click.option("--timeline", type=click.IntRange(1), default=None, help="Else the newest timeline.")
@click.option("--backup", "backup_id", default=None, help="A backup by id; else the right one is chosen.")
@click.option(
    "--as", "role", type=click.Choice(["copy", "primary"]), default="copy", help="A copy never archives."
)
@click.option(
    "--claimed-by", default=None, help="Who takes the cluster over (with --as primary); else this user."
)
@click.option(
    "--start",
    "starts",
    is_flag=True,
    help="Start the server (through its owner), wait, and run the plan's checks.",
)
@click.option(
    "--action",
    type=click.Choice(["promote", "pause", "shutdown"]),
    default="promote",
    help="What the server does at the target.",
)
@click.option(
    "--tablespace", "tablespaces", multiple=True, metavar="OLD=NEW", help="By OID or old folder; repeatable."
)
@click.option(
    "--tablespaces-in", type=click.Path(path_type=Path), default=None, help="A folder for all tablespaces."
)
@click.option("--move-aside", is_flag=True, help="Keep what is in the directory under another name.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A server setting; repeatable.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Threads (else one for each core).")
@click.option("--deadline", default="1h", help="How long recovery may take (with --start).")
@cluster_option
@repository_option
@pg_bin_option
@plan_option
@json_option
def command(
    directory: Path,
    latest: bool,
    to_time: str | None,
    to_lsn: str | None,
    to_xid: int | None,
    to_name: str | None,
    immediate: bool,
    exclusive: bool,
    timeline: int | None,
    backup_id: str | None,
    role: str,
    claimed_by: str | None,
    starts: bool,
    action: str,
    tablespaces: tuple[str, ...],
    tablespaces_in: Path | None,
    move_aside: bool,
    settings: tuple[str, ...],
    jobs: int | None,
    deadline: str,
    cluster_name: str | None,
    repository_name: str | None,
    pg_bin: Path | None,
    plan_path: Path | None,
    as_json: bool,
) -> int:
    """Bring a cluster back to a moment, into an empty directory.

    Without --start the directory is prepared and the next command is printed.
    """
    import os

    from seawall.app import App
    from seawall.cli.parsing import duration_s
    from seawall.restore.planning.moment import TargetAction
    from seawall.restore.planning.request import RestoreRequest
    from seawall.restore.run import restore

    keep_freed_memory()
    app = App.load(plan_path, patience_s=LONG_PATIENCE_S)
    cluster = app.cluster_name(cluster_name)
    moment = _moment(
        app.plan.timezone, latest, to_time, to_lsn, to_xid, to_name, immediate, is_inclusive=not exclusive
    )
    left_out: dict[str, str] = {}
    opened = app.opened_repositories(app.repository_names(cluster, repository_name), left_out)
    request = RestoreRequest(
        cluster=cluster,
        moment=moment,
        data_directory=directory.absolute(),
        seawall_command=app.seawall_command(),
        timeline=timeline,
        backup_id=backup_id,
        tablespaces={old: Path(new) for old, new in _pairs(tablespaces, "--tablespace")},
        tablespaces_in=tablespaces_in,
        claim=app.primary_claim(cluster, claimed_by) if role == "primary" else None,
        starts=starts,
        action=TargetAction(action),
        pg_bin=pg_bin or app.cluster(cluster).primary.pg_bin,
        jobs=jobs or os.cpu_count() or 1,
        moves_aside=move_aside,
        settings=dict(_pairs(settings, "--set")),
        checks=app.checks(cluster),
        deadline_s=duration_s(deadline, "--deadline"),
        login_user=functools.partial(app.login_user, cluster),
        left_out=left_out,
    )
    with ProgressDisplay(f"restore of {cluster}", is_silent=as_json) as display:
        report = restore(
            request,
            opened,
            app.clock,
            lambda phase, done, total: display.update(done, total, phase),
        )
    if as_json:
        print_json(asdict(report))
    else:
        _show(report, request, app)
    return 0


def _moment(
    timezone: str,
    latest: bool,
    to_time: str | None,
    to_lsn: str | None,
    to_xid: int | None,
    to_name: str | None,
    immediate: bool,
    *,
    is_inclusive: bool,
) -> Moment:
    from seawall.cli.parsing import lsn
    from seawall.restore.planning.moment import AtLsn, AtName, AtTime, AtXid, Immediate, Latest, parse_time

    found: list[Moment] = []
    if latest:
        found.append(Latest())
    if immediate:
        found.append(Immediate())
    if to_time is not None:
        found.append(AtTime(parse_time(to_time, timezone), is_inclusive))
    if to_lsn is not None:
        found.append(AtLsn(lsn(to_lsn, "--to-lsn"), is_inclusive))
    if to_xid is not None:
        found.append(AtXid(to_xid, is_inclusive))
    if to_name is not None:
        found.append(AtName(to_name))
    if len(found) != 1:
        raise UsageInvalid(
            f"a restore needs one moment, {len(found)} were given", hint=f"say one of {_MOMENTS}"
        )
    return found[0]


def _pairs(words: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageInvalid(f"{option} takes NAME=VALUE, not {word!r}", hint=f"{option} NAME=VALUE")
        pairs.append((name, value))
    return pairs


def _show(report: RestoreReport, request: RestoreRequest, app: App) -> None:
    role = "the primary" if report.is_primary else "a copy (it never archives)"
    print(f"restored {report.cluster} from {report.repository}, backup {report.backup_id}, as {role}")
    print(f"  into {report.data_directory}: {format_bytes(report.raw_bytes)}")
    print(f"  moment asked for: {report.moment}")
    if report.recovered_to_lsn is not None:
        print(f"  recovered to LSN {report.recovered_to_lsn}, timeline {report.timeline}")
    if report.last_transaction_at is not None:
        print(f"  last transaction: {report.last_transaction_at:%Y-%m-%d %H:%M:%S.%f} UTC")
    for note in report.notes:
        print(f"  note: {note}")
    if report.databases:
        print(f"  databases that answer: {', '.join(sorted(report.databases))}")
    for check in report.checks:
        print(f"  check {check.name!r}: {'ok' if check.is_ok else 'FAILED'} ({check.detail})")
    times = ", ".join(f"{phase} {format_duration(seconds)}" for phase, seconds in report.seconds.items())
    print(f"  took: {times}")
    if report.started:
        print(f"  the server runs: socket {report.socket_directory or '-'}, port {report.port}")
    elif report.start_command:
        print(
            f"next: {report.start_command}   (as {_starter(report)}; it recovers, then accepts connections)"
        )
    else:
        print(f"next: {report.owner} has to start it, see the note")
    sys.stdout.flush()


def _starter(report: RestoreReport) -> str:
    return "the server's owner" if report.owner == "nobody" else "root"
