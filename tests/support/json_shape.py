"""The shape of a JSON document: its names and types, without its values."""

from __future__ import annotations

from typing import Any

MAPS = {
    "repositories": "REPOSITORY",
    "created": "REPOSITORY",
    "gaps": "REPOSITORY",
    "failed": "REPOSITORY",
    "corrupt": "PATH",
    "corrupt_relations": "PATH",
    "databases": "DATABASE",
    "not_restorable": "BACKUP",
    "seconds": "PHASE",
    "figures": "FIGURE",
    "measures": "FIGURE",
}
"""Objects whose names are data: what one such name stands for in a shape."""

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def shape(value: Any, name: str = "") -> Any:
    """Return the shape of ``value``; alternatives are joined by ``|``, an empty list or map is empty."""
    if name == "fields":
        return {}  # each error's own facts
    if isinstance(value, dict):
        if name in MAPS:
            merged = merge([shape(item) for item in value.values()])
            return {} if merged is None else {MAPS[name]: merged}
        return {key: shape(item, key) for key, item in value.items()}
    if isinstance(value, list):
        merged = merge([shape(item) for item in value])
        return [] if merged is None else [merged]
    return _TYPES[type(value)]


def merge(shapes: list[Any]) -> Any:
    """Return one shape that all of ``shapes`` fit; None if there are none."""
    merged: Any = None
    for item in shapes:
        merged = item if merged is None else _join(merged, item)
    return merged


def _join(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        names = [*one, *(name for name in other if name not in one)]
        return {name: merge([part[name] for part in (one, other) if name in part]) for name in names}
    if isinstance(one, list) and isinstance(other, list):
        merged = merge([*one, *other])
        return [] if merged is None else [merged]
    if isinstance(one, str) and isinstance(other, str):
        return "|".join(dict.fromkeys([*one.split("|"), *other.split("|")]))
    return other if one == "null" else one
    # A null beside something with parts: the parts are what a reader has to know.


def misfits(found: Any, golden: Any, where: str = "$") -> list[str]:
    """Return where ``found`` is not of the golden shape."""
    if isinstance(found, dict) and isinstance(golden, dict):
        wrong = [f"{where}: {name} is new" for name in found if name not in golden]
        wrong += [
            f"{where}: {name} is gone" for name in golden if name not in found and name not in MAPS.values()
        ]
        shared = [name for name in found if name in golden]
        return wrong + [
            item for name in shared for item in misfits(found[name], golden[name], f"{where}.{name}")
        ]
    if isinstance(found, list) and isinstance(golden, list):
        if found and not golden:
            return [f"{where}: has elements now"]
        return misfits(found[0], golden[0], f"{where}[]") if found else []
    if isinstance(found, str) and isinstance(golden, str):
        new = set(found.split("|")) - set(golden.split("|"))
        return [f"{where}: {', '.join(sorted(new))} instead of {golden}"] if new else []
    return [] if found == "null" else [f"{where}: {found} instead of {golden}"]
