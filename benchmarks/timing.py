"""Run a command and say how long it took and how much memory it held; empty the page cache before it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND_TIMEOUT_S = 900.0
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class CommandFailed(Exception):
    """A measured command did not succeed, so there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one command. ``peak_bytes`` is the largest process of it."""

    seconds: float
    peak_bytes: int
    output: str


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Measured:
    """Run ``command`` to its end with the clock running. Raises CommandFailed with what it printed."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [os.fspath(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        shown = " ".join(os.fspath(word) for word in command)
        raise CommandFailed(f"{shown}\nended with status {process.returncode}:\n{text}")
    return Measured(seconds, usage.ru_maxrss * 1024, text)


def best(runs: Sequence[Measured]) -> Measured:
    """Return the fastest run, with the largest memory of all of them."""
    fastest = min(runs, key=lambda measured: measured.seconds)
    return Measured(fastest.seconds, max(measured.peak_bytes for measured in runs), fastest.output)


def can_drop_caches() -> bool:
    """Say whether cold rows can be measured: only root may empty the page cache."""
    return os.access(_DROP_CACHES, os.W_OK)


def settle(*, is_cold: bool) -> None:
    """Write back what earlier runs left dirty, so that nobody pays for another; drop the cache if cold."""
    os.sync()
    if is_cold:
        _DROP_CACHES.write_text("3")


def size_of(folder: Path) -> int:
    """Return the bytes of all files below ``folder``."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
