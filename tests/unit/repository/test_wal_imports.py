"""``wal push`` starts a process for every 16 MiB, so what it imports is part of its speed.

Named modules rather than milliseconds: those would depend on the machine's other work.
"""

from __future__ import annotations

import subprocess
import sys

DEAR = {
    "asyncio",
    "click",
    "concurrent.futures",
    "cryptography.hazmat.primitives",
    "dataclasses",
    "getpass",
    "inspect",
    "logging",
    "msgspec",
    "numpy",
    "obstore",
    "psycopg",
    "random",
    "socket",
    "subprocess",
    "urllib.parse",
}
PROGRAM = """
import sys
import seawall.repository.repository, seawall.repository.wal.terms, seawall.repository.wal.archive
print("\\n".join(sys.modules))
"""


def test_opening_a_repository_and_pushing_wal_imports_nothing_dear() -> None:
    command = [sys.executable, "-c", PROGRAM]
    imported = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert "seawall.repository.wal.objects" in imported
    before = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert (DEAR & set(imported)) - set(before) == set()
