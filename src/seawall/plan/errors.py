"""What can be wrong with a plan or with a secret that it refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seawall.model.errors import InvalidInput

if TYPE_CHECKING:
    from seawall.plan.diagnostics import Diagnostic


class PlanInvalid(InvalidInput, code="plan-invalid", status=13):
    """The plan file is missing, unreadable or wrong; ``diagnostics`` holds all findings in file order."""

    def __init__(self, message: str, *, hint: str = "", diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message, hint=hint, diagnostics=[found.as_fields() for found in diagnostics])
        self.diagnostics = diagnostics


class SecretUnusable(InvalidInput, code="secret-unusable", status=12):
    """A secret can't be had here: missing, unreadable, open to others, or its command failed."""
