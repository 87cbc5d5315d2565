"""Gather what tells who owns a server: over SQL, and from its host's files and /proc.

Nothing is started and nothing is asked over a network other than the session given. Where /proc is
missing (macOS) or unreadable, the signals stay empty.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

from seawall.postgres.server.directory_claims import find_claims
from seawall.postgres.server.owner import HostSignals, ServerOwner, ServerSignals, decide_owner
from seawall.postgres.server_facts import ServerFacts
from seawall.postgres.session import ServerSession, parse_dsn

_PROC = Path("/proc")
_DEBIAN_CLUSTERS = Path("/etc/postgresql")
_DEBIAN_VARIABLE = "PG_CLUSTER_CONF_ROOT"
"""Names another folder than /etc/postgresql, to pg_ctlcluster as well (user clusters)."""
_SYSTEMD_RUNS = Path("/run/systemd/system")
_TELLING_FILES = (
    "PG_VERSION",
    "patroni.dynamic.json",
    "postgresql.base.conf",
    "postgresql-auto-failover.conf",
    "postgresql-auto-failover-standby.conf",
)
_TELLING_ROLES = (
    "rds_superuser", "rdsadmin", "cloudsqlsuperuser", "azure_pg_admin", "neon_superuser",
    "supabase_admin", "doadmin", "pgautofailover_monitor",
)  # fmt: skip
_DATA_DIRECTORY = re.compile(r"^\s*data_directory\s*=?\s*'([^']+)'", re.MULTILINE)
_UNIT = re.compile(r"/([^/]*(?:postgres|pgsql|patroni|edb-as)[^/]*\.service)")
_START_TOLERANCE_S = 30.0
"""postmaster.pid holds when the postmaster began, pg_postmaster_start_time() when it was set up."""


def detect_owner(session: ServerSession, facts: ServerFacts) -> ServerOwner:
    """Return the owner of a running server. Raises as the session's queries."""
    host = None
    if facts.files is not None and runs_on_this_host(facts):
        host = gather_host_signals(facts.files.data_directory, config_file=facts.files.config_file)
    return decide_owner(gather_server_signals(session), host)


def detect_owner_of_directory(data_directory: Path) -> ServerOwner:
    """Return the owner of a data directory of this host, running or not, without a connection."""
    return decide_owner(None, gather_host_signals(data_directory))


