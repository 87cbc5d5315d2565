"""Look at everything that a plan relies on: servers, archives, keys, repositories, space, clocks.

Nothing here stops at the first trouble: each part reports what kept it from looking, and the others go on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from seawall.cli.check_findings import (
    Finding,
    failed,
    failed_with,
    judge_archived,
    judge_archiving,
    judge_clock,
    judge_databases,
    judge_lock,
    judge_repository_space,
    judge_wal_space,
    last_finished_segment,
    ok,
    warning,
)
from seawall.model.errors import SeawallError
from seawall.model.wal_name import SegmentName
from seawall.plan.model import Ack
from seawall.storage.errors import StoreMissing

if TYPE_CHECKING:
    from seawall.app import App
    from seawall.plan.model import ServerPlan
    from seawall.postgres.server_facts import ServerFacts
    from seawall.postgres.session import ServerSession
    from seawall.repository.repository import Repository

_ARCHIVE_WAIT_S = 10.0
"""A segment that was just finished may be on its way to the repository."""
_ARCHIVE_POLL_S = 0.5


def check_cluster(app: App, cluster: str) -> Iterator[Finding]:
    """Look at a cluster's server, then at each of its repositories beside the server's position."""
    from seawall.postgres.databases import check_every_database
    from seawall.postgres.observe import observe_server
    from seawall.postgres.session import connect

    primary = app.cluster(cluster).primary
    facts: ServerFacts | None = None
    try:
        with connect(primary.dsn, application_name="seawall check") as session:
            facts = observe_server(session)
            yield from _check_server(app, cluster, session, facts)
        yield from judge_databases(cluster, check_every_database(primary.dsn))
    except SeawallError as error:
        yield failed_with(cluster, error)
    for name in app.repository_names(cluster):
        yield from _check_repository(app, cluster, name, facts)


def _check_server(app: App, cluster: str, session: ServerSession, facts: ServerFacts) -> Iterator[Finding]:
    from seawall.postgres.observe import clock_offset_s
    from seawall.postgres.server.owner_signals import detect_owner

    primary = app.cluster(cluster).primary
    role = "a standby" if facts.is_in_recovery else "a primary"
    text = f"PostgreSQL {facts.version.split()[1]} answers as {role} ({facts.server})"
    if facts.is_in_recovery:
        yield failed(cluster, text, "name the primary in the plan: clusters.NAME.primary.dsn")
    else:
        yield ok(cluster, text)
    owner = detect_owner(session, facts)
    yield ok(cluster, f"started and stopped by {owner.name} ({owner.evidence[0]})")
    for missing in facts.denied:
        yield warning(cluster, f"the role may not see {missing.what}", missing.grant)
    yield from _check_rights(session, cluster)
    yield from _check_data_directory(primary, facts, cluster)
    yield from judge_archiving(
        cluster, facts.archive, facts.pending_restart, plan=app.plan.path, cluster=cluster
    )
    yield from _check_archive_timeout(app, cluster, facts)
    yield judge_clock(cluster, clock_offset_s(session, app.clock.now()))
    yield from _check_wal_space(session, facts, cluster)


def _check_rights(session: ServerSession, cluster: str) -> Iterator[Finding]:
    if session.major >= 15:
        functions = ("pg_backup_start(text, boolean)", "pg_backup_stop(boolean)")
    else:
        functions = ("pg_start_backup(text, boolean, boolean)", "pg_stop_backup(boolean, boolean)")
    for function in functions:
        (may,) = session.query_one("SELECT has_function_privilege(%s, 'EXECUTE')", (function,))
        if not may:
            grant = f"GRANT EXECUTE ON FUNCTION {function} TO the role"
            yield failed(cluster, f"the role may not call {function}, so no backup can start", grant)


def _check_data_directory(primary: ServerPlan, facts: ServerFacts, cluster: str) -> Iterator[Finding]:
    """A backup reads the files of the plan; they must be those of the server that answers."""
    from seawall.postgres.server.owner_signals import runs_on_this_host

    if facts.files is None:
        return
    told = facts.files.data_directory
    if os.path.realpath(primary.data) != os.path.realpath(told):
        yield failed(cluster, f"the plan's data is {primary.data}, the server's {told}", f"data: {told}")
    elif not runs_on_this_host(facts):
        yield warning(
            cluster,
            "the server runs on another machine, or its files can't be read here",
            "run seawall there",
        )
    elif not os.access(told / "global" / "pg_control", os.R_OK):
        yield failed(cluster, f"this user may not read {told}", "run seawall as the server's user")
    else:
        yield ok(cluster, f"its data directory {told} is here and readable")


def _check_archive_timeout(app: App, cluster: str, facts: ServerFacts) -> Iterator[Finding]:
    declared = app.cluster(cluster).wal.archive_timeout_s
    actual = facts.archive.timeout_s
    if declared is not None and (actual == 0 or actual > declared):
        remedy = f"ALTER SYSTEM SET archive_timeout = '{declared:g}s'; SELECT pg_reload_conf()"
        text = f"archive_timeout is {actual} s, the plan counts on {declared:g} s"
        yield failed(cluster, text, remedy)


def _check_wal_space(session: ServerSession, facts: ServerFacts, cluster: str) -> Iterator[Finding]:
    from seawall.postgres.server.owner_signals import runs_on_this_host

    if facts.files is None or not runs_on_this_host(facts):
        return
    (rate,) = session.query_one(
        "SELECT (wal_bytes / greatest(extract(epoch FROM clock_timestamp() - stats_reset), 1))::float8"
        " FROM pg_stat_wal"
    )
    free = _free_bytes(facts.files.data_directory / "pg_wal")
    if free is not None:
        yield judge_wal_space(cluster, free, rate or 0.0)


def _check_repository(app: App, cluster: str, name: str, facts: ServerFacts | None) -> Iterator[Finding]:
    try:
        repository = app.open_repository(name)
        yield ok(name, f"opens with the plan's keys ({repository.store.url})")
        settings = app.plan.repositories[name]
        lock = repository.store.object_lock()
        yield judge_lock(name, lock, settings.lock_s, url=settings.url, endpoint=settings.endpoint)
        yield from _check_ownership(app, cluster, name)
        yield from _check_contents(app, cluster, name, repository, facts)
    except StoreMissing as error:
        yield failed(name, error.message, f"seawall repository init {name}, or correct its url in the plan")
    except SeawallError as error:
        yield failed_with(name, error)
    folder = _folder(app.plan.repositories[name].url)
    space = _free_bytes(folder) if folder is not None else None
    if space is not None and facts is not None:
        yield judge_repository_space(name, space, facts.size_bytes)


def _check_ownership(app: App, cluster: str, name: str) -> Iterator[Finding]:
    """``archive_command`` runs as the owner of the data directory: that user must read the keys, and write
    to a repository that is a folder and to the state folder."""
    try:
        owner = app.cluster(cluster).primary.data.stat()
    except OSError:
        return  # the server is on another machine
    needed = [
        (Path(reference.target), 0o040, "read the key")
        for reference in app.plan.repositories[name].key_references
        if reference.scheme == "file"
    ]
    folder = _folder(app.plan.repositories[name].url)
    needed += [(folder, 0o020, "write to")] if folder is not None else []
    needed.append((app.plan.state, 0o020, "write to"))
    for path, group_bit, need in needed:
        if not _is_usable_by(path, owner, group_bit):
            text = f"the server's user (uid {owner.st_uid}) can't {need} {path}"
            yield failed(name, text, f"chown -R {owner.st_uid}:{owner.st_gid} {path}")


def _is_usable_by(path: Path, user: os.stat_result, group_bit: int) -> bool:
    """Say whether ``user`` owns the path or its group has the right; what isn't there yet is no fault."""
    try:
        state = path.stat()
    except OSError:
        return True
    by_group = bool(state.st_mode & group_bit) and state.st_gid == user.st_gid
    return user.st_uid in (0, state.st_uid) or by_group


