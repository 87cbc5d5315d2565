"""From options and a plan to a drill's source, request and ledger."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from seawall.app import App
from seawall.cli.options import LONG_PATIENCE_S
from seawall.cli.parsing import duration_s
from seawall.cli.usage import UsageInvalid
from seawall.drill.errors import DrillSourceUnknown
from seawall.drill.ledger import Due, judge_due
from seawall.drill.measure import Goals, SourceMark, observe_primary
from seawall.drill.moments import MomentWish
from seawall.drill.run import DrillRequest
from seawall.drill.scratch import default_base
from seawall.drill.sources.source import DrillSource
from seawall.evidence.keys import SigningKey, load_or_create_key
from seawall.evidence.ledger import Ledger
from seawall.evidence.model import Source, plan_hash
from seawall.evidence.places import place_in, store_at
from seawall.model.clock import Clock, SystemClock
from seawall.model.errors import SeawallError
from seawall.model.units import parse_size_bytes
from seawall.plan.crosscheck.due import last_start, next_start
from seawall.plan.definition.fields import default_state_directory
from seawall.plan.locate import locate_plan
from seawall.plan.model import CheckWhen
from seawall.restore.planning.moment import parse_time
from seawall.restore.planning.request import Check

PLAN = "plan"


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """What the command line says."""

    source: str
    moment: str = "latest"
    seed: int | None = None
    checks: tuple[str, ...] = ()
    database: str | None = None
    globals_path: Path | None = None
    no_owner: bool = False
    expect_path: Path | None = None
    user: str | None = None
    scratch: Path | None = None
    where: str | None = None
    state: Path | None = None
    rto: str | None = None
    rpo: str | None = None
    detection: str | None = None
    full_size: str | None = None
    jobs: int | None = None
    deadline: str = "6h"
    slow: str = "10m"
    cluster_name: str | None = None
    repository_name: str | None = None
    pg_bin: Path | None = None


class DrillSetup(NamedTuple):
    """A drill that is ready to be held. ``ledger`` and ``key`` are None where no evidence is kept."""

    source: DrillSource
    request: DrillRequest
    fallback: Source
    clock: Clock
    ledger: Ledger | None
    key: SigningKey | None


def find_app(plan_path: Path | None, *, is_needed: bool) -> App | None:
    """Return the plan, None where there is none and none is needed. Raises PlanInvalid."""
    if not is_needed and plan_path is None and locate_plan(None) is None:
        return None
    return App.load(plan_path, patience_s=LONG_PATIENCE_S)


def prepare(app: App | None, options: DrillOptions) -> DrillSetup:
    """Return the drill; the ledger is proven writable before anything is restored.

    Raises: InvalidInput leaves for options, and what :meth:`Ledger.prepare` raises.
    """
    cluster = _cluster(app, options)
    source, fallback = _source(app, options, cluster)
    ledger, key = _evidence(app, options)
    deviations: list[str] = []
    request = DrillRequest(
        scratch=options.scratch or default_base(),
        state=_state(app, options),
        wish=_wish(app, options),
        goals=_goals(app if cluster is not None else None, options),
        checks=_checks(app, options, cluster),
        expected_roles=_expected_roles(app, cluster) if options.source == PLAN else (),
        expected_tables=_expected_tables(options.expect_path),
        mark=_mark(app, cluster, deviations) if app is not None and cluster is not None else None,
        pg_bin=options.pg_bin or _planned_programs(app, options, cluster),
        users=(options.user,) if options.user else (),
        jobs=options.jobs or os.cpu_count() or 1,
        deadline_s=duration_s(options.deadline, "--deadline"),
        slow_after_s=duration_s(options.slow, "--slow"),
        plan_sha256=plan_hash(app.plan.text) if app is not None else None,
        deviations=tuple(deviations),
    )
    if ledger is not None and key is not None:
        ledger.prepare(key)
    return DrillSetup(source, request, fallback, SystemClock(), ledger, key)


def due_drills(app: App, cluster_name: str | None) -> list[Due]:
    """Return for every cluster, or the one that is named, whether its drill is due."""
    ledger, now, plan = app.evidence_ledger(), app.clock.now(), app.plan
    drill = plan.drills.restore
    cron = drill.schedule if drill is not None else None
    names = [app.cluster_name(cluster_name)] if cluster_name is not None else list(plan.clusters)
    return [
        judge_due(
            ledger,
            name,
            last_start=last_start(cron, plan.timezone, now) if cron else None,
            next_start=next_start(cron, plan.timezone, now) if cron else None,
            remind_s=drill.remind_s if drill is not None else None,
            now=now,
        )
        for name in names
    ]


def _cluster(app: App | None, options: DrillOptions) -> str | None:
    """Return the plan's cluster that the drill is of; another tool's backup is none unless that is said."""
    if app is None:
        return None
    if options.source == PLAN or options.cluster_name is not None:
        return app.cluster_name(options.cluster_name)
    return None


def _source(app: App | None, options: DrillOptions, cluster: str | None) -> tuple[DrillSource, Source]:
    if options.source == PLAN:
        assert app is not None and cluster is not None  # find_app and _cluster see to it
        return _planned_source(app, options, cluster), Source(
            tool="seawall", location="the plan", cluster=cluster
        )
    kind, colon, rest = options.source.partition(":")
    if colon and kind in ("pgbackrest", "barman"):
        return _foreign_source(kind, rest, options, cluster)
    from seawall.drill.sources.dump import DumpSource

    path = Path(options.source)
    dump = DumpSource(path, options.globals_path, not options.no_owner, options.pg_bin, cluster)
    return dump, Source(tool="pg_dump", location=str(path.absolute()), cluster=cluster)


def _foreign_source(
    kind: str, words: str, options: DrillOptions, cluster: str | None
) -> tuple[DrillSource, Source]:
    """Return another tool's backups: ``STANZA?config=FILE&repo=1``. Raises DrillSourceUnknown."""
    from seawall.drill.sources.archived import ArchivedSource, RestoreTool
    from seawall.drill.sources.barman import Barman
    from seawall.drill.sources.pgbackrest import PgBackRest

    name, _, query = words.partition("?")
    named = dict(parse_qsl(query))
    known = {"config", "repo"} if kind == "pgbackrest" else {"config"}
    if not name or set(named) - known:
        raise DrillSourceUnknown(
            f"{options.source!r} names no {kind} backup",
            hint="pgbackrest:STANZA?config=/etc/pgbackrest.conf, or barman:SERVER?config=/etc/barman.conf",
        )
    config = Path(named["config"]).absolute() if "config" in named else None
    tool: RestoreTool = (
        PgBackRest(name, config, named.get("repo")) if kind == "pgbackrest" else Barman(name, config)
    )
    source = ArchivedSource(tool, SystemClock(), cluster)
    return source, Source(tool=tool.name, location=tool.location, cluster=cluster)


