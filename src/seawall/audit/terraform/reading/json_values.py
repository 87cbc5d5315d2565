"""Reading JSON that may be anything: every look yields the expected type, or something empty of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from seawall.audit.terraform.model import Unseen

DEEPEST = 60
"""Nested deeper than this is no configuration but an attack on the stack; what is below stays unseen."""

_SECRET_NAME = re.compile(
    r"(?i)pass(word|phrase)|secret_(string|binary|key)|token|private_key|access_key|^result$"
)
"""``result`` is what ``random_password`` made."""


def as_map(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in as_list(value) if isinstance(item, str))


def without_secrets(values: object, sensitive: object, unknown: object, depth: int = 0) -> object:
    """Return ``values`` with Unseen wherever the parallel marks say so.

    Marks are ``true`` for a whole value, or have its shape (``sensitive_values`` and ``after_unknown``,
    JSON Output Format). What is only in the marks appears as well.
    """
    if sensitive is True and values is None and unknown is not True:
        return None  # that nothing is set is no secret
    if sensitive is True or depth > DEEPEST:
        return Unseen.SENSITIVE
    if unknown is True:
        return Unseen.AFTER_APPLY
    if isinstance(values, dict) or (values is None and isinstance(unknown, dict) and unknown):
        seen, hidden, later = as_map(values), as_map(sensitive), as_map(unknown)
        names = [*seen, *(name for name in later if name not in seen)]
        return {
            name: without_secrets(seen.get(name), hidden.get(name), later.get(name), depth + 1)
            for name in names
            if name in seen or later.get(name) is True or isinstance(later.get(name), dict | list)
        }
    if isinstance(values, list):
        hidden_items, later_items = as_list(sensitive), as_list(unknown)
        return [
            without_secrets(item, _at(hidden_items, number), _at(later_items, number), depth + 1)
            for number, item in enumerate(values)
        ]
    return values


def without_secret_names(values: Mapping[str, object]) -> dict[str, object]:
    """Hide text in attributes whose names say that it is secret: old states and raw ones don't mark it."""
    return {
        name: Unseen.SENSITIVE if isinstance(value, str) and is_secret_name(name) else value
        for name, value in values.items()
    }


def is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _at(items: list[object], number: int) -> object:
    return items[number] if number < len(items) else None
