"""The moment to recover to, as a person says it and as PostgreSQL's recovery settings say it.

PostgreSQL takes at most one target (config.sgml, "Recovery Target"). Times are the dangerous kind: a
local time may not exist or exist twice, so every time is turned into UTC here, once, or refused.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from seawall.model.lsn import Lsn
from seawall.restore.errors import TargetInvalid

_UTC_NAME = re.compile(r"\s*(?:utc|gmt|z)$", re.IGNORECASE)
_SHORT_OFFSET = re.compile(r"(:\d\d(?:\.\d+)?)\s*([+-]\d\d)$")
"""PostgreSQL's way to write an offset, ``10:41:07+02``."""
_FIRST_YEAR, _LAST_YEAR = 1900, 9999


class TargetAction(enum.Enum):
    """What the server does once it is there (``recovery_target_action``)."""

    PROMOTE = "promote"
    PAUSE = "pause"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Latest:
    """Everything that the archive holds."""

    def __str__(self) -> str:
        return "the latest moment in the archive"


@dataclass(frozen=True, slots=True)
class Immediate:
    """The end of the backup itself: the earliest consistent moment."""

    def __str__(self) -> str:
        return "the end of the backup"


@dataclass(frozen=True, slots=True)
class AtTime:
    """A moment in UTC; ``inclusive`` keeps transactions that committed exactly then."""

    time: datetime
    inclusive: bool = True

    def __str__(self) -> str:
        return f"{self.time:%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".") + " UTC"


@dataclass(frozen=True, slots=True)
class AtLsn:
    """A WAL position; ``inclusive`` keeps the record that ends there."""

    lsn: Lsn
    inclusive: bool = True

    def __str__(self) -> str:
        return f"LSN {self.lsn}"


@dataclass(frozen=True, slots=True)
class AtXid:
    """The commit or abort of one transaction; ``inclusive`` keeps its effects."""

    xid: int
    inclusive: bool = True

    def __str__(self) -> str:
        return f"transaction {self.xid}"


@dataclass(frozen=True, slots=True)
class AtName:
    """A point made by ``pg_create_restore_point``."""

    name: str

    def __str__(self) -> str:
        return f"restore point {self.name!r}"


Moment = Latest | Immediate | AtTime | AtLsn | AtXid | AtName


def parse_time(text: str, timezone: str) -> datetime:
    """Read a time with or without an offset; without one it is in ``timezone``.

    Raises:
        TargetInvalid: not a time; or a local time that the zone skips or has twice (daylight saving).
    """
    cleaned = _UTC_NAME.sub("+00:00", text.strip())
    cleaned = _SHORT_OFFSET.sub(r"\1\2:00", cleaned)
    try:
        moment = datetime.fromisoformat(cleaned)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise TargetInvalid(
            f"{text!r} is not a time",
            hint='write it like "2026-11-25 10:41:07+00" (with the offset) or "2026-11-25 10:41:07"',
        ) from error
    if not _FIRST_YEAR < moment.year < _LAST_YEAR:
        raise TargetInvalid(f"{text!r} is no time of any backup", hint="check the year")
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise TargetInvalid(
            f"unknown time zone {timezone!r}", hint="write the time with an offset"
        ) from error
    early, late = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        exists = early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
        what = "happened twice" if exists else "did not exist"
        raise TargetInvalid(
            f"{text!r} {what} in {timezone} (the clocks were changed)",
            hint=f'write the offset: "{early.isoformat(sep=" ")}" or "{late.isoformat(sep=" ")}"',
        )
    return early.astimezone(UTC)


def recovery_settings(moment: Moment) -> dict[str, str]:
    """Return the ``recovery_target*`` settings that PostgreSQL needs for ``moment``.

    ``Latest`` needs none: recovery then ends with the WAL.
    """
    match moment:
        case Latest():
            return {}
        case Immediate():
            return {"recovery_target": "immediate"}
        case AtTime(time=time, inclusive=inclusive):
            stamp = time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
            return {"recovery_target_time": stamp, "recovery_target_inclusive": _flag(inclusive)}
        case AtLsn(lsn=lsn, inclusive=inclusive):
            return {"recovery_target_lsn": str(lsn), "recovery_target_inclusive": _flag(inclusive)}
        case AtXid(xid=xid, inclusive=inclusive):
            return {"recovery_target_xid": str(xid), "recovery_target_inclusive": _flag(inclusive)}
        case AtName(name=name):
            return {"recovery_target_name": name}


def _flag(value: bool) -> str:
    return "on" if value else "off"


CLOCK_DOUBT = timedelta(seconds=2)
"""A time target this close to a backup's end is served from the backup before: commit times come from
the server's clock and may run backwards a little between sessions and after a correction."""
