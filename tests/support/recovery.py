"""A cluster under Seawall's protection, as a user sets it up: plan file, archiving, repositories, commands.

:class:`Protected` is the server that is backed up, :class:`Outcome` what a command said, and
:class:`Restored` what came back: a directory that may hold a running server.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seawall.cli.main import run
from seawall.model.clock import SystemClock
from seawall.model.wal_name import SegmentName
from seawall.postgres.programs import ServerPrograms
from seawall.postgres.wal_program import WAL_PROGRAM
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.wal.archive import WalArchive
from seawall.storage.urls import open_store
from tests.support.plans import CLUSTER, write_plan
from tests.support.servers import InitOptions, TestCluster, remove_folder, temporary_folder

ARCHIVE_TIMEOUT_S = 60.0
CONSOLE = Path(sys.executable).with_name("seawall")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON that a ``--json`` command printed."""
        return json.loads(self.out)

    @property
    def error_code(self) -> str:
        """The code in the error document of a ``--json`` command that failed."""
        return str(json.loads(self.err)["error"]["code"])

    def succeeded(self) -> Outcome:
        """Return itself, or fail with all that was said."""
        assert self.status == 0, f"status {self.status}\n{self.out}\n{self.err}"
        return self

    def failed_with(self, status: int, *words: str) -> Outcome:
        """Return itself if it failed just so: this status, these words, a remedy, and no traceback."""
        said = self.out + self.err
        assert self.status == status, f"status {self.status}, not {status}\n{said}"
        assert "Traceback" not in said and "bug in Seawall" not in said, said
        assert "→" in self.err or '"hint"' in self.err, f"no remedy in: {said}"
        for word in words:
            assert word in said, f"{word!r} is not in: {said}"
        return self


