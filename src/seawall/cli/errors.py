"""Errors that belong to a command itself, not to an engine below it."""

from __future__ import annotations

from seawall.model.errors import Refused


class CheckFoundTrouble(Refused, code="check-found-trouble", status=93):
    """``seawall check`` found something that keeps the plan from holding; its report says what."""
