"""The import contracts bite: each is broken once in a copy of the tree, and must be reported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, ROOT


@pytest.mark.parametrize(
    ("file", "text", "reported"),
    [
        ("stray/__init__.py", "", "stray"),
        ("stray.py", "", "stray"),
        ("model/upward.py", "import seawall.storage\n", "seawall.model.upward -> seawall.storage"),
        (
            "model/typed_upward.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import seawall.storage\n",
            "seawall.model.typed_upward -> seawall.storage",
        ),
        ("restore/sideways.py", "import seawall.backup\n", "seawall.restore.sideways -> seawall.backup"),
        ("repository/driver.py", "import psycopg\n", "seawall.repository.driver"),
        ("repository/client.py", "import obstore\n", "seawall.repository.client"),
        ("model/lsn.py", "import seawall.model.wal_name\n", "seawall.model"),
    ],
)
def test_a_breach_is_reported(tmp_path: Path, file: str, text: str, reported: str) -> None:
    copy = tmp_path / "seawall"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    breach = copy / file
    breach.parent.mkdir(exist_ok=True)
    breach.write_text((breach.read_text() if breach.exists() else "") + text)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert reported in done.stdout + done.stderr