def _planned_source(app: App, options: DrillOptions, cluster: str) -> DrillSource:
    from seawall.drill.sources.seawall import SeawallSource

    names = app.repository_names(cluster, options.repository_name)
    login = _login_user(app, cluster)
    return SeawallSource(
        cluster,
        functools.partial(app.opened_repositories, names),
        app.seawall_command(),
        app.clock,
        users=(login,) if login else (),
        pg_bin=options.pg_bin or app.cluster(cluster).primary.pg_bin,
    )


def _login_user(app: App, cluster: str) -> str | None:
    try:
        return app.login_user(cluster)
    except SeawallError:
        return None  # a connection string that can't be read keeps nobody from restoring


def _expected_roles(app: App | None, cluster: str | None) -> tuple[str, ...]:
    login = _login_user(app, cluster) if app is not None and cluster is not None else None
    return (login,) if login else ()


def _planned_programs(app: App | None, options: DrillOptions, cluster: str | None) -> Path | None:
    if app is None or cluster is None or options.source != PLAN:
        return None
    return app.cluster(cluster).primary.pg_bin


def _evidence(app: App | None, options: DrillOptions) -> tuple[Ledger | None, SigningKey | None]:
    if options.where is not None:
        ledger = Ledger(place_in(store_at(options.where)), clock=SystemClock())
    elif app is not None:
        ledger = app.evidence_ledger()
    else:
        return None, None
    if options.state is None and app is not None:
        return ledger, app.evidence_key()
    return ledger, load_or_create_key(_state(app, options))


def _state(app: App | None, options: DrillOptions) -> Path:
    if options.state is not None:
        return options.state
    return app.plan.state if app is not None else default_state_directory()


def _wish(app: App | None, options: DrillOptions) -> MomentWish:
    if options.moment == "random":
        return MomentWish.random(options.seed)
    if options.moment == "latest":
        return MomentWish.latest()
    timezone = app.plan.timezone if app is not None else "UTC"
    return MomentWish.time(parse_time(options.moment, timezone).astimezone(UTC))


def _goals(app: App | None, options: DrillOptions) -> Goals:
    planned = app.plan.objectives if app is not None else None

    def chosen(text: str | None, option: str, known: float | None) -> float | None:
        return duration_s(text, option) if text is not None else known

    return Goals(
        rto_s=chosen(options.rto, "--rto", planned.rto_s if planned else None),
        rpo_s=chosen(options.rpo, "--rpo", planned.rpo_s if planned else None),
        detection_s=chosen(options.detection, "--detection", planned.detection_s if planned else None),
        full_bytes=_size(options.full_size),
    )


def _size(text: str | None) -> int | None:
    try:
        return parse_size_bytes(text) if text is not None else None
    except ValueError as error:
        raise UsageInvalid(f"--full-size: {error}", hint="--full-size 2TiB") from error


def _checks(app: App | None, options: DrillOptions, cluster: str | None) -> tuple[Check, ...]:
    planned = [
        Check(item.name, item.database or "postgres", item.sql)
        for item in (app.plan.checks if app is not None and cluster is not None else ())
        if item.sql and item.cluster in (None, cluster) and item.when is not CheckWhen.RECOVERY
    ]
    named = []
    for word in options.checks:
        name, equals, sql = word.partition("=")
        if not equals or not name or not sql:
            raise UsageInvalid(
                f"--check takes NAME=SQL, not {word!r}", hint="--check 'orders=select count(*) > 0 …'"
            )
        named.append(Check(name, options.database or "", sql))
    return (*planned, *named)


def _expected_tables(path: Path | None) -> dict[str, dict[str, dict[str, int | str]]]:
    """Read what was captured with the backup: row counts by database and table."""
    if path is None:
        return {}
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(database): {
                str(table): {"rows": facts}
                if isinstance(facts, int)
                else {str(k): v for k, v in facts.items()}
                for table, facts in tables.items()
            }
            for database, tables in document.items()
        }
    except (OSError, ValueError, AttributeError) as error:
        raise UsageInvalid(
            f"--expect: {path} can't be read as row counts: {error}", hint='{"shop": {"public.orders": 1200}}'
        ) from error


def _mark(app: App, cluster: str, deviations: list[str]) -> SourceMark | None:
    """Ask the living primary where it stands, so that what is lost can be told; it may be gone."""
    try:
        return observe_primary(app.cluster(cluster).primary.dsn)
    except SeawallError as error:
        deviations.append(f"the primary could not be asked where it stands: {error.message}")
        return None
