"""What runs once per WAL segment, or before the first word is printed, imports next to nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

HEAVY = {
    "numpy",
    "psycopg",
    "rich",
    "ruamel",
    "obstore",
    "boto3",
    "botocore",
    "cryptography",
    "click",
    "msgspec",
    "hypothesis",
    "asyncio",
}
PUSH = (
    "seawall.cli.wal_client, seawall.backup.wal.push, seawall.plan.compiled, seawall.app, "
    "seawall.storage.urls, seawall.storage.posix, seawall.repository.repository, seawall.repository.wal.archive"
)
"""All that `wal push` imports on its way into a repository on a disk. PostgreSQL starts a process per segment:
sealing needs cryptography, the rest has no business there."""
GET = "seawall.cli.wal_client, seawall.restore.planning.spec, seawall.restore.wal.spool, seawall.restore.wal.get"
VERSION_BUDGET_S = 0.100
PRINT_MODULES = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import seawall.cli.main", HEAVY),
        ("import seawall.cli.main; seawall.cli.main.run(['--version'])", HEAVY - {"click"}),
        ("import seawall.cli.commands", HEAVY - {"click"}),
        (f"import {PUSH}", HEAVY - {"cryptography"}),
        (f"import {GET}", HEAVY - {"cryptography"}),
    ],
)
def test_import_budget(statement: str, forbidden: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}; {PRINT_MODULES}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & forbidden == set()


def test_version_comes_in_under_100_ms() -> None:
    """Best of at most thirty, since the machine may be busy: slow code stays slow thirty times."""
    program = Path(sys.executable).parent / "seawall"
    best = min(_seconds(program) for _ in range(3))
    for _ in range(27):
        if best < VERSION_BUDGET_S:
            break
        best = min(best, _seconds(program))
    assert best < VERSION_BUDGET_S


def _seconds(program: Path) -> float:
    began = time.monotonic()
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("seawall ")
    return time.monotonic() - began