def gather_server_signals(session: ServerSession) -> ServerSignals:
    """Ask the server. Every query is open to all roles; hidden settings are just absent."""
    rows = session.query_all("SELECT name, setting, source FROM pg_settings")
    settings = {name: value or "" for name, value, _ in rows}
    roles = session.query_all("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (list(_TELLING_ROLES),))
    schemas = session.query_all("SELECT nspname FROM pg_namespace WHERE nspname = 'repmgr'")
    functions = session.query_all("SELECT DISTINCT proname FROM pg_proc WHERE proname = 'aurora_version'")
    return ServerSignals(
        settings=frozenset(settings),
        archive_command=settings.get("archive_command", ""),
        restore_command=settings.get("restore_command", ""),
        socket_directories=settings.get("unix_socket_directories", ""),
        cluster_name=settings.get("cluster_name", ""),
        preload_libraries=tuple(
            name.strip() for name in settings.get("shared_preload_libraries", "").split(",") if name.strip()
        ),
        roles=frozenset(name for (name,) in roles),
        schemas=frozenset(name for (name,) in schemas),
        functions=frozenset(name for (name,) in functions),
        from_command_line=frozenset(name for name, _, source in rows if source == "command line"),
        host=parse_dsn(session.server).get("host", ""),
    )


def runs_on_this_host(facts: ServerFacts) -> bool:
    """Say whether the server's data directory, as it names it, is this host's.

    The path and the system identifier are the same on a standby or a clone elsewhere, so the
    postmaster's start time and port decide.
    """
    if facts.files is None:
        return False
    return is_postmaster_here(facts.files.data_directory, facts.settings.get("port", ""), facts.started_at)


def is_postmaster_here(data_directory: Path, port: str, started_at: datetime) -> bool:
    """Say whether the postmaster that started then and listens there runs on this host's ``data_directory``."""
    lines = _read(data_directory / "postmaster.pid").splitlines()
    if len(lines) < 4 or not lines[2].isdigit() or lines[3] != port:
        return False
    begun = datetime.fromtimestamp(int(lines[2]), tz=started_at.tzinfo)
    return abs((started_at - begun).total_seconds()) <= _START_TOLERANCE_S


def gather_host_signals(
    data_directory: Path,
    *,
    config_file: Path | None = None,
    proc: Path = _PROC,
    debian_clusters: Path | None = None,
    systemd_runs: Path = _SYSTEMD_RUNS,
    root: Path = Path("/"),
) -> HostSignals:
    """Look at the data directory and, if its postmaster runs, at the processes above it."""
    pid = _postmaster_pid(data_directory, proc)
    control_group = _control_group(proc, pid) if pid else ""
    unit = _UNIT.search(control_group)
    return HostSignals(
        data_directory=data_directory,
        is_running=pid is not None,
        is_first_process=pid == 1,
        data_files=frozenset(name for name in _TELLING_FILES if (data_directory / name).exists()),
        ancestors=_ancestors(proc, pid) if pid else (),
        control_group=control_group,
        service_unit=unit[1] if unit else "",
        has_systemd=systemd_runs.is_dir(),
        debian_cluster=_debian_cluster(
            data_directory, config_file, debian_clusters or debian_clusters_folder()
        ),
        claims=find_claims(data_directory, has_systemd=systemd_runs.is_dir(), root=root),
        programs_dir=_programs_dir(proc, pid) if pid else None,
    )


def debian_clusters_folder() -> Path:
    """Return where postgresql-common keeps the configuration of its clusters."""
    return Path(os.environ.get(_DEBIAN_VARIABLE) or _DEBIAN_CLUSTERS)


def _postmaster_pid(data_directory: Path, proc: Path) -> int | None:
    """Return the postmaster's process id if one runs on this very directory. A postmaster.pid that a
    crash left may name an innocent process by now: its working directory proves it."""
    first = _read(data_directory / "postmaster.pid").split("\n", 1)[0].strip()
    if not first.isdigit():
        return None
    try:
        same = os.path.samefile(proc / first / "cwd", data_directory)
    except OSError:
        return None
    return int(first) if same else None


def _ancestors(proc: Path, pid: int) -> tuple[str, ...]:
    """Return the command lines of the processes above ``pid``, nearest first, without the init."""
    lines: list[str] = []
    current = _parent(proc, pid)
    while current > 1 and len(lines) < 16:
        lines.append(_read(proc / str(current) / "cmdline").replace("\0", " ").strip())
        current = _parent(proc, current)
    if current == 1:
        # In a container the first process may be the owner itself.
        lines.append(_read(proc / "1" / "cmdline").replace("\0", " ").strip())
    return tuple(lines)


def _parent(proc: Path, pid: int) -> int:
    # proc(5), stat: the command may hold spaces and parentheses; what follows the last one is fixed.
    fields = _read(proc / str(pid) / "stat").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _control_group(proc: Path, pid: int) -> str:
    """Return the most telling path of cgroups(7): version 2's, else systemd's of version 1."""
    paths = [line.split(":", 2)[2] for line in _read(proc / str(pid) / "cgroup").splitlines() if ":" in line]
    return max(paths, key=len, default="")


def _programs_dir(proc: Path, pid: int) -> Path | None:
    try:
        return Path(os.readlink(proc / str(pid) / "exe")).parent
    except OSError:
        return None


def _debian_cluster(
    data_directory: Path, config_file: Path | None, debian_clusters: Path
) -> tuple[str, str] | None:
    """Return (version, name) of the pg_ctlcluster cluster with this data directory, by its
    configuration (postgresql-common keeps /etc/postgresql/VERSION/NAME/postgresql.conf)."""
    candidates = sorted(debian_clusters.glob("*/*/postgresql.conf"))
    for candidate in candidates:
        match = _DATA_DIRECTORY.search(_read(candidate))
        if match is None:
            continue
        is_its_config = config_file is None or config_file == candidate
        if is_its_config and os.path.realpath(match[1]) == os.path.realpath(data_directory):
            return candidate.parent.parent.name, candidate.parent.name
    return None


def _read(path: Path) -> str:
    """Return a small file's text, or "" if it isn't there or may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
