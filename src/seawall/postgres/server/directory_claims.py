"""Find who is to run a data directory by what is configured on this host, server or no server.

A directory that is empty, or whose server is down, says nothing of its owner; the owner's configuration does:
a systemd unit's ``PGDATA``, Patroni's ``data_dir``, repmgr's ``data_directory``. They are read as
text for the one line that matters. What can't be read by this user claims nothing.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seawall.postgres.server.owner import DirectoryClaim, OwnerKind

_PATRONI_FILES = ("etc/patroni.y*ml", "etc/patroni/*.y*ml", "etc/patroni/*/*.y*ml", "opt/patroni/*.y*ml")
_PATRONI_DIRECTORY = re.compile(r"^\s*data_dir\s*:\s*(?:'([^']+)'|\"([^\"]+)\"|([^\s#'\"]+))", re.MULTILINE)
_REPMGR_FILES = (
    "etc/repmgr.conf",
    "etc/repmgr/*.conf",
    "etc/repmgr/*/*.conf",
    "etc/postgresql/*/repmgr.conf",
)
_REPMGR_DIRECTORY = re.compile(
    r"^\s*data_directory\s*=?\s*(?:'([^']+)'|\"([^\"]+)\"|([^\s#'\"]+))", re.MULTILINE
)
_UNIT_FOLDERS = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
"""systemd.unit(5), "UNIT FILE LOAD PATH", the first that has a unit wins."""
_UNIT_DIRECTORY = re.compile(
    r"^\s*Environment\s*=(?:.*[\s'\"])?[\"']?PGDATA=[\"']?([^\s\"']+)"
    r"|^\s*ExecStart\s*=.*\s(?:-D\s*|--pgdata[=\s])[\"']?(/[^\s\"']+)",
    re.MULTILINE,
)
_CONTROLLER = "controller/manager"
_CONTROLLER_DIRECTORY = "/var/lib/postgresql/data/pgdata"
"""CloudNativePG puts its manager and the data directory of a pod there (pkg/specs in its source)."""


@dataclass(frozen=True, slots=True)
class _Host:
    root: Path
    directory: str

    def names_it(self, path: str) -> bool:
        return os.path.realpath(path) == self.directory

    def files(self, patterns: tuple[str, ...]) -> Iterator[Path]:
        for pattern in patterns:
            yield from sorted(self.root.glob(pattern))


def find_claims(
    data_directory: Path, *, has_systemd: bool, root: Path = Path("/")
) -> tuple[DirectoryClaim, ...]:
    """Return all claims on a directory, which need not exist. Units count only where systemd runs.

    Debian's clusters are not among them: ``owner_signals`` knows those by version and name.
    """
    host = _Host(root, os.path.realpath(data_directory))
    found = [*_controller(host), *_named_in(host, OwnerKind.PATRONI, _PATRONI_FILES, _PATRONI_DIRECTORY)]
    found += [*_auto_failover(host), *_named_in(host, OwnerKind.REPMGR, _REPMGR_FILES, _REPMGR_DIRECTORY)]
    if has_systemd:
        found += _units(host)
    return tuple(found)


def _controller(host: _Host) -> Iterator[DirectoryClaim]:
    places = (os.environ.get("PGDATA", _CONTROLLER_DIRECTORY), _CONTROLLER_DIRECTORY)
    if (host.root / _CONTROLLER).exists() and any(map(host.names_it, places)):
        yield DirectoryClaim(OwnerKind.CLOUDNATIVE_PG, f"the pod of /{_CONTROLLER}")


def _named_in(
    host: _Host, kind: OwnerKind, files: tuple[str, ...], directory: re.Pattern[str]
) -> Iterator[DirectoryClaim]:
    for file in host.files(files):
        for match in directory.finditer(_read(file)):
            if host.names_it(next(filter(None, match.groups()))):
                yield DirectoryClaim(kind, str(file))
                break


def _auto_failover(host: _Host) -> Iterator[DirectoryClaim]:
    """pg_autoctl keeps its state in its user's home, under the data directory's own path."""
    for account in pwd.getpwall():
        home = host.root / account.pw_dir.lstrip("/")
        file = home / ".config" / "pg_autoctl" / host.directory.lstrip("/") / "pg_autoctl.cfg"
        try:
            is_there = file.exists()
        except OSError:
            continue  # a home that this user may not look into
        if is_there:
            yield DirectoryClaim(OwnerKind.PG_AUTO_FAILOVER, str(file))
            return


def _units(host: _Host) -> Iterator[DirectoryClaim]:
    seen: set[str] = set()
    for folder in _UNIT_FOLDERS:
        for unit in sorted((host.root / folder).glob("*.service")):
            if unit.name in seen:
                continue
            seen.add(unit.name)
            text = _read(unit) + "".join(map(_read, _drop_ins(host, unit.name)))
            named = [match[1] or match[2] for match in _UNIT_DIRECTORY.finditer(text)]
            # A later Environment= replaces an earlier one: only the last is in force.
            if named and host.names_it(named[-1]):
                yield DirectoryClaim(OwnerKind.SYSTEMD, str(unit), unit.name)


def _drop_ins(host: _Host, unit: str) -> list[Path]:
    """Return the files that add to a unit, in the order in which they count: by name (systemd.unit(5))."""
    found = [file for folder in _UNIT_FOLDERS for file in (host.root / folder / f"{unit}.d").glob("*.conf")]
    return sorted(found, key=lambda file: file.name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
