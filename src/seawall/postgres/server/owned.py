"""Start a server through its owner: run the owner's command, and know where the server then writes its log.

What systemd or Debian's ``pg_ctlcluster`` looks after is started by them, so that they know of it, stop it at
shutdown, and start it again at boot. They wait for the server in their own ways and for their own times (``pg_ctl``
for a minute, a unit for ever), so their exit status alone proves neither success nor failure: what
counts is whether a server runs on the directory.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seawall.model.clock import Clock
from seawall.postgres.errors import ServerNotReady, ServerStartFailed
from seawall.postgres.server.lifecycle import POLL_INTERVAL_S
from seawall.postgres.server.owner import OwnerKind, ServerOwner
from seawall.postgres.server.owner_signals import debian_clusters_folder
from seawall.postgres.server.running import find_running_server, remember_child

_JOURNAL_TIMEOUT_S = 20.0
_DEBIAN_LOGS = Path("/var/log/postgresql")


class ServerLog(Protocol):
    """What a server has said since a start."""

    @property
    def where(self) -> str:
        """Say to a person where it is: a path, or the command that shows it."""
        ...

    def text(self) -> str:
        """Return what has been said so far; "" where nothing was, or this user may not read it."""
        ...


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that starts are appended to; ``offset`` is where this one's words begin."""

    path: Path
    offset: int = 0

    @property
    def where(self) -> str:
        return str(self.path)

    def text(self) -> str:
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of a systemd unit since a moment of the local clock."""

    unit: str
    since: float

    @property
    def where(self) -> str:
        return f"the journal (journalctl -u {self.unit})"

    def text(self) -> str:
        argv = ["journalctl", "-u", self.unit, f"--since=@{self.since:.0f}", "-o", "cat", "--no-pager"]
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_JOURNAL_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.decode("utf-8", "replace")


def owners_log(owner: ServerOwner) -> ServerLog:
    """Return where a server that ``owner`` is about to start will write. Call before the start."""
    if owner.kind is OwnerKind.PG_CTLCLUSTER:
        path = debian_log(*owner.cluster)
        return LogFile(path, path.stat().st_size if path.exists() else 0)
    return Journal(owner.unit, time.time())


def debian_log(version: str, name: str) -> Path:
    """Return the log of a Debian cluster (PgCommon.pm, ``cluster_info``: the link ``log``, else the usual place)."""
    link = debian_clusters_folder() / version / name / "log"
    if link.is_symlink():
        return link.parent / os.readlink(link)
    return _DEBIAN_LOGS / f"postgresql-{version}-{name}.log"


def start_through_owner(
    owner: ServerOwner,
    data_directory: Path,
    *,
    deadline_s: float,
    clock: Clock,
    may_end: bool = False,
) -> None:
    """Run the owner's start command to its end. A server runs then, or with ``may_end`` may have ended again.

    Raises:
        ServerStartFailed: the command failed and no server runs; the message is the command's own.
        ServerNotReady: the command did not end in time; it goes on.
    """
    if owner.start is None:
        raise ValueError(f"{owner.name} lets nobody start its server")
    shown = " ".join(owner.start)
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                owner.start,
                stdin=subprocess.DEVNULL,
                # Not a pipe: the server may inherit it, and a pipe would then never end.
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise ServerStartFailed(
                f"{owner.start[0]} can't be run: {error.strerror}", hint=f"start the server yourself: {shown}"
            ) from error
        ends_at = clock.monotonic() + deadline_s
        while process.poll() is None:
            if clock.monotonic() >= ends_at:
                remember_child(process)
                raise ServerNotReady(
                    f"`{shown}` did not come back within {deadline_s:g} s", hint="it goes on; look at its log"
                )
            clock.sleep(POLL_INTERVAL_S)
        output.seek(0)
        said = output.read().decode("utf-8", "replace").strip()
    if may_end or find_running_server(data_directory) is not None:
        return
    raise ServerStartFailed(
        f"`{shown}` ended with status {process.returncode} and no server runs: {said or 'it said nothing'}",
        hint=f"mend the cause, then run it yourself: {shown}",
        log=said,
    )
