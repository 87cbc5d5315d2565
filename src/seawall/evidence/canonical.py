"""One way to write a JSON document, so that any changed bit of it shows and any language's reader agrees.

UTF-8; names sorted by code point, none twice; two spaces of indentation and one line feed at the end; only what
JSON must escape is escaped. Numbers are whole and below 2**53 in magnitude: the others are written differently
by different languages, or rounded. So durations are milliseconds, and larger numbers are text.
"""

from __future__ import annotations

import json

Document = dict[str, object]

LARGEST_INTEGER = 2**53 - 1
LARGEST_BYTES = 4 << 20


def canonical(document: Document) -> bytes:
    """Return the one rendering of ``document``. Raises ValueError for what has none."""
    _require_portable(document)
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def parse_canonical(data: bytes) -> Document:
    """Return the document that renders as ``data``. Raises ValueError if a single bit is not as written."""
    if len(data) > LARGEST_BYTES:
        raise ValueError("it is too long")
    try:
        parsed = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError("it is no JSON object")
    if canonical(parsed) != data:
        raise ValueError("it is not written in the one way that counts")
    return parsed


def _require_portable(value: object) -> None:
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise ValueError(
                f"{value} is too large for a number that every reader holds exactly: write it as text"
            )
    elif isinstance(value, list):
        for item in value:
            _require_portable(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise ValueError(f"{name!r} is no name")
            _require_portable(item)
    else:
        raise ValueError(f"a {type(value).__name__} has no exact form: {value!r}")
