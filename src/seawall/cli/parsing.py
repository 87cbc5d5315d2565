"""Option values that need more than click's types, with errors that name the option."""

from __future__ import annotations

from seawall.cli.usage import UsageInvalid
from seawall.model.lsn import Lsn
from seawall.model.units import parse_duration_s


def duration_s(text: str, option: str) -> float:
    """Read a duration option. Raises UsageInvalid."""
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise UsageInvalid(f"{option}: {error}", hint=f"{option} 5m") from error


def lsn(text: str, option: str) -> Lsn:
    """Read an LSN option. Raises UsageInvalid."""
    try:
        return Lsn.parse(text)
    except ValueError as error:
        raise UsageInvalid(f"{option}: {error}", hint=f"{option} 16/B374D848") from error
