"""The error of a command line that can't be understood, apart from click for the WAL client's sake."""

from __future__ import annotations

from seawall.model.errors import InvalidInput


class UsageInvalid(InvalidInput, code="usage-invalid", status=10):
    """The command line can't be understood."""
