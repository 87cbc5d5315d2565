"""A finding about the plan: where, what is wrong, what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.Enum):
    """How much a finding weighs: only an error keeps a plan from being used."""

    ERROR = "error"
    WARNING = "warning"
    DECLARED = "declared"
    """Valid, but no machinery acts on it yet: it protects nothing and never counts towards the RPO."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the plan file, both counted from 1."""

    line: int
    column: int


START = Place(1, 1)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a stable ``code``, what is wrong, and what to write or do about it."""

    path: str
    place: Place
    severity: Severity
    code: str
    message: str
    remedy: str

    @property
    def line(self) -> int:
        return self.place.line

    @property
    def column(self) -> int:
        return self.place.column

    def __str__(self) -> str:
        title = "DECLARED, NOT ACTIVE" if self.severity is Severity.DECLARED else self.severity.value
        where = f"{self.path}:{self.place.line}:{self.place.column}"
        return f"{where}: {title}: {self.message}\n    {self.remedy}"

    def as_fields(self) -> dict[str, str | int]:
        """Return the finding for ``--json``."""
        return {
            "path": self.path,
            "line": self.place.line,
            "column": self.place.column,
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
        }


class Findings:
    """Collects diagnostics of one file in any order."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: list[Diagnostic] = []

    def error(self, place: Place, code: str, message: str, remedy: str) -> None:
        self._found.append(Diagnostic(self._path, place, Severity.ERROR, code, message, remedy))

    def warning(self, place: Place, code: str, message: str, remedy: str) -> None:
        self._found.append(Diagnostic(self._path, place, Severity.WARNING, code, message, remedy))

    def declared(self, place: Place, code: str, message: str, remedy: str) -> None:
        self._found.append(Diagnostic(self._path, place, Severity.DECLARED, code, message, remedy))

    @property
    def has_errors(self) -> bool:
        return any(found.severity is Severity.ERROR for found in self._found)

    def in_file_order(self) -> tuple[Diagnostic, ...]:
        """Return the findings as a reader of the file meets them; at one place in the order of discovery."""
        return tuple(sorted(self._found, key=lambda found: (found.line, found.column)))


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """Show findings one below the other, as the golden files hold them."""
    return "".join(f"{found}\n" for found in diagnostics)
