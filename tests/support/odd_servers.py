"""A PostgreSQL built from source with sizes that no package has: other pages, WAL pages and relation segments.

Built once into ``.cache``, in some minutes, for the long rounds alone (`make soak`). The source is what
SEAWALL_TEST_PG_SOURCE names (a release's ``.tar.bz2``), else Debian's source package of PostgreSQL 15.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms, programs_in
from tests.support.server_programs import SERVERS, exclusive

_BUILD_TIMEOUT_S = 3000
_OF_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "GNUMAKEFLAGS"}


def odd_programs(*, page_kib: int, wal_page_kib: int, segment_pages: int) -> ServerPrograms:
    """Return the programs of a server with these sizes, building it if need be; skips where that can't be done."""
    folder = SERVERS / f"odd-{page_kib}-{wal_page_kib}-{segment_pages}"
    with exclusive(folder.with_suffix(".lock")):
        if not (folder / "bin" / "postgres").exists():
            _build(folder, page_kib, wal_page_kib, segment_pages)
    programs = programs_in(folder / "bin")
    assert programs is not None
    return programs


def _build(folder: Path, page_kib: int, wal_page_kib: int, segment_pages: int) -> None:
    for program in ("gcc", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: no server can be built here")
    with tempfile.TemporaryDirectory(prefix="seawall-odd-") as work:
        archive = os.environ.get("SEAWALL_TEST_PG_SOURCE") or _debian_source(Path(work))
        if archive is None:
            pytest.skip("no source of PostgreSQL: name a release's .tar.bz2 in SEAWALL_TEST_PG_SOURCE")
        _run("tar", "-xjf", str(archive), "-C", work, "--strip-components=1", cwd=work)
        made = Path(work) / "made"
        _run(
            *("./configure", "-q", f"--prefix={made}", f"--with-blocksize={page_kib}"),
            *(
                f"--with-wal-blocksize={wal_page_kib}",
                "--without-readline",
                "--without-zlib",
                "--without-icu",
            ),
            cwd=work,
        )
        header = Path(work) / "src" / "include" / "pg_config.h"
        text, changed = re.subn(
            r"^#define RELSEG_SIZE .*$",
            f"#define RELSEG_SIZE {segment_pages}",
            header.read_text(),
            flags=re.M,
        )
        assert changed == 1
        header.write_text(text)
        _run("make", "-s", f"-j{os.cpu_count() or 1}", "install", cwd=work)
        _run("make", "-s", "-C", "contrib/amcheck", "install", cwd=work)
        shutil.copytree(made, folder.with_suffix(".new"), symlinks=True)
        folder.with_suffix(".new").rename(folder)


def _debian_source(work: Path) -> Path | None:
    """Fetch the source package with a source list of its own, so that the machine's stays as it is."""
    sources = work / "sources"
    (work / "lists" / "partial").mkdir(parents=True)
    sources.mkdir()
    for listed in Path("/etc/apt/sources.list.d").glob("*.sources"):
        text = re.sub(r"^Types: deb$", "Types: deb-src", listed.read_text(), flags=re.M)
        (sources / listed.name).write_text(text)
    options = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={sources}"]
    options += ["-o", f"Dir::State::lists={work / 'lists'}"]
    try:
        _run("apt-get", *options, "update", cwd=work)
        shown = _run("apt-cache", *options, "showsrc", "postgresql-15", cwd=work)
        for version in re.findall(r"^Version: (\S+)$", shown, re.M):
            fetch = ["source", "--download-only", f"postgresql-15={version}"]
            try:
                _run("apt-get", *options, *fetch, cwd=work)
            except subprocess.CalledProcessError:
                continue  # a mirror that has not got it: an older one will do
            return next(iter(work.glob("*.orig.tar.bz2")), None)
    except (OSError, subprocess.CalledProcessError):
        return None
    return None


def _run(*command: str, cwd: str | Path) -> str:
    # Under `make soak`, PostgreSQL's make would take itself for a part of ours and leave out its headers.
    environment = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
        timeout=_BUILD_TIMEOUT_S, env={**environment, "CFLAGS": "-O1"},
    )  # fmt: skip
    return done.stdout
