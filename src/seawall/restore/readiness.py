"""Can this machine run what would be restored? Asked before a byte is copied.

A missing library keeps the server from starting, a missing extension breaks queries weeks later, a missing
locale makes single databases refuse connections. All three are cheap to see beforehand.
"""

from __future__ import annotations

import locale as locales
import subprocess
from functools import lru_cache
from pathlib import Path

from seawall.postgres.programs import ServerPrograms
from seawall.repository.backups.record import ClusterNeeds
from seawall.restore.errors import TargetNotReady

_BUILT_IN_LOCALES = frozenset({"C", "POSIX", "C.UTF-8", "C.utf8"})
_CONFIG_TIMEOUT_S = 10.0


def check_readiness(needs: ClusterNeeds, programs: ServerPrograms) -> None:
    """Check libraries, extensions and locales. Changes nothing.

    Raises:
        TargetNotReady: names everything that is missing, not the first alone.
    """
    missing = [f"library {name}" for name in needs.libraries if not _has_library(programs, name)]
    for extension, databases in needs.extensions.items():
        name = extension.partition(" ")[0]
        if not _has_extension(programs, name):
            missing.append(f"extension {extension} (in {', '.join(databases)})")
    missing += [f"locale {name}" for name in needs.locales if not _has_locale(name)]
    if missing:
        raise TargetNotReady(
            f"this machine can't run the cluster, it lacks: {'; '.join(missing)}",
            hint=f"install them for PostgreSQL {programs.major} in {programs.folder} (Debian: apt-get install "
            f"postgresql-contrib, the extension's package, locales), or restore on another machine",
            missing=missing,
        )


def _has_library(programs: ServerPrograms, name: str) -> bool:
    file = name.removeprefix("$libdir/")
    if file.startswith("/"):
        return any(Path(candidate).exists() for candidate in (file, file + ".so"))
    folders = _folders(programs)[0]
    return not folders or any((folder / f"{file.removesuffix('.so')}.so").exists() for folder in folders)


def _has_extension(programs: ServerPrograms, name: str) -> bool:
    folders = _folders(programs)[1]
    return not folders or any((folder / "extension" / f"{name}.control").exists() for folder in folders)


def _has_locale(name: str) -> bool:
    if name in _BUILT_IN_LOCALES:
        return True
    current = locales.setlocale(locales.LC_COLLATE)
    try:
        locales.setlocale(locales.LC_COLLATE, name)
    except locales.Error:
        return False
    finally:
        locales.setlocale(locales.LC_COLLATE, current)
    return True


@lru_cache(maxsize=8)
def _folders(programs: ServerPrograms) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return where this installation has its libraries and its shared files; empty where that can't be told.

    Relocatable installations (wheels) report where they were built, so the neighbours of ``bin`` count as well.
    """
    home = programs.folder.parent
    libraries = [home / "lib", home / "lib" / "postgresql"]
    shared = [home / "share", home / "share" / "postgresql"]
    if programs.has("pg_config"):
        libraries.append(Path(_ask(programs, "--pkglibdir")))
        shared.append(Path(_ask(programs, "--sharedir")))
    shared.append(Path(f"/usr/share/postgresql/{programs.major}"))
    return (
        tuple(folder for folder in libraries if (folder / "plpgsql.so").exists()),
        tuple(folder for folder in shared if (folder / "extension" / "plpgsql.control").exists()),
    )


def _ask(programs: ServerPrograms, what: str) -> str:
    try:
        done = subprocess.run(
            [programs.path("pg_config"), what],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CONFIG_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
