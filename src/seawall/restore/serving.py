"""Who runs the server of the directory that is restored into, and so how it is started.

The *target* is asked, before a byte is copied, not the backup: files that Patroni left in the source say
nothing of a copy elsewhere. What systemd or ``pg_ctlcluster`` is configured to run there is started by them. What
Patroni, repmgr or an operator looks after is not started at all: each would undo it, promote something else, or
take the recovering server for a failed one. Only where nobody is configured does Seawall start the server itself.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seawall.postgres.errors import OwnerForbids
from seawall.postgres.server.owner import OwnerKind, ServerOwner, decide_owner
from seawall.postgres.server.owner_signals import debian_clusters_folder, gather_host_signals
from seawall.postgres.server.user import RunAs
from seawall.restore.beside import SPEC_NAME, work_directory
from seawall.restore.errors import TargetNotReady
from seawall.restore.planning.request import OpenedRepository

_STARTS = (OwnerKind.PG_CTLCLUSTER, OwnerKind.SYSTEMD)
_NOBODY = (OwnerKind.PG_CTL, OwnerKind.UNKNOWN)
_HAND_OVER = "restore into a directory of nobody's (--into) and let the server recover there; when it is right, stop it"
_REMEDIES = {
    OwnerKind.PATRONI: f"{_HAND_OVER}, then with Patroni stopped on all members: `patronictl remove CLUSTER`, move "
    "the directory to its place, `systemctl start patroni` on this member first",
    OwnerKind.REPMGR: f"{_HAND_OVER}, then with repmgrd stopped (`repmgr service pause`): move the directory to its "
    "place, start it as before, `repmgr primary register --force`",
    OwnerKind.PG_AUTO_FAILOVER: f"{_HAND_OVER}, then `pg_autoctl drop node` here, move the directory to its place, and "
    "`pg_autoctl create postgres` over it",
    OwnerKind.CLOUDNATIVE_PG: "restore outside the pod and let the server recover there; then make a new Cluster "
    "resource that copies it (bootstrap.pg_basebackup): the operator takes no directory that it did not make",
}
_ENVIRONMENT_LINE = re.compile(r"^\s*(\w+)\s*=\s*(?:'((?:[^']|'')*)'|([^\s#]*))")
_SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Serving:
    """The owner of a target directory. ``config_file`` is by what it starts the server, outside the directory."""

    owner: ServerOwner
    config_file: Path | None = None

    @property
    def is_nobodys(self) -> bool:
        return self.owner.kind in _NOBODY

    @property
    def name(self) -> str:
        return "nobody" if self.is_nobodys else self.owner.name

    @property
    def required_user(self) -> tuple[int, int] | None:
        """Return whose the directory has to be: ``pg_ctlcluster`` wants the configuration's user, unless that
        is root."""
        if self.config_file is None or os.geteuid() != 0:
            return None
        status = self.config_file.parent.stat()
        return (status.st_uid, status.st_gid) if status.st_uid != 0 else None

    def next_command(self, data_directory: Path) -> str:
        """Return what a person types to start the server; "" where an owner lets nobody do that."""
        if self.is_nobodys:
            return shlex.join(["pg_ctl", "start", "-D", str(data_directory)])
        return shlex.join(self.owner.start or ()) if self.owner.kind in _STARTS else ""

    def environment(self) -> dict[str, str]:
        """Return what the server will hand to ``restore_command``: only a server that Seawall starts has ours."""
        if self.is_nobodys:
            return dict(os.environ)
        if self.owner.kind is OwnerKind.PG_CTLCLUSTER and self.config_file is not None:
            return _debian_environment(self.config_file.with_name("environment"))
        return {**os.environ, "PATH": _SYSTEMD_PATH}


def observe_serving(data_directory: Path, *, major: int) -> Serving:
    """Return who is to run a directory. Changes nothing.

    Raises TargetNotReady: it belongs to a Debian cluster of another major version.
    """
    signals = gather_host_signals(data_directory)
    if (work_directory(data_directory) / SPEC_NAME).exists():
        # A restore of ours filled it, so what lies there tells of the source.
        signals = replace(signals, data_files=frozenset())
    owner = decide_owner(None, signals)
    if signals.debian_cluster is None:
        return Serving(owner)
    version, name = signals.debian_cluster
    config_file = debian_clusters_folder() / version / name / "postgresql.conf"
    if version != str(major):
        raise TargetNotReady(
            f"{config_file} names {data_directory}: Debian's cluster {version}/{name}, and the backup is of "
            f"PostgreSQL {major}",
            hint=f"pg_createcluster {major} {name}, and restore into its directory; or --into another one",
        )
    return Serving(owner, config_file)


def refuse_start(serving: Serving, data_directory: Path) -> None:
    """Refuse ``--start`` where it isn't Seawall's to give the order, or this user's. Changes nothing.

    Raises OwnerForbids.
    """
    owner = serving.owner
    if serving.is_nobodys:
        return
    if owner.kind not in _STARTS:
        raise OwnerForbids(
            f"{data_directory} belongs to {owner.name} ({owner.evidence[0]}), and a server that Seawall started there "
            "would run behind its back",
            hint=_REMEDIES.get(owner.kind, owner.advice),
            owner=owner.kind.value,
        )
    if owner.unit and os.geteuid() != 0:
        raise OwnerForbids(
            f"{data_directory} belongs to {owner.name} ({owner.evidence[0]}), and only root may start it",
            hint=f"restore without --start, then: sudo {shlex.join(owner.start or ())}; or restore as root",
            owner=owner.kind.value,
        )


def notes_on(
    serving: Serving, data_directory: Path, sources: Sequence[OpenedRepository], *, starts: bool
) -> list[str]:
    """Return what a person has to know about the owner of the directory."""
    owner, notes = serving.owner, []
    if serving.is_nobodys:
        if starts:
            notes.append(
                "no service manager owns the directory: Seawall started the server, and nothing will after a boot"
            )
        return notes
    if owner.kind not in _STARTS:
        remedy = _REMEDIES.get(owner.kind, owner.advice)
        notes.append(
            f"the directory belongs to {owner.name} ({owner.evidence[0]}); don't start it yet: {remedy}"
        )
        return notes
    notes.append(f"the directory belongs to {owner.name} ({owner.evidence[0]}), which starts its server")
    if serving.config_file is not None:
        beside = data_directory.with_name(data_directory.name + ".config")
        notes.append(
            f"the server reads {serving.config_file} and what is beside it, not the source's configuration"
            f" (that is in {beside}, if it was outside the source's data directory): compare them"
        )
    if owner.kind is OwnerKind.SYSTEMD and any(key.startswith("env:") for key in _references(sources)):
        notes.append(f"keys come from environment variables, which the unit {owner.unit} has to set")
    return notes


def _references(sources: Sequence[OpenedRepository]) -> list[str]:
    found: list[str] = []
    for source in sources:
        found += [key.removeprefix("passphrase:") for key in source.address.keys]
        found += (source.address.credentials or {}).values()
    return found


def _debian_environment(file: Path) -> dict[str, str]:
    """Return what ``pg_ctlcluster`` starts a server with: that file's variables and no other."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    found = (match for match in map(_ENVIRONMENT_LINE.match, lines) if match)
    return {match[1]: match[3] if match[2] is None else match[2].replace("''", "'") for match in found}


def run_as(ids: tuple[int, int]) -> RunAs:
    """Return how root runs a program as the future owner of a directory that isn't there yet."""
    return RunAs(*ids, changes_user=True)
