"""Whatever a person gets wrong: a message that names it, a remedy, an exit status of its own, nothing changed.

Every case runs the real command against a real server and repository, and compares both before and after.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.plans import CLUSTER
from tests.support.recovery import Outcome, Protected, seawall
from tests.support.server_programs import server_programs

pytestmark = pytest.mark.postgres

SEGMENT = "000000010000000000000007"
Words = list[str | os.PathLike[str]]


@dataclass(frozen=True)
class Case:
    """One mistake. ``arguments`` and ``words`` may use the names that :func:`filled` knows."""

    name: str
    status: int
    arguments: str
    words: tuple[str, ...] = ()
    edit: tuple[str, str] | None = None
    """Text of the plan to replace, and by what."""
    prepare: Callable[[Path], None] | None = field(default=None, compare=False)


def occupied(folder: Path) -> None:
    (folder / "target").mkdir()
    (folder / "target" / "precious").write_text("keep me")


def a_file(folder: Path) -> None:
    (folder / "target").write_text("keep me")


def another_key(folder: Path) -> None:
    path = folder / "other.key"
    path.write_bytes(base64.b64encode(secrets.token_bytes(48)))
    path.chmod(0o600)


def open_key(folder: Path) -> None:
    another_key(folder)
    (folder / "other.key").chmod(0o644)


def garbage_spec(folder: Path) -> None:
    (folder / "restore.json").write_text('{"seawall": 3}')


def not_a_plan(folder: Path) -> None:
    (folder / "bad.yaml").write_bytes(b"service: [\xff\xfe")


def unclosed_plan(folder: Path) -> None:
    (folder / "bad.yaml").write_text("version: 1\nsites: {west: {")


def empty_plan(folder: Path) -> None:
    (folder / "bad.yaml").write_text("")


def zeros(folder: Path) -> None:
    (folder / SEGMENT).write_bytes(bytes(16 << 20))


def noise(folder: Path) -> None:
    (folder / SEGMENT).write_bytes(secrets.token_bytes(16 << 20))


def a_cut_segment(folder: Path) -> None:
    (folder / SEGMENT).write_bytes(bytes(100))


OTHER_KEY = ("file:{folder}/key", "file:{here}/other.key")
NOT_THERE = ("file://{folder}/far", "file://{here}/nowhere")
RESTORE = "restore --into {here}/target"

COMMAND_LINES = [
    Case("no such command", 10, "rescue", ("rescue",)),
    Case("no such option", 10, "backup --fulll", ("--fulll",)),
    Case("no such type", 10, "backup --type diff", ("diff",)),
    Case("jobs of zero", 10, "backup --jobs 0", ("0",)),
    Case("duration", 10, "backup --wal-timeout soon", ("--wal-timeout", "soon")),
    Case("fraction", 10, "verify --fraction 2", ("2",)),
    Case("no --into", 10, "restore --latest", ("--into",)),
    Case("no moment", 10, RESTORE, ("one moment",)),
    Case("two moments", 10, f"{RESTORE} --latest --immediate", ("one moment",)),
    Case("setting", 10, f"{RESTORE} --latest --set work_mem", ("--set", "work_mem")),
    Case("tablespace", 10, f"{RESTORE} --latest --tablespace 16384", ("--tablespace", "16384")),
    Case("deadline", 10, f"{RESTORE} --latest --deadline 1parsec", ("--deadline", "1parsec")),
    Case("lsn", 10, f"{RESTORE} --to-lsn zz", ("--to-lsn", "zz")),
    Case("xid of none", 10, f"{RESTORE} --to-xid 1", ("1",)),
    Case("xid no number", 10, f"{RESTORE} --to-xid abc", ("abc",)),
    Case("time", 24, f"{RESTORE} --to yesterdayish", ("yesterdayish",)),
    Case("time of no day", 24, f"{RESTORE} --to 2026-02-30", ("2026-02-30",)),
    Case("future", 25, f"{RESTORE} --to 2099-01-01T00:00:00+00", ("2099",)),
    Case("too early", 26, f"{RESTORE} --to 2001-01-01T00:00:00+00", ("2001",)),
    Case("lsn too early", 26, f"{RESTORE} --to-lsn 0/10", ("0/10",)),
    Case("lsn too late", 27, f"{RESTORE} --to-lsn FFFF/0", ("FFFF/0",)),
    Case("xid never seen", 27, f"{RESTORE} --to-xid 4000000000", ("4000000000",)),
    Case("point never made", 27, f"{RESTORE} --to-name atlantis", ("atlantis",)),
    Case("timeline", 39, f"{RESTORE} --latest --timeline 77", ("77",)),
    Case("backup", 33, f"{RESTORE} --latest --backup 20200101T000000Z-000000", ("20200101T000000Z-000000",)),
    Case("backup, oddly", 33, f"{RESTORE} --latest --backup ../../etc", ("../../etc",)),
    Case("backup to verify", 33, "verify --backup 20200101T000000Z-000000", ("20200101T000000Z-000000",)),
    Case("output exists", 10, "key export far --output {plan} --readable", ("{plan}",)),
    Case("neither sealed nor readable", 10, "key export far --output {here}/e", ("readable",)),
    Case("new key of nothing", 10, "key add far", ("recovery code",)),
    Case("new key not there", 12, "key add far --new file:{here}/none", ("{here}/none",)),
    Case("new key no reference", 10, "key add far --new hunter2", ("--new",)),
    Case("new key unset", 12, "key add far --new env:SEAWALL_NO_SUCH", ("SEAWALL_NO_SUCH",)),
    Case("last key", 77, "key remove far key", ("key",)),
    Case("no such slot", 18, "key remove far nobody", ("nobody",)),
    Case("no such slot to rotate", 18, "key rotate far nobody --recovery-code", ("nobody",)),
    Case("label", 18, "key add far --recovery-code --label a/../b", ("a/../b",)),
    Case("repository is there", 41, "repository init far", ("far",)),
]

NAMES = [
    Case(f"{what} of {command}", 11, arguments, (name,))
    for command, cluster_argument in {
        "backup": "nobody",
        "list": "--cluster nobody",
        RESTORE + " --latest": "--cluster nobody",
        "wal gaps": "--cluster nobody",
    }.items()
    for what, name, arguments in [
        ("cluster", "nobody", f"{command} {cluster_argument}"),
        ("repository", "atlantis", f"{command} --repository atlantis"),
    ]
] + [
    Case("repository of verify", 11, "verify --repository atlantis", ("atlantis",)),
    Case("cluster of verify", 11, "verify --cluster nobody", ("nobody",)),
    Case("repository of key", 11, "key list atlantis", ("atlantis",)),
    Case("repository of init", 11, "repository init atlantis", ("atlantis",)),
    Case("repository of list", 11, "repository list --repository atlantis", ("atlantis",)),
]

OPENING = ["backup", "list", f"{RESTORE} --latest", "verify", "wal gaps", "key list", "repository list"]
REPOSITORIES = [
    *(Case(f"{c}: wrong key", 16, c, ("{folder}/far",), OTHER_KEY, another_key) for c in OPENING),
    *(Case(f"{c}: key missing", 12, c, ("{here}/other.key",), OTHER_KEY) for c in OPENING),
    Case("key for all to read", 12, "list", ("{here}/other.key",), OTHER_KEY, open_key),
    *(Case(f"{c}: not there", 31, c, ("{here}/nowhere",), NOT_THERE) for c in OPENING),
    Case("no repository", 32, "list", ("{here}",), ("{folder}/far", "{here}")),
    Case("scheme", 13, "list", ("gopher",), ("file://{folder}/far", "gopher://far")),
    Case("relative", 13, "list", ("file:",), ("file://{folder}/far", "file:far")),
]

SERVERS = [
    Case("nobody listens", 53, "backup", ("{here}",), ("{socket}", "{here_quoted}")),
    Case("no such database", 35, "backup", ("atlantis",), ("@/postgres?", "@/atlantis?")),
    Case("no such role", 20, "backup", ("nobody",), ("//postgres@", "//nobody@")),
    Case("no data directory", 37, "backup", ("{here}",), ("data: {data}", "data: {here}")),
    Case("no folder at all", 37, "backup", ("{here}/none",), ("data: {data}", "data: {here}/none")),
    Case("no programs", 36, f"{RESTORE} --latest --pg-bin {{here}}", ("{here}",)),
    Case("other programs", 36, f"{RESTORE} --latest --pg-bin {{other_bin}}", ("{other_bin}",)),
    Case("occupied", 86, f"{RESTORE} --latest", ("{here}/target",), None, occupied),
    Case("a file", 86, f"{RESTORE} --latest", ("{here}/target",), None, a_file),
    Case("under a file", 28, "restore --into {here}/target/below --latest", ("{here}/target",), None, a_file),
    Case("init: nobody listens", 53, "init postgresql://127.0.0.1:1/x --output {here}/p", ("127.0.0.1",)),
    Case("init: no dsn", 19, "init postgresql://[ --output {here}/p", ()),
    Case("init: exists", 10, "init {dsn} --output {plan}", ("{plan}",)),
    Case("init: no folder", 10, "init {dsn} --output {here}/a/b", ("{here}/a",)),
    Case("init: url", 10, "init {dsn} --output {here}/p --repository x=gopher://y", ("gopher",)),
]

PLANS = [
    Case("no plan", 13, "list --plan {here}/none.yaml", ("{here}/none.yaml",)),
    Case("a folder", 13, "list --plan {here}", ("{here}",)),
    Case("no text", 13, "check --plan {here}/bad.yaml", ("{here}/bad.yaml",), None, not_a_plan),
    Case("unclosed", 13, "check --plan {here}/bad.yaml", ("bad.yaml:2:",), None, unclosed_plan),
    Case("empty", 13, "list --plan {here}/bad.yaml", ("{here}/bad.yaml",), None, empty_plan),
    Case(
        "mistakes",
        13,
        "check --offline",
        ("reposotories", "repositories", "plan.yaml:"),
        ("repositories:", "reposotories:"),
    ),
    Case("mistake met by a backup", 13, "backup", ("15parsecs",), ("rto: 15m", "rto: 15parsecs")),
]

WAL = [
    Case("no name", 10, "wal push", ("1 argument",)),
    Case("option", 10, "wal push --hard x", ("--hard",)),
    Case("not WAL", 23, "wal push {data}/PG_VERSION", ("PG_VERSION",)),
    Case("dots", 23, "wal push ..", ("..",)),
    Case("nothing", 23, "wal push {here}/{seven}", ("{here}/{seven}",)),
    Case("zeros", 65, "wal push {here}/{seven}", ("{seven}",), None, zeros),
    Case("noise", 65, "wal push {here}/{seven}", ("{seven}",), None, noise),
    Case("cut", 65, "wal push {here}/{seven}", ("{seven}",), None, a_cut_segment),
    Case("other name", 65, "wal push {renamed}", ("00000001000000000000FFFF",)),
    Case("no such cluster", 10, "wal push --cluster nobody {segment}", ("nobody",)),
    Case("no data directory", 23, "wal push --data-directory {here} {segment}", ("pg_control",)),
    Case("wrong key", 16, "wal push {segment}", ("{folder}/far",), OTHER_KEY, another_key),
    Case("no key", 12, "wal push {segment}", ("{here}/other.key",), OTHER_KEY),
    Case("not there", 31, "wal push {segment}", ("{here}/nowhere",), NOT_THERE),
    Case("no plan", 13, "wal push --plan {here}/none.yaml {segment}", ("{here}/none.yaml",)),
    Case("get: outside a restore", 126, "wal get {seven} {here}/x", ("restore",)),
    Case("get: no such file", 126, "wal get --restore {here}/r {seven} {here}/x", ("{here}/r",)),
    Case(
        "get: garbage",
        126,
        "wal get --restore {here}/restore.json {seven} {here}/x",
        ("restore.json",),
        None,
        garbage_spec,
    ),
    Case("get: arguments", 126, "wal get --restore {here}/r", ("2 argument",)),
]


@pytest.fixture(scope="module")
def renamed(shop: Protected) -> Path:
    """A good segment of this server under another segment's name."""
    path = shop.folder / "00000001000000000000FFFF"
    path.write_bytes(a_segment(shop).read_bytes())
    return path


