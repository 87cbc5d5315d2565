"""The program's first instruction: a WAL segment that was pushed ahead is answered before anything is imported.

PostgreSQL starts a process per segment. After a burst of writes most of these find their work done
(:mod:`seawall.backup.wal.acknowledgements`), and cost little more than the start of Python itself.
"""

from __future__ import annotations

import os
import sys

from seawall.backup.wal.acknowledgements import take_acknowledgement

_OPTIONS = ("--plan", "--cluster", "--data-directory")


def main() -> None:
    """Run the command line; never returns normally."""
    arguments = sys.argv[1:]
    if arguments[:2] == ["wal", "push"] and _is_pushed(arguments[2:]):
        _leave()
    _run(arguments)


def push() -> None:
    """Run ``seawall wal push`` with the arguments given: the program that ``archive_command`` names."""
    arguments = sys.argv[1:]
    if _is_pushed(arguments):
        _leave()
    _run(["wal", "push", *arguments])


def _leave() -> None:
    """Exit with 0 without the interpreter's farewell, which takes longer than the look at the note: nothing is
    open and nothing was printed."""
    os._exit(0)


def _run(arguments: list[str]) -> None:
    from seawall.cli.main import main as run_main

    run_main(arguments)


def _is_pushed(words: list[str]) -> bool:
    """Say whether an earlier process pushed this file. Words in any but the plainest form: no."""
    if len(words) % 2 == 0 or words[-1].startswith("-"):
        return False
    options = dict(zip(words[:-1:2], words[1:-1:2], strict=True))
    if not all(name in _OPTIONS for name in options):
        return False
    path = os.path.join(options.get("--data-directory") or "", words[-1])
    return take_acknowledgement(options.get("--plan"), options.get("--cluster"), path)
