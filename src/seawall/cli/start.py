"""The program's first instruction: what an earlier process has made ready for PostgreSQL is answered before
anything is imported.

PostgreSQL starts a process per WAL segment. After a burst of writes most of those that push find their work done
(:mod:`seawall.backup.wal.acknowledgements`), and those that fetch find their segment beside the restored directory
(:mod:`seawall.restore.wal.ready`). Both cost little more than the start of Python itself.
"""

from __future__ import annotations

import os
import sys

_PUSH_OPTIONS = ("--plan", "--cluster", "--data-directory")


def main() -> None:
    """Run the command line; never returns normally."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["wal"]:
        _answer_at_once(arguments[1:])
    _run(arguments)


def wal() -> None:
    """Run ``seawall wal`` with the arguments given: the program that PostgreSQL's commands name."""
    arguments = sys.argv[1:]
    _answer_at_once(arguments)
    _run(["wal", *arguments])


def _run(arguments: list[str]) -> None:
    from seawall.cli.main import main as run_main

    run_main(arguments)


def _answer_at_once(words: list[str]) -> None:
    """Exit if everything is there; without the interpreter's farewell, which takes longer than the look: nothing is
    open and nothing was printed."""
    if words[:1] == ["push"] and _is_pushed(words[1:]):
        os._exit(0)
    if words[:1] == ["get"] and (status := _serve(words[1:])) is not None:
        os._exit(status)


def _is_pushed(words: list[str]) -> bool:
    """Say whether an earlier process pushed this file. Words in any but the plainest form: no."""
    from seawall.backup.wal.acknowledgements import take_acknowledgement

    if len(words) % 2 == 0 or words[-1].startswith("-"):
        return False
    options = dict(zip(words[:-1:2], words[1:-1:2], strict=True))
    if not all(name in _PUSH_OPTIONS for name in options):
        return False
    path = os.path.join(options.get("--data-directory") or "", words[-1])
    return take_acknowledgement(options.get("--plan"), options.get("--cluster"), path)


def _serve(words: list[str]) -> int | None:
    """Return the exit status of a planned ``restore_command`` that needs no archive, None for all others."""
    from seawall.restore.wal.ready import serve_ready

    match words:
        case ["--restore", spec, "--absent-status", absent, name, destination] if absent in ("1", "74"):
            found = serve_ready(os.path.dirname(spec), name, destination)
            return None if found is None else 0 if found else int(absent)
    return None