def a_segment(shop: Protected) -> Path:
    return min((shop.cluster.data / "pg_wal").glob("0000000100000000????????"))


@pytest.mark.parametrize(
    "case",
    [*COMMAND_LINES, *NAMES, *REPOSITORIES, *SERVERS, *PLANS, *WAL],
    ids=lambda case: case.name.format(here=""),
)
def test_a_mistake_is_explained_and_harmless(
    case: Case, shop: Protected, renamed: Path, tmp_path: Path
) -> None:
    names = names_of(shop, renamed, tmp_path)
    if case.prepare:
        case.prepare(tmp_path)
    arguments: Words = [word.format(**names) for word in case.arguments.split()]
    arguments += plan_arguments(case, arguments, names, shop, tmp_path)
    before = state_of(shop, tmp_path)
    outcome = seawall(*arguments)
    assert_explained(outcome, case.status, [word.format(**names) for word in case.words])
    assert state_of(shop, tmp_path) == before, "something was changed"


def names_of(shop: Protected, renamed: Path, here: Path) -> dict[str, str]:
    other = next(
        programs
        for major in range(18, 13, -1)
        if major != shop.cluster.major and (programs := server_programs(major)) is not None
    )
    return {
        "here": str(here),
        "seven": SEGMENT,
        "here_quoted": str(here).replace("/", "%2F"),
        "folder": str(shop.folder),
        "plan": str(shop.plan),
        "data": str(shop.cluster.data),
        "dsn": shop.cluster.url(),
        "socket": str(shop.cluster.socket_directory).replace("/", "%2F"),
        "segment": str(a_segment(shop)),
        "renamed": str(renamed),
        "other_bin": str(other.folder),
    }


