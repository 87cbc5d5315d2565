"""Run a server's programs as the user who owns its data directory, whoever runs Seawall.

PostgreSQL refuses to run as root and refuses a data directory that its user does not own. An ordinary
user can only be that owner already. Root becomes the owner. Where root itself is the owner, which
happens in containers, demos and tests, the programs run in a user namespace (user_namespaces(7)) that
shows root's files and processes under an ordinary user's number, so that nothing has to be chowned.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

from seawall.postgres.errors import ServerOwnerUnusable

PREFERRED_ACCOUNTS = ("postgres", "nobody")
"""Accounts whose number a namespace shows, if they exist: initdb wants one that has a name."""
FALLBACK_UID = 1000
PROBE_TIMEOUT_S = 10.0


class PopenIdentity(TypedDict, total=False):
    """The part of subprocess.Popen's arguments that says as whom to run."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class RunAs:
    """How to run a program as a server's owner: a command prefix, or a change of user, or neither.

    ``uid`` is the owner's number as this process sees it: files made for the server belong to it.
    """

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    changes_user: bool = False

    def command(self, argv: Sequence[str | os.PathLike[str]]) -> list[str]:
        """Return the command line to execute instead of ``argv``; the process id stays the program's."""
        return [*self.prefix, *(os.fspath(part) for part in argv)]

    def popen_kwargs(self) -> PopenIdentity:
        """Return what subprocess functions need beside :meth:`command`."""
        if not self.changes_user:
            return {}
        try:
            groups = os.getgrouplist(pwd.getpwuid(self.uid).pw_name, self.gid)
        except KeyError:  # a number without an account, as containers have
            groups = [self.gid]
        return {"user": self.uid, "group": self.gid, "extra_groups": groups}


def server_user(data_directory: Path) -> RunAs:
    """Return how to run programs on a data directory, which may not exist yet (then: its parent).

    Raises:
        ServerOwnerUnusable: this user is neither the owner nor root, or root owns it and this machine
            forbids user namespaces.
    """
    status = _nearest_existing(data_directory).stat()
    me = os.geteuid()
    if me != 0:
        if status.st_uid != me and data_directory.exists():
            raise _not_ours(data_directory, status.st_uid)
        return RunAs(me, os.getegid())
    if status.st_uid != 0:
        return RunAs(status.st_uid, status.st_gid, changes_user=True)
    prefix = user_namespace_prefix()
    if prefix is None:
        raise ServerOwnerUnusable(
            f"root owns {data_directory}, PostgreSQL refuses to run as root, and this machine does not "
            "allow user namespaces",
            hint=f"give it to an ordinary user: chown -R postgres: {data_directory}",
            data_directory=str(data_directory),
        )
    return RunAs(0, 0, prefix)


@cache
def user_namespace_prefix() -> tuple[str, ...] | None:
    """Return the command prefix that shows root as an ordinary user, or None where that is impossible.

    Found out by trying: kernels, containers and security modules forbid it in too many ways.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    uid, gid = _account_to_show()
    prefix = (unshare, "--user", f"--map-user={uid}", f"--map-group={gid}", "--")
    try:
        probe = subprocess.run(
            [*prefix, "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return prefix if probe.returncode == 0 else None


def _account_to_show() -> tuple[int, int]:
    for name in PREFERRED_ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return account.pw_uid, account.pw_gid
    return FALLBACK_UID, FALLBACK_UID


def _nearest_existing(path: Path) -> Path:
    absolute = path.absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.exists())


def _not_ours(data_directory: Path, owner: int) -> ServerOwnerUnusable:
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    return ServerOwnerUnusable(
        f"{data_directory} belongs to {name}, and only that user (or root) can run its server",
        hint=f"run the command as that user: sudo -u {name} seawall …",
        data_directory=str(data_directory),
        owner=name,
    )
