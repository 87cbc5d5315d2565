"""The exit status of ``wal get`` stays right where nothing else works: PostgreSQL promotes on a wrong one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from seawall.restore.wal.get import PROVEN_ABSENT, planned_command

SEGMENT = "000000010000000000000001"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_log_does_not_turn_a_failure_into_the_end_of_the_wal(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "seawall", "wal", "get", "--restore", str(tmp_path / "none"), SEGMENT]
    with open("/dev/full", "w", encoding="utf-8") as full:
        ended = subprocess.run([*words, str(tmp_path / "wal")], stderr=full, timeout=60, check=False)
    assert ended.returncode == 126


def test_a_reader_of_the_log_that_died_changes_no_status(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "seawall", "wal", "get", "--restore", str(tmp_path / "none"), SEGMENT]
    process = subprocess.Popen([*words, str(tmp_path / "wal")], stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(timeout=60) == 126


@pytest.mark.parametrize(
    ("ended_with", "told"),
    [(0, 0), (PROVEN_ABSENT, 1), (1, 126), (2, 126), (120, 126), (126, 126), (127, 127), (137, 137), (143, 143)],
)  # fmt: skip
def test_only_proven_absence_is_told_as_the_end_of_the_wal(
    ended_with: int, told: int, tmp_path: Path
) -> None:
    program = tmp_path / "seawall"
    program.write_text(f"#!/bin/sh\nexit {ended_with}\n")
    program.chmod(0o700)
    command = planned_command(str(program), "restore.json").replace("%f", SEGMENT).replace("%p", "wal")
    assert subprocess.run(["sh", "-c", command], timeout=60, check=False).returncode == told


def test_a_seawall_that_cannot_start_is_not_the_end_of_the_wal(tmp_path: Path) -> None:
    command = planned_command(f"{sys.executable} -m no_such_module", "restore.json")
    ended = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 126
