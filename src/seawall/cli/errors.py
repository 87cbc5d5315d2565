"""Errors that belong to a command itself, not to an engine below it."""

from __future__ import annotations

from seawall.model.errors import Refused


class CheckFoundTrouble(Refused, code="check-found-trouble", status=93):
    """``seawall check`` found something that keeps the plan from holding; its report says what."""


class OwnerForbids(Refused, code="owner-forbids", status=94):
    """Whoever owns the server (Patroni, an operator, a cloud) must make this change, not Seawall."""