def seawall(*arguments: str | os.PathLike[str]) -> Outcome:
    """Run a command in this process, as the console script would."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run([os.fspath(part) for part in arguments])
    return Outcome(status, out.getvalue(), err.getvalue())


class Restored(TestCluster):
    """A directory that Seawall restored, with socket and log of its own."""

    def __init__(self, programs: ServerPrograms, folder: Path, outcome: Outcome) -> None:
        super().__init__(programs, folder)
        self.outcome = outcome

    @property
    def report(self) -> Any:
        return self.outcome.document

    @property
    def recovery_log(self) -> str:
        """The log of the server that ``--start`` started."""
        log = self.data.with_name("data.seawall") / "server.log"
        return log.read_text(errors="replace") if log.exists() else ""


class Protected:
    """A running cluster with archiving into its plan's repositories."""

    def __init__(self, cluster: TestCluster, repositories: Sequence[str] = ("far",), extra: str = "") -> None:
        self.cluster = cluster
        self.folder = cluster.folder
        self.repositories = tuple(repositories)
        self.plan = write_plan(self.folder, cluster, repositories, extra)
        self._restored: list[Path] = []

    @classmethod
    def start(
        cls,
        programs: ServerPrograms,
        *,
        options: InitOptions | None = None,
        settings: Mapping[str, str] | None = None,
        repositories: Sequence[str] = ("far",),
        extra: str = "",
    ) -> Protected:
        """Make a cluster, its plan and its repositories, and start archiving."""
        cluster = TestCluster.create(programs, options=options, settings=settings)
        try:
            protected = cls(cluster, repositories, extra)
            cluster.archive_with(protected.archive_command())
            protected.run("repository", "init").succeeded()
            cluster.start()
        except BaseException:
            cluster.destroy()
            raise
        return protected

    def archive_command(self) -> str:
        """Return the command that the server is given."""
        return f"{shlex.quote(str(CONSOLE.with_name(WAL_PROGRAM)))} push --plan {self.plan} %p"

    def destroy(self) -> None:
        """Kill all servers and remove everything."""
        for folder in self._restored:
            remove_folder(folder)
        self.cluster.destroy()

    def run(self, *arguments: str | os.PathLike[str]) -> Outcome:
        """Run a command with this plan."""
        return seawall(*arguments, "--plan", self.plan)

    def popen(self, *arguments: str | os.PathLike[str]) -> subprocess.Popen[str]:
        """Start a command with this plan as a process of its own."""
        argv = [CONSOLE, *arguments, "--plan", self.plan]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")

    def backup(self, *options: str) -> Any:
        """Take a backup; return its JSON document."""
        return self.run("backup", "--json", *options).succeeded().document

    def restore(self, *arguments: str | os.PathLike[str], starts: bool = True) -> Restored:
        """Restore into a new folder, and start the server unless told otherwise; fails unless that works."""
        restored = self.try_restore(*arguments, starts=starts)
        restored.outcome.succeeded()
        return restored

    def try_restore(
        self,
        *arguments: str | os.PathLike[str],
        starts: bool = True,
        folder: Path | None = None,
        programs: ServerPrograms | None = None,
    ) -> Restored:
        """Restore into a new folder (or the given one), whatever comes of it."""
        folder = folder or self.new_folder()
        (folder / "s").mkdir(exist_ok=True)
        outcome = self.run(
            *("restore", "--json", "--into", folder / "data", "--deadline", "60s"),
            *("--set", f"unix_socket_directories={folder / 's'}", "--pg-bin", self.cluster.programs.folder),
            *(["--start"] if starts else []),
            *arguments,
        )
        return Restored(programs or self.cluster.programs, folder, outcome)

    def new_folder(self) -> Path:
        """Return a folder that is removed with this cluster, with all servers in it."""
        folder = temporary_folder()
        self._restored.append(folder)
        return folder

    def forget(self, restored: Restored) -> None:
        """Remove one restored server now, to keep a long test small."""
        remove_folder(restored.folder)

    def open_repository(self, name: str = "far") -> Repository:
        """Open a repository as a program would."""
        key = KeyFile("key", (self.folder / "key").read_bytes())
        return Repository.open(open_store(f"file://{self.folder / name}"), [key], clock=SystemClock())

    def archive(self, name: str = "far") -> WalArchive:
        """Return the archive of this cluster in a repository."""
        control = self.cluster.control()
        return WalArchive(
            self.open_repository(name),
            CLUSTER,
            control.system_identifier,
            segment_bytes=control.wal_segment_bytes,
        )

    def archive_now(self, epoch: int = 1) -> SegmentName:
        """Close the current WAL segment and wait until all repositories have it, and the archiver is done with
        it and all before it (a segment may be pushed ahead of a ``.backup``); return it."""
        self.cluster.sql("SELECT pg_logical_emit_message(true, 'seawall-test', 'x')")
        name = str(self.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
        self.cluster.sql("SELECT pg_switch_wal()")
        self.wait_for_wal(name, epoch)
        status = self.cluster.data / "pg_wal" / "archive_status"
        wait_until(
            lambda: all(path.stem > name for path in status.glob("*.ready")),
            f"the archiver to get past {name}",
        )
        return SegmentName.parse(name, self.cluster.control().wal_segment_bytes)

    def wait_for_wal(self, name: str, epoch: int = 1) -> None:
        """Wait until every repository has a WAL file."""
        for repository in self.repositories:
            archive = self.archive(repository)
            wait_until(lambda archive=archive: archive.has(epoch, name), f"{name} in {repository}")

    def wal_object(self, name: str, repository: str = "far") -> Path:
        """Return the file that holds an archived WAL file in a repository on disk."""
        (found,) = (self.folder / repository).rglob(name)
        return found


def wait_until(condition: Any, what: str, timeout_s: float = ARCHIVE_TIMEOUT_S) -> None:
    """Wait until a condition holds; fail with its name otherwise."""
    ends_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends_at, f"waited {timeout_s:g} s in vain for: {what}"
        time.sleep(0.05)


def contents(cluster: TestCluster, database: str = "postgres") -> dict[str, tuple[int, str | None]]:
    """Return the row count and a checksum over all rows of every ordinary table of a database."""
    tables = cluster.sql(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p' "
        "AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_|^information_schema$')",
        database=database,
    )
    return {
        table: cluster.sql(
            f"SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {table} t",
            database=database,
        )[0]
        for (table,) in tables
    }


def file_list(folder: Path) -> dict[str, int]:
    """Return every path below a folder with its mode."""
    return {
        str(path.relative_to(folder)): path.lstat().st_mode & 0o7777
        for path in sorted(folder.rglob("*"))
        if not path.is_symlink()
    }


@contextlib.contextmanager
def protected(programs: ServerPrograms, **options: Any) -> Iterator[Protected]:
    """A :class:`Protected` for the length of a block."""
    found = Protected.start(programs, **options)
    try:
        yield found
    finally:
        found.destroy()


def remove(path: Path) -> None:
    """Remove a file or a folder with all in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
