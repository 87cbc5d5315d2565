"""Run other programs in a drill: their status *and* their words count, and none outlives its time.

``pg_restore`` ends with 0 after ignored errors unless told otherwise, and other tools have done as much. So what a
program said on standard error is kept, bounded, and judged. It goes into evidence only after lines that hold data
were left out: PostgreSQL quotes rows in DETAIL and CONTEXT lines.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from seawall.drill.errors import RestoreToolUnusable
from seawall.drill.isolation import plain_environment
from seawall.model.errors import SeawallError
from seawall.postgres.server.user import RunAs

_KEPT_BYTES = 64 * 1024
_SHOWN_CHARACTERS = 1000
_OF_DATA = re.compile(
    r"^(?:psql:[^ ]* |pg_restore: )?(?:DETAIL|CONTEXT|STATEMENT|QUERY|LINE \d+|Command was)\b|^\s*\^"
)
_ERROR = re.compile(r"\b(?:ERROR|FATAL|PANIC|Traceback|error|fatal|EXCEPTION|CRITICAL)\b|\berrors ignored\b")
_WARNING = re.compile(r"\bWARN(?:ING)?\b|\bwarning\b")
NO_SPACE = "No space left on device"


Argv: TypeAlias = list[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class ToolRun:
    """How a program ended, and what it said on standard error (its last 64 KiB)."""

    program: str
    status: int
    complaints: str
    output: bytes = b""
    timed_out: bool = False

    @property
    def errors(self) -> list[str]:
        """The lines of standard error that speak of errors, without data."""
        return [line for line in self._lines() if _ERROR.search(line)]

    @property
    def warnings(self) -> list[str]:
        return [line for line in self._lines() if _WARNING.search(line) and not _ERROR.search(line)]

    @property
    def is_clean(self) -> bool:
        """Whether it ended well, and said nothing of errors."""
        return self.status == 0 and not self.errors and not self.timed_out

    @property
    def is_out_of_space(self) -> bool:
        return NO_SPACE in self.complaints

    def reason(self) -> str:
        """Return why it is not clean, for a person and for evidence."""
        if self.timed_out:
            return f"{self.program} did not end in time and was stopped"
        words = "; ".join(self.errors[:3]) or "; ".join(list(self._lines())[-2:])
        ended = (
            f"{self.program} ended with status {self.status}"
            if self.status
            else f"{self.program} ended with 0, but"
        )
        return f"{ended}: {words[:_SHOWN_CHARACTERS]}" if words else ended

    def _lines(self) -> Iterable[str]:
        return (
            line.strip()
            for line in self.complaints.splitlines()
            if line.strip() and not _OF_DATA.search(line)
        )


def run_tool(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    timeout_s: float,
    user: RunAs | None = None,
    feed: Callable[[IO[bytes]], None] | None = None,
    stdout: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> ToolRun:
    """Run a program to its end; ``feed`` writes its standard input, ``stdout`` takes its output instead of the
    result.

    It works in ``cwd``, where the reaper finds it. Raises RestoreToolUnusable where it can't be executed.
    """
    name = os.path.basename(os.fspath(argv[0]))
    try:
        process = subprocess.Popen(
            user.command(argv) if user is not None else [os.fspath(part) for part in argv],
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=stdout if stdout is not None else subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=plain_environment(environment),
            start_new_session=True,
            **(user.popen_kwargs() if user is not None else {}),
        )
    except OSError as error:
        raise RestoreToolUnusable(
            f"{argv[0]} can't be executed: {error.strerror}",
            hint=f"install it, or name its folder in PATH: which {name}",
        ) from error
    return _attend(process, name, timeout_s, feed)


def _attend(
    process: subprocess.Popen[bytes], name: str, timeout_s: float, feed: Callable[[IO[bytes]], None] | None
) -> ToolRun:
    assert process.stderr is not None  # a pipe
    said, complaints = (_Tail(process.stdout) if process.stdout is not None else None), _Tail(process.stderr)
    failure: list[Exception] = []
    timer = threading.Timer(timeout_s, _end, [process])
    timer.start()
    try:
        if feed is not None:
            _feed(process, feed, failure)
        status = process.wait()
        for tail in (said, complaints):
            if tail is not None:
                tail.join()
    except BaseException:
        _end(process)
        raise
    finally:
        timed_out = not timer.is_alive() and process.returncode == -signal.SIGKILL
        timer.cancel()
    if failure:
        raise failure[0]
    return ToolRun(
        name,
        status,
        complaints.kept.decode(errors="replace"),
        bytes(said.kept) if said is not None else b"",
        timed_out,
    )


def _feed(
    process: subprocess.Popen[bytes], feed: Callable[[IO[bytes]], None], failure: list[Exception]
) -> None:
    """Write the standard input; a source that breaks off is kept, and the program killed before it takes the end of
    its input for the end of the data."""
    assert process.stdin is not None
    try:
        feed(process.stdin)
    except BrokenPipeError:
        pass  # it ended early: its status and words say why
    except (SeawallError, OSError) as error:
        failure.append(error)
        _end(process)
    finally:
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass  # the same


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended in time after all


class _Tail(threading.Thread):
    """Reads a pipe to its end and keeps the last bytes of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(name="drill-output", daemon=True)
        self._pipe = pipe
        self.kept = bytearray()
        self.start()

    def run(self) -> None:
        while chunk := self._pipe.read1(65536):  # type: ignore[attr-defined]
            self.kept += chunk
            del self.kept[: max(0, len(self.kept) - (8 << 20))]
        self._pipe.close()
