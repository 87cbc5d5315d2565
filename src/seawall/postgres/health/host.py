"""The machine under a server, where the server runs on this one: file systems and free space."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from seawall.model.fact import Fact, Unknown
from seawall.postgres.health.facts import HostState, Identity, Mount, Settings
from seawall.postgres.server.owner_signals import is_postmaster_here

_MOUNTS = Path("/proc/self/mounts")
_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def observe_host(identity: Identity, settings: Settings) -> Fact[HostState]:
    """Return what the server's machine shows, if it is this machine and the role may see where its files are."""
    directory = settings.fact("data_directory")
    if isinstance(directory, Unknown):
        return directory
    data = Path(directory)
    if not is_postmaster_here(data, settings.values.get("port", ""), identity.started_at):
        return Unknown(
            "the server runs on another machine, or its files can't be read here",
            "run seawall audit on the server's machine, as the server's user",
        )
    wal = Path(os.path.realpath(data / "pg_wal"))
    return HostState(Path(os.path.realpath(data)), wal, read_mounts(_MOUNTS), _free_bytes(wal))


def read_mounts(table: Path) -> tuple[Mount, ...]:
    """Return the mounted file systems (proc(5), mounts); none where there is no such table."""
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    fields = [line.split(" ") for line in lines]
    return tuple(Mount(Path(_unescape(f[1])), _unescape(f[0]), f[2]) for f in fields if len(f) > 2)


def _unescape(text: str) -> str:
    for escape, character in _ESCAPES.items():
        text = text.replace(escape, character)
    return text


def _free_bytes(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None
