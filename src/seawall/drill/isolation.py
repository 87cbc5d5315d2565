"""What a rehearsed server may not do: reach anybody, archive, replicate, run jobs, or touch others' files.

It runs as an OS user that owns nothing but the scratch folder (where root holds the drill), in a network namespace
without routes (where the kernel allows it), and listens on a Unix socket alone. ``max_worker_processes = 0`` keeps
every background worker from starting, whichever library asks for one: pg_cron's jobs, logical replication, parallel
queries. What a machine does not allow is not left out silently: it is a deviation, and in the evidence.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seawall.drill.scratch import Scratch
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.server.user import RunAs, server_user

ACCOUNTS = ("seawall-drill", "nobody")
"""Whom root lets a rehearsed server run as: an account made for it, else the one that owns nothing."""
JOB_LIBRARIES = frozenset(
    {
        *("pg_cron", "pg_partman_bgw", "pglogical", "pgautofailover", "repmgr", "bdr"),
        *("pg_net", "pg_squeeze", "pg_timetable", "worker_spi"),
    }
)
"""Libraries that exist to do things by themselves: a rehearsed server is started without them."""
_PROBE_TIMEOUT_S = 20.0
_EVENT_TRIGGERS_MAJOR = 17
_ARCHIVE_LIBRARY_MAJOR = 15


@dataclass(frozen=True, slots=True)
class Isolation:
    """As whom the drill's programs run, and what this machine did not allow."""

    user: RunAs
    deviations: tuple[str, ...]


def isolate(scratch: Scratch, programs: ServerPrograms) -> Isolation:
    """Find the strictest way to run programs in the scratch folder that this machine allows.

    Found out by trying: kernels, containers and security modules forbid it in too many ways.

    Raises ServerOwnerUnusable: root can't run a server here at all.
    """
    deviations: list[str] = []
    for user in _other_users() if os.geteuid() == 0 else ():
        scratch.give_to(user.uid, user.gid)
        found = next((way for way in _without_network(user) if _works(way, scratch, programs)), None)
        if found is not None:
            return Isolation(found, ())
        if _works(user, scratch, programs):
            return Isolation(
                user, ("no network namespace: this machine forbids it; the server still has no TCP port",)
            )
    scratch.give_to(os.geteuid(), os.getegid())
    user = server_user(scratch.folder)
    if os.geteuid() == 0:
        deviations.append("no OS user of its own: no other user can run the server programs here")
    else:
        deviations.append(
            f"no OS user of its own: the drill was not held by root, but as {_name(os.geteuid())}"
        )
    for way in _without_network(user):
        if _works(way, scratch, programs):
            return Isolation(way, tuple(deviations))
    deviations.append("no network namespace: this machine forbids it; the server still has no TCP port")
    return Isolation(user, tuple(deviations))


def server_settings(scratch: Scratch, programs: ServerPrograms, libraries: str | None) -> dict[str, str]:
    """Return the settings of the command line, which win over every file. ``libraries`` None keeps the source's."""
    settings = {
        "data_directory": str(scratch.data),
        "hba_file": str(scratch.folder / "pg_hba.conf"),
        "ident_file": str(scratch.folder / "pg_ident.conf"),
        "external_pid_file": "",
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "ssl": "off",
        "archive_mode": "off",
        "archive_command": "",
        "archive_cleanup_command": "",
        "recovery_end_command": "",
        "recovery_min_apply_delay": "0",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "synchronous_standby_names": "",
        "max_wal_senders": "0",
        "max_logical_replication_workers": "0",
        "max_worker_processes": "0",
        "hot_standby": "off",
        "autovacuum": "off",
        "huge_pages": "off",
        "cluster_name": "seawall-drill",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_statement": "none",
        "log_min_error_statement": "panic",
        "lc_messages": "C",
        "log_timezone": "UTC",
    }
    if programs.major >= _ARCHIVE_LIBRARY_MAJOR:
        settings["archive_library"] = ""
    if programs.major >= _EVENT_TRIGGERS_MAJOR:
        settings["event_triggers"] = "off"
    if libraries is not None:
        settings["shared_preload_libraries"] = libraries
    return settings


def without_jobs(libraries: str) -> tuple[str, list[str]]:
    """Return ``shared_preload_libraries`` without those that run jobs, and which those are."""
    names = [name.strip().strip('"') for name in libraries.split(",") if name.strip()]
    left_out = [name for name in names if os.path.basename(name).removesuffix(".so") in JOB_LIBRARIES]
    return ",".join(name for name in names if name not in left_out), left_out


def configured(name: str, isolation: Isolation, scratch: Scratch, programs: ServerPrograms) -> str | None:
    """Return a setting of the restored directory's own configuration, None where it can't be read (``postgres -C``)."""
    done = _run(isolation.user, scratch, [programs.postgres, "-D", scratch.data, "-C", name])
    return done.stdout.decode(errors="replace").strip() if done is not None and done.returncode == 0 else None


def write_access_files(scratch: Scratch) -> None:
    """Let whoever can reach the socket in, as anybody: the socket's folder is the drill's alone."""
    for name, content in (("pg_hba.conf", "local all all trust\n"), ("pg_ident.conf", "")):
        (scratch.folder / name).write_text(content, encoding="ascii")
    main = scratch.data / "postgresql.conf"
    if not main.exists():
        # Debian keeps it outside of the data directory, where a restore does not bring it back.
        main.write_text(
            "# made by a drill: the source's configuration was not in its backup\n", encoding="ascii"
        )


def _other_users() -> Iterator[RunAs]:
    for name in ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        yield RunAs(account.pw_uid, account.pw_gid, changes_user=True)


def _without_network(user: RunAs) -> Iterator[RunAs]:
    """Yield ways to run as ``user`` without a network: by a user namespace of its own, or by root's right."""
    if shutil.which("unshare") is None:
        return
    if user.prefix:  # root, shown as an ordinary user
        yield RunAs(user.uid, user.gid, (*user.prefix[:-1], "--net", "--"), user.changes_user)
        return
    mapped = (f"--map-user={user.uid}", f"--map-group={user.gid}")
    yield RunAs(user.uid, user.gid, ("unshare", "--user", *mapped, "--net", "--"), user.changes_user)
    if user.changes_user and shutil.which("setpriv"):
        ids = (f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups")
        yield RunAs(user.uid, user.gid, ("unshare", "--net", "--", "setpriv", *ids, "--"))


def _works(user: RunAs, scratch: Scratch, programs: ServerPrograms) -> bool:
    """Say whether programs run that way, and get to the scratch folder: what lies above it may be closed."""
    probe = scratch.folder / "probe"
    done = _run(
        user, scratch, ["/bin/sh", "-c", ': > "$1" && "$2" --version', "sh", probe, programs.postgres]
    )
    probe.unlink(missing_ok=True)
    return done is not None and done.returncode == 0


def _run(user: RunAs, scratch: Scratch, argv: list[str | Path]) -> subprocess.CompletedProcess[bytes] | None:
    try:
        return subprocess.run(
            user.command(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=scratch.folder,
            env=plain_environment(),
            timeout=_PROBE_TIMEOUT_S,
            check=False,
            **user.popen_kwargs(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def plain_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment without anything that libpq or PostgreSQL would obey, and in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", **(extra or {})}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
