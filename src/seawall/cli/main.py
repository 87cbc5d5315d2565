"""The program's edge: dispatch, and the one place where errors become messages and exit statuses.

``wal push`` and ``wal get`` bypass click: PostgreSQL starts a process per segment, and what they
import is measured (tests/architecture).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from seawall import __version__
from seawall.cli.tell import tell
from seawall.model.errors import SeawallError, UnexpectedFailure

_TRANSPORT_FAILURE = 126
"""The least exit status that makes PostgreSQL abort recovery instead of taking it for the end of WAL
(postgres_facts: restore_command)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit status; never returns normally."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        print(f"seawall {__version__}")
        raise SystemExit(0)
    raise SystemExit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; every error is shown, no traceback escapes."""
    wants_json = "--json" in arguments
    try:
        return _dispatch(arguments)
    except SeawallError as error:
        show_error(error, as_json=wants_json)
        return _status_of(error, arguments)
    except KeyboardInterrupt:
        tell("seawall: interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # noqa: BLE001 - the CLI's edge: one of the four that style allows
        failure = _unexpected(error)
        show_error(failure, as_json=wants_json)
        return _status_of(failure, arguments)


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["wal"] and arguments[1:2] in (["push"], ["get"]) and "--help" not in arguments:
        from seawall.cli.wal_client import run as run_client

        return run_client(arguments[1], arguments[2:])
    from seawall.cli.commands import invoke

    return invoke(arguments)


def _status_of(error: SeawallError, arguments: list[str]) -> int:
    if arguments[:2] == ["wal", "get"]:
        # Whatever went wrong, it is not the end of the WAL: an exit status below 126 would promote
        # a server early. Absence is reported by the command itself, never through an error. A standby asks
        # again after 1, and would be shut down by more.
        return 1 if "--standby" in arguments else _TRANSPORT_FAILURE
    return error.status


def show_error(error: SeawallError, *, as_json: bool) -> None:
    """Print an error for a person (message, then remedy) or, with ``--json``, for a program."""
    if as_json:
        import json

        document = {
            "error": {
                "code": error.code,
                "status": error.status,
                "message": error.message,
                "hint": error.hint,
                "fields": {name: _plain(value) for name, value in error.fields.items()},
            }
        }
        tell(json.dumps(document, indent=2))
        return
    remedy = "\n  → " + error.hint.replace("\n", "\n    ") if error.hint else ""
    tell(f"seawall: {error.message}{remedy}")


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _unexpected(error: Exception) -> UnexpectedFailure:
    """Keep the traceback in a private file for a bug report; show its place and one sentence."""
    import hashlib
    import tempfile
    import traceback

    text = f"seawall {__version__}, Python {sys.version}\n" + "".join(traceback.format_exception(error))
    # PostgreSQL tries a failing archive_command again for ever: one report for each cause, not for each try.
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = os.path.join(tempfile.gettempdir(), f"seawall-crash-{os.geteuid()}-{digest}.txt")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        pass  # reported before, or no place for it: the message below has the cause
    else:
        with os.fdopen(descriptor, "w", encoding="utf-8") as report:
            report.write(text)
    return UnexpectedFailure(
        f"something went wrong that Seawall did not foresee ({type(error).__name__}: {error})",
        hint=f"this is a bug in Seawall; the details are in {path}. Please report it with that file.",
        report=path,
    )