def _check_contents(
    app: App, cluster: str, name: str, repository: Repository, facts: ServerFacts | None
) -> Iterator[Finding]:
    from seawall.repository.backups.catalog import Catalog

    if facts is None:
        return
    yield from _check_writer(app, cluster, name, repository)
    listing = Catalog(repository, cluster).listing(facts.system_identifier)
    for item in listing.unreadable:
        yield failed(name, f"the commit record of backup {item.backup_id} is damaged", "seawall verify")
    if listing.backups:
        newest = listing.backups[-1]
        yield ok(name, f"newest backup {newest.id}, ended {newest.stopped_at:%Y-%m-%d %H:%M:%S} UTC")
    else:
        yield failed(name, "no complete backup of this server is here", "seawall backup")
    is_required = app.plan.acknowledgements(cluster)[name] is not Ack.NONE
    finished = last_finished_segment(facts.timeline, facts.position, facts.wal_segment_bytes)
    archived = _wait_for_archived(app, cluster, repository, facts, finished)
    yield judge_archived(name, finished, archived, is_required=is_required)


def _check_writer(app: App, cluster: str, name: str, repository: Repository) -> Iterator[Finding]:
    """Say whether this host's data directory is the one that may write: not a clone, not a primary of yesterday."""
    from seawall.repository.wal.terms import TermLog
    from seawall.repository.wal.writers import known_fingerprint

    head = TermLog(repository, cluster).head()
    mine = known_fingerprint(app.plan.state, app.cluster(cluster).primary.data)
    if head is None or mine is None or head.writer == mine:
        return
    yield failed(
        name,
        f"epoch {head.epoch} of {cluster} belongs to {head.host}:{head.data_directory} "
        f"(claimed by {head.claimed_by}, {head.at:%Y-%m-%d %H:%M:%S} UTC), not to this server",
        "this server must not serve: stop it; if it is the right one after all, restore it --as primary",
    )


def _wait_for_archived(
    app: App, cluster: str, repository: Repository, facts: ServerFacts, finished: SegmentName | None
) -> SegmentName | None:
    """Return the newest archived segment of the server's timeline, giving those under way some time."""
    from seawall.repository.wal.archive import WalArchive

    archive = WalArchive(repository, cluster, facts.system_identifier, segment_bytes=facts.wal_segment_bytes)
    ends_at = app.clock.monotonic() + (_ARCHIVE_WAIT_S if facts.archive.mode != "off" else 0.0)
    while True:
        ranges = archive.segments(facts.timeline)
        last = max((item.last for item in ranges), default=None)
        if last is not None and (finished is None or last >= finished.number):
            break
        if finished is None or app.clock.monotonic() >= ends_at:
            break
        app.clock.sleep(_ARCHIVE_POLL_S)
    return None if last is None else SegmentName(facts.timeline, last, facts.wal_segment_bytes)


def _folder(url: str) -> Path | None:
    """Return the folder of a ``file://`` repository."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _free_bytes(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None
