"""What the WAL client needs of a plan, cached as JSON, since PostgreSQL starts a process per segment.

Reading a plan costs tens of milliseconds of imports and parsing; reading this costs one small file. A cache
is used only if it was made from the very file that is there now (path, size, times, inode) by this version
of Seawall, and only this user can have written it (:mod:`~seawall.plan.private_files`). Anything else is as good as
no cache. It holds references to secrets, never values.

Only ``os`` and ``json`` may be imported at module level: a test measures it.
"""

from __future__ import annotations

import json
import os

from seawall import __version__
from seawall.plan.locate import locate_plan
from seawall.plan.private_files import cache_folders, file_name, read_private, write_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from seawall.plan.model import Plan, RepositoryPlan

_FORMAT = 1
_KIND = "plans"
_SETTLED_NS = 1_000_000_000
"""A plan that changed less than this ago may change again within one tick of its file system's clock."""

Identity = dict[str, int | str]
"""What tells one state of a plan file from another."""


class WalRepository:
    """One repository as the WAL client needs it. Key and credential values are references, as text."""

    __slots__ = (
        "ack",
        "coordination",
        "credentials",
        "endpoint",
        "is_encrypted",
        "is_off_host",
        "keys",
        "name",
        "region",
        "throttle_bytes_per_s",
        "url",
    )  # fmt: skip

    def __init__(
        self,
        *,
        name: str,
        url: str,
        region: str | None,
        endpoint: str | None,
        credentials: dict[str, str] | None,
        coordination: str | None,
        keys: list[str],
        is_encrypted: bool,
        ack: str,
        is_off_host: bool,
        throttle_bytes_per_s: int | None,
    ) -> None:
        self.name = name
        self.url = url
        self.region = region
        self.endpoint = endpoint
        self.credentials = credentials
        self.coordination = coordination
        self.keys = keys
        self.is_encrypted = is_encrypted
        self.ack = ack
        self.is_off_host = is_off_host
        self.throttle_bytes_per_s = throttle_bytes_per_s


class WalCluster:
    """One cluster: its data directory, the level for its segments, and where they go, in the plan's order."""

    __slots__ = ("compression", "data", "repositories")

    def __init__(self, *, data: str, compression: int, repositories: list[dict[str, object]]) -> None:
        self.data = data
        self.compression = compression
        self.repositories = [WalRepository(**record) for record in repositories]  # type: ignore[arg-type]


class CompiledPlan:
    """The part of a plan that the WAL client uses: ``clusters`` by name and this host's ``state`` folder."""

    __slots__ = ("clusters", "path", "service", "state")

    def __init__(self, path: str, record: dict[str, object]) -> None:
        clusters = record["clusters"]
        if not isinstance(clusters, dict):
            raise TypeError("clusters by name")
        self.path = path
        self.service = str(record["service"])
        self.state = str(record["state"])
        self.clusters = {name: WalCluster(**cluster) for name, cluster in clusters.items()}


def load_compiled(explicit: str | None = None) -> CompiledPlan:
    """Return what the WAL client needs of the plan: from the cache, else from the plan itself, then cached.

    Raises PlanInvalid. Crash: at most a temporary file in the cache folder.
    """
    path = locate_plan(explicit)
    if path is not None:
        cached = read_compiled(path)
        if cached is not None:
            return cached
    return _load_and_cache(path)


def _load_and_cache(path: str | None) -> CompiledPlan:
    from pathlib import Path

    from seawall.plan.load import load_plan

    before = identify(path) if path is not None else None
    plan = load_plan(Path(path) if path is not None else None)
    record = compile_plan(plan)
    if before is not None and before == identify(str(plan.path)):
        write_compiled(before, record)
    return CompiledPlan(str(plan.path), record)


def identify(path: str) -> Identity | None:
    """Return the identity of the plan file as it is now, None if it isn't there."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return {
        "path": path,
        "size": state.st_size,
        "mtime_ns": state.st_mtime_ns,
        "ctime_ns": state.st_ctime_ns,
        "inode": state.st_ino,
        "device": state.st_dev,
    }


def compile_plan(plan: Plan) -> dict[str, object]:
    """Return what is cached of ``plan``: JSON values only."""
    clusters: dict[str, object] = {}
    for name, cluster in plan.clusters.items():
        acknowledgements = plan.acknowledgements(name)
        clusters[name] = {
            "data": str(cluster.primary.data),
            "compression": cluster.wal.compression,
            "repositories": [
                _compile_repository(target, repository)
                | {"ack": acknowledgements[target].value, "is_off_host": plan.is_off_host(name, target)}
                for target, repository in plan.repositories_of(name).items()
            ],
        }
    return {"service": plan.service, "state": str(plan.state), "clusters": clusters}


def _compile_repository(name: str, repository: RepositoryPlan) -> dict[str, object]:
    account = repository.credentials
    credentials = None
    if account is not None:
        credentials = {"key_id": str(account.key_id), "secret": str(account.secret)}
        if account.token is not None:
            credentials["token"] = str(account.token)
    return {
        "name": name,
        "url": repository.url,
        "region": repository.region,
        "endpoint": repository.endpoint,
        "credentials": credentials,
        "coordination": repository.coordination,
        "keys": [str(key) for key in repository.key_references],
        "is_encrypted": repository.is_encrypted,
        "throttle_bytes_per_s": repository.throttle_bytes_per_s,
    }


def read_compiled(path: str) -> CompiledPlan | None:
    """Return the cached plan of the file at ``path`` (absolute), None unless current and trustworthy."""
    identity = identify(path)
    if identity is None:
        return None
    for folder in cache_folders(_KIND):
        record = _read_record(folder, file_name(path) + ".json")
        if record is not None and record.get("key") == _key(identity):
            try:
                return CompiledPlan(path, record)
            except (TypeError, KeyError, AttributeError):
                return None
    return None


def write_compiled(identity: Identity, record: dict[str, object], folders: list[str] | None = None) -> bool:
    """Cache ``record`` for the plan file of ``identity`` in the first of ``folders`` that takes it.

    Return whether one did: no cache is no error.
    """
    import time

    settled_since = time.time_ns() - _SETTLED_NS
    if int(identity["mtime_ns"]) > settled_since or int(identity["ctime_ns"]) > settled_since:
        return False
    data = json.dumps(record | {"key": _key(identity)}).encode()
    name = file_name(str(identity["path"])) + ".json"
    return any(write_private(folder, name, data) for folder in folders or cache_folders(_KIND))


def _read_record(folder: str, name: str) -> dict[str, object] | None:
    found = read_private(folder, name)
    if found is None:
        return None
    try:
        record = json.loads(found[0])
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _key(identity: Identity) -> dict[str, int | str]:
    return identity | {"seawall": __version__, "format": _FORMAT, "user": os.geteuid()}
