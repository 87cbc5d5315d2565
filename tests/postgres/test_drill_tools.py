"""Drills of pgBackRest's and Barman's backups, made by the real programs: sound, with a hole in the WAL, damaged.

Debian's packages (pgbackrest, barman) are needed; what isn't installed is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import Outcome, seawall, wait_until
from tests.support.servers import PORT, TestCluster, remove_folder, temporary_folder

pytestmark = pytest.mark.postgres

FAILED, INCOMPLETE = 116, 120
TIMEOUT_S = 120
TOOLS = [name for name in ("pgbackrest", "barman") if shutil.which(name)]


@dataclass(slots=True)
class Backups:
    """A cluster that both tools back up, into repositories of their own."""

    cluster: TestCluster
    folder: Path
    segments: list[str] = field(default_factory=list)
    between: list[str] = field(default_factory=list)
    """A time after each of the rows that came after the backups."""

    @property
    def pgbackrest_config(self) -> Path:
        return self.folder / "pgbackrest.conf"

    @property
    def barman_config(self) -> Path:
        return self.folder / "barman.conf"

    def source(self, tool: str) -> str:
        config = self.pgbackrest_config if tool == "pgbackrest" else self.barman_config
        return f"{tool}:main?config={config}"

    def run(self, tool: str, *words: str) -> None:
        argv = {
            "pgbackrest": ["pgbackrest", f"--config={self.pgbackrest_config}", "--stanza=main"],
            "barman": ["barman", "-c", str(self.barman_config)],
        }[tool]
        done = subprocess.run([*argv, *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 0, f"{tool} {words}: {done.stdout}{done.stderr}"

    def drill(self, tool: str, *options: str | os.PathLike[str]) -> Outcome:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        scratch.chmod(0o755)
        outcome = seawall(
            *(
                "drill",
                "restore",
                self.source(tool),
                "--json",
                "--scratch",
                scratch,
                "--state",
                self.folder / "state",
            ),
            *("--pg-bin", self.cluster.programs.folder, "--jobs", "2"),
            *options,
        )
        assert list(scratch.iterdir()) == []
        return outcome

    def wal(self, tool: str, segment: str) -> Path:
        """Return the file of a segment in a tool's archive."""
        (found,) = (self.folder / tool).rglob(f"{segment}*")
        return found

    def archive_now(self) -> str:
        name = str(self.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
        self.cluster.sql("SELECT pg_switch_wal()")
        done = self.cluster.data / "pg_wal" / "archive_status" / f"{name}.done"
        wait_until(done.exists, f"{name} to be archived")
        return name


@pytest.fixture(scope="module")
def backups(one_pg_programs: ServerPrograms) -> Iterator[Backups]:
    """One backup by each tool, and three segments of WAL behind both."""
    if not TOOLS:
        pytest.skip("neither pgbackrest nor barman is installed")
    cluster = TestCluster.create(one_pg_programs, settings={"wal_level": "replica"})
    made = Backups(cluster, temporary_folder())
    made.folder.chmod(0o711)
    try:
        _configure(made)
        cluster.start()
        cluster.sql("CREATE TABLE orders AS SELECT generate_series(1, 500) AS id")
        if "pgbackrest" in TOOLS:
            made.run("pgbackrest", "stanza-create")
            made.run("pgbackrest", "backup")
        if "barman" in TOOLS:
            made.archive_now()
            made.run("barman", "archive-wal", "main")
            made.run("barman", "backup", "main")
        for number in range(3):
            cluster.sql(f"INSERT INTO orders SELECT {number}", "SELECT pg_sleep(2.1)")
            made.between.append(str(cluster.value("SELECT now() - interval '1 second'")))
            made.segments.append(made.archive_now())
        if "barman" in TOOLS:
            made.run("barman", "archive-wal", "main")
        yield made
    finally:
        cluster.destroy()
        remove_folder(made.folder)


def _configure(backups: Backups) -> None:
    folder, cluster = backups.folder, backups.cluster
    for name in ("pgbackrest", "barman/main/incoming", "log"):
        (folder / name).mkdir(parents=True)
    backups.pgbackrest_config.write_text(
        f"[global]\nrepo1-path={folder}/pgbackrest\nrepo1-retention-full=9\nlog-path={folder}/log\n"
        f"lock-path={folder}/lock\nspool-path={folder}/spool\nlog-level-file=off\nstart-fast=y\n"
        f"repo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=of-a-test\n"
        f"[main]\npg1-path={cluster.data}\npg1-socket-path={cluster.socket_directory}\npg1-port={PORT}\n"
        "pg1-user=postgres\n"
    )
    connection = f"host={cluster.socket_directory} port={PORT} user=postgres"
    backups.barman_config.write_text(
        f"[barman]\nbarman_user = {_user()}\nbarman_home = {folder}/barman\nbarman_lock_directory = {folder}\n"
        f"log_file = {folder}/log/barman.log\n"
        f"[main]\ndescription = main\nconninfo = {connection} dbname=postgres\nstreaming_conninfo = {connection}\n"
        f"backup_method = postgres\narchiver = on\npath_prefix = {cluster.programs.folder}\n"
    )
    commands = []
    if "pgbackrest" in TOOLS:
        commands.append(f"pgbackrest --config={backups.pgbackrest_config} --stanza=main archive-push %p")
    if "barman" in TOOLS:
        commands.append(f"cp %p {folder}/barman/main/incoming/%f")
    cluster.archive_with(" && ".join(commands))


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def _by_name(document: Any) -> dict[str, Any]:
    return {item["name"]: item for item in document["assertions"]}


@pytest.fixture(params=("pgbackrest", "barman"))
def tool(request: pytest.FixtureRequest) -> str:
    if request.param not in TOOLS:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def test_a_sound_backup_passes(tool: str, backups: Backups) -> None:
    before = _contents(backups.folder / tool)
    drill = backups.drill(tool, "--check", "orders=SELECT count(*) = 503 FROM orders").succeeded().document

    found = _by_name(drill)
    assert {item["outcome"] for item in found.values()} == {"passed"}
    assert {"WAL is whole", "restore tool", "page checksums", "check: orders"} <= set(found)
    assert found["WAL is whole"]["figures"]["segments"] >= 3
    assert (drill["source"]["tool"], drill["recovery_point"]["asked"]) == (tool, "latest")
    assert drill["rpo"]["reached_ms"] > 0 and any("upper bound" in item for item in drill["deviations"])
    assert _contents(backups.folder / tool) == before, "its repository is only read"


def test_a_random_moment(tool: str, backups: Backups) -> None:
    """Whether before or after the last commit in the archive, the drill says where it came to."""
    drill = backups.drill(tool, "--moment", "random", "--seed", "3").succeeded().document
    assert "random, seed 3" in drill["recovery_point"]["asked"]
    asked, reached = (
        drill["recovery_point"]["asked"][:19],
        drill["recovery_point"]["at"][:19].replace("T", " "),
    )
    assert reached <= asked


def test_a_moment_between_two_rows(tool: str, backups: Backups) -> None:
    at = backups.between[1]
    check = "two=SELECT count(*) = 502 FROM orders"
    drill = backups.drill(tool, "--moment", at, "--check", check).succeeded().document
    assert _by_name(drill)["check: two"]["outcome"] == "passed"


def test_a_hole_in_the_wal(tool: str, backups: Backups) -> None:
    """PostgreSQL takes it for the end, promotes, and answers: the drill compares with the archive's end."""
    hole = backups.wal(tool, backups.segments[1])
    aside = hole.rename(backups.folder / "hole")
    try:
        drill = (
            backups.drill(tool, "--check", "some=SELECT count(*) > 500 FROM orders")
            .failed_with(FAILED)
            .document
        )
    finally:
        aside.rename(hole)
    found = _by_name(drill)
    assert found["WAL is whole"]["outcome"] == "failed"
    assert backups.segments[2] in found["WAL is whole"]["detail"]
    assert found["check: some"]["outcome"] == "passed", "nothing else would have told"


def test_a_damaged_backup(tool: str, backups: Backups) -> None:
    """pgBackRest sees it itself; Barman copies what is there, and the page's checksum tells."""
    relation = str(backups.cluster.value("SELECT pg_relation_filepath('orders')"))
    (file,) = (
        path for path in (backups.folder / tool).rglob(f"*{relation.rpartition('/')[2]}*") if path.is_file()
    )
    whole = file.read_bytes()
    where = len(whole) // 2
    file.write_bytes(whole[:where] + bytes([whole[where] ^ 0xFF]) + whole[where + 1 :])
    try:
        drill = backups.drill(tool).failed_with(FAILED).document
    finally:
        file.write_bytes(whole)
    failed = {name for name, item in _by_name(drill).items() if item["outcome"] == "failed"}
    assert ("restored and started" if tool == "pgbackrest" else "page checksums") in failed


def test_a_tablespace_that_is_newer_than_the_backup(tool: str, backups: Backups) -> None:
    """Both tools would let the copy link to the living folder."""
    place = backups.folder / "late"
    place.mkdir(mode=0o700, exist_ok=True)
    if backups.cluster.value("SELECT count(*) FROM pg_tablespace WHERE spcname = 'late'") == 0:
        backups.cluster.sql(f"CREATE TABLESPACE late LOCATION '{place}'")
        backups.segments.append(backups.archive_now())
        if "barman" in TOOLS:
            backups.run("barman", "archive-wal", "main")
    kept = sorted(place.rglob("*"))
    drill = backups.drill(tool).failed_with(INCOMPLETE, "creates tablespace").document
    assert drill["outcome"] == "incomplete" and sorted(place.rglob("*")) == kept
    backups.drill(tool, "--moment", "1999-01-01 00:00:00+00").failed_with(106, "no backup ended before")


def test_names_that_the_tool_does_not_know(tool: str, backups: Backups) -> None:
    seawall(
        "drill", "restore", backups.source(tool).replace("main", "other"), "--state", backups.folder
    ).failed_with(106)


def test_a_wrong_passphrase(backups: Backups) -> None:
    if "pgbackrest" not in TOOLS:
        pytest.skip("pgbackrest is not installed")
    config = backups.pgbackrest_config
    right = config.read_text()
    config.write_text(right.replace("of-a-test", "forgotten"))
    try:
        drill = backups.drill("pgbackrest").failed_with(FAILED, "can't be read").document
    finally:
        config.write_text(right)
    assert _by_name(drill)["restored and started"]["outcome"] == "failed"


def _contents(folder: Path) -> dict[str, tuple[int, float]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
