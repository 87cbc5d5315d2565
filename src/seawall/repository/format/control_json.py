"""Plain JSON objects that must be readable before any key is: ``seawall.json`` and the key slots.

There is exactly one way to write given fields (sorted, two spaces, ASCII), and a BLAKE3 checksum is among
them. A reader renders what it parsed and compares, so that any flipped bit is found without a secret.
The checksum guards against accidents, not against people: what must resist people is authenticated besides.
"""

from __future__ import annotations

import json

from blake3 import blake3

from seawall.repository.errors import ControlDamaged

Fields = dict[str, object]
_CHECKSUM = "checksum"
_MAX_BYTES = 64 << 10


def canonical(fields: Fields) -> bytes:
    """Return the one rendering of ``fields``, as ``jq -S .`` prints it."""
    return (json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def render_control(fields: Fields) -> bytes:
    """Return ``fields`` and their checksum as a control object's bytes."""
    return canonical({**fields, _CHECKSUM: blake3(canonical(fields)).hexdigest()})


def parse_control(data: bytes, key: str) -> Fields:
    """Return the fields of a control object, without the checksum.

    Raises:
        ControlDamaged: a single bit differs from what :func:`render_control` made.
    """
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError("too long")
        parsed = json.loads(data.decode("ascii"))
        if not isinstance(parsed, dict):
            raise ValueError("not an object")
        checksum = parsed.pop(_CHECKSUM, None)
        if checksum != blake3(canonical(parsed)).hexdigest() or data != render_control(parsed):
            raise ValueError("the checksum differs")
    except (ValueError, RecursionError) as error:
        raise ControlDamaged(f"{key} is not what was written: {error}", object=key) from None
    return parsed


def text_field(fields: Fields, name: str, key: str) -> str:
    """Return a field that must be text. Raises ControlDamaged."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise ControlDamaged(f"{key} lacks the text {name!r}", object=key)
    return value


def integer_field(fields: Fields, name: str, key: str, *, at_most: int) -> int:
    """Return a field that must be a whole number from 1 to ``at_most``. Raises ControlDamaged."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= at_most:
        raise ControlDamaged(f"{key} has no {name!r} from 1 to {at_most}", object=key)
    return value


def bytes_field(fields: Fields, name: str, key: str, *, length: int | None = None) -> bytes:
    """Return a field of bytes in hexadecimal. Raises ControlDamaged."""
    try:
        value = bytes.fromhex(text_field(fields, name, key))
    except ValueError:
        raise ControlDamaged(f"{key}: {name!r} is not hexadecimal", object=key) from None
    if length is not None and len(value) != length:
        raise ControlDamaged(f"{key}: {name!r} does not have {length} bytes", object=key)
    return value