def plan_arguments(case: Case, given: Words, names: dict[str, str], shop: Protected, here: Path) -> Words:
    """Return ``--plan`` with the case's version of the plan, and what else a command needs here."""
    more: Words = []
    if given[:2] == ["wal", "push"] and "--data-directory" not in given:
        more += ["--data-directory", shop.cluster.data]
    if "--plan" in given or given[0] in ("init", "rescue") or given[:2] == ["wal", "get"]:
        return more
    plan = shop.plan
    if case.edit is not None:
        old, new = (text.format(**names) for text in case.edit)
        assert old in plan.read_text(), f"the plan has no {old!r} to spoil"
        plan = here / "plan.yaml"
        plan.write_text(shop.plan.read_text().replace(old, new))
    return [*more, "--plan", plan]


def assert_explained(outcome: Outcome, status: int, words: list[str]) -> None:
    outcome.failed_with(status, *words)
    lines = outcome.err.strip().splitlines()
    assert lines and "  → " in outcome.err, outcome.err
    assert not (CLUSTER in lines[-1] and "→ \n" in outcome.err)


def state_of(shop: Protected, here: Path) -> dict[str, tuple[int, int]]:
    """Return size and change time of every file that a command could harm."""
    roots = [shop.folder / "far", shop.folder / "state", here]
    files = [shop.plan, shop.folder / "key"]
    files += [path for root in roots for path in root.rglob("*") if not path.is_dir()]
    # Lock files and caches are no harm; objects, keys, plans and targets are.
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if path.name not in (".lock",)
    }
