"""Small JSON records inside sealed control objects: terms, leases, the meta of a WAL object.

JSON since a stranger can read it and ``json`` is imported for ``seawall.json`` anyway. The frame around a
record is authenticated, so what is checked here guards against other versions and bugs, not against damage.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from seawall.repository.errors import ControlDamaged
from seawall.repository.format.control_json import Fields, text_field


def encode_record(fields: Fields) -> bytes:
    """Return ``fields`` as compact ASCII JSON with sorted names."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def decode_record(data: bytes, key: str) -> Fields:
    """Return the fields of a record. Raises ControlDamaged if it is no JSON object."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ControlDamaged(f"{key} holds no JSON record: {error}", object=key) from None
    if not isinstance(fields, dict):
        raise ControlDamaged(f"{key} holds no JSON record", object=key)
    return fields


def count_field(fields: Fields, name: str, key: str) -> int:
    """Return a whole number from 0. Raises ControlDamaged."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ControlDamaged(f"{key} has no count {name!r}", object=key)
    return value


def decimal_field(fields: Fields, name: str, key: str) -> int:
    """Return a number kept as decimal text, since JSON readers elsewhere lose bits above 2**53."""
    text = text_field(fields, name, key)
    if not text.isascii() or not text.isdigit():
        raise ControlDamaged(f"{key}: {name!r} is not a number", object=key)
    return int(text)


def time_field(fields: Fields, name: str, key: str) -> datetime:
    """Return an aware UTC time. Raises ControlDamaged."""
    try:
        return datetime.fromisoformat(text_field(fields, name, key)).astimezone(UTC)
    except ValueError:
        raise ControlDamaged(f"{key}: {name!r} is not a time", object=key) from None


def render_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
