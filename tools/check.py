"""Everything that `make check` checks, all of it even when an early part fails, two parts at a time.

Format, lint, types of source, tests and tools, import contracts, architecture tests: under a minute.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FOLDERS = ("src", "tests", "tools", "benchmarks")


@dataclass(frozen=True, slots=True)
class Part:
    """One checker: what it is called here, its command, and how to repair what it finds."""

    name: str
    command: tuple[str, ...]
    repair: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended; ``output`` is shown only if it failed."""

    part: Part
    is_ok: bool
    output: str
    seconds: float


def parts() -> list[Part]:
    """Return the parts, the slowest first, so that two workers end together."""
    folders = [folder for folder in FOLDERS if any((ROOT / folder).rglob("*.py"))]
    return [
        Part("types", (f"{BIN}/mypy", *folders)),
        Part(
            "architecture", (sys.executable, "-m", "pytest", "tests/architecture", "-p", "no:cacheprovider")
        ),
        Part("import contracts", (f"{BIN}/lint-imports", "--no-cache")),
        Part("lint", (f"{BIN}/ruff", "check", *folders), repair="ruff check --fix"),
        Part("format", (f"{BIN}/ruff", "format", "--check", *folders), repair="ruff format"),
    ]


def run(part: Part) -> Outcome:
    """Run one part to its end."""
    began = time.monotonic()
    done = subprocess.run(
        part.command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return Outcome(part, done.returncode == 0, done.stdout + done.stderr, time.monotonic() - began)


def main() -> int:
    """Run all parts, print a line for each, then what failed in full."""
    failed = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for outcome in pool.map(run, parts()):
            print(
                f"{'ok    ' if outcome.is_ok else 'FAILED'} {outcome.part.name} ({outcome.seconds:.1f} s)",
                flush=True,
            )
            if not outcome.is_ok:
                failed.append(outcome)
    for outcome in failed:
        print(f"\n==== {outcome.part.name} ====\n{outcome.output.rstrip()}", file=sys.stderr)
        if outcome.part.repair:
            print(f"  → {outcome.part.repair}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
