"""What a person sees: JSON documents, tables, and a progress bar on a terminal or quiet lines in a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from seawall.model.lsn import Lsn
from seawall.model.units import format_bytes, format_duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_LOG_EVERY_S = 30.0


def print_json(document: object) -> None:
    """Print one JSON document on standard output; times are ISO 8601, paths and LSNs text."""
    print(json.dumps(_as_text(document), indent=2, default=_plain))


def _as_text(value: object) -> object:
    """Write LSNs as PostgreSQL does: to ``json`` they are integers, and never ask for a ``default``."""
    if isinstance(value, Lsn):
        return str(value)
    if isinstance(value, dict):
        return {name: _as_text(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    return value


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print left-aligned columns, without frames, so that ``grep`` and ``awk`` work on them."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def note(text: str) -> None:
    """Say something that is no result, on standard error."""
    print(text, file=sys.stderr, flush=True)


class ProgressDisplay:
    """Shows bytes, rate and time left: a bar on a terminal, a plain line now and then elsewhere.

    Silent where the command prints JSON. Use as a context manager.
    """

    def __init__(self, title: str, *, is_silent: bool = False) -> None:
        self._title = title
        self._is_silent = is_silent
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._began = self._last_line = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        if not self._is_silent and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            columns: list[Any] = [
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            ]
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None)
        return self

    def update(self, done_bytes: int, total_bytes: int | None, phase: str = "") -> None:
        """Show how far it is; cheap enough to be called for every extent."""
        if self._is_silent:
            return
        if self._bar is not None and self._task is not None:
            title = f"{self._title}: {phase}" if phase else self._title
            self._bar.update(self._task, completed=done_bytes, total=total_bytes, description=title)
            return
        now = time.monotonic()
        if now - self._last_line < _LOG_EVERY_S:
            return
        self._last_line = now
        rate = done_bytes / max(now - self._began, 0.001)
        of = f" of {format_bytes(total_bytes)}" if total_bytes else ""
        left = f", {format_duration((total_bytes - done_bytes) / rate)} left" if total_bytes and rate else ""
        note(
            f"{self._title}: {phase or 'working'}, {format_bytes(done_bytes)}{of}, {format_bytes(rate)}/s{left}"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
