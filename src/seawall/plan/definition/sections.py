"""The vocabulary in which the plan's fields are defined, once, for every use.

A :class:`Field` has a name, a kind and a sentence of help. A kind reads a value, describes itself to a JSON
Schema and to a person. :mod:`~seawall.plan.definition.kinds` has the scalar
ones, :mod:`~seawall.plan.definition.fields` the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

JsonSchema: TypeAlias = dict[str, object]

WHEN_EMPTY = object()
"""Default of a section that is built as if it were there without any key."""


class Rejected(ValueError):
    """A value that its kind can't take: what is wrong (never quoting a secret) and what to write."""

    def __init__(self, message: str, remedy: str, *, code: str = "value-invalid") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code


@dataclass(frozen=True, slots=True)
class ScalarKind:
    """One value. ``parse`` returns what the model holds or raises :class:`Rejected`."""

    what: str
    """For sentences: "a duration"."""
    parse: Callable[[str], object]
    schema: Mapping[str, object]
    example: str
    is_text: bool = True
    """Text that YAML itself would take for a number or a boolean must be quoted."""
    refers_to: str = ""
    """The top-level section (or ``hosts``) in which the value must be a name."""


@dataclass(frozen=True, slots=True)
class Section:
    """Keys with meanings of their own, built into ``build`` (a dataclass of the model)."""

    what: str
    build: Callable[..., object]
    fields: tuple[Field, ...]

    def field_named(self, name: str) -> Field | None:
        return next((entry for entry in self.fields if entry.name == name), None)


@dataclass(frozen=True, slots=True)
class ListOf:
    """Several values of one kind."""

    item: Kind
    least: int = 0


@dataclass(frozen=True, slots=True)
class MapOf:
    """Values of one kind under names that the user picks."""

    noun: str
    item: Kind
    least: int = 0


Kind: TypeAlias = ScalarKind | Section | ListOf | MapOf


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a section. ``attribute`` is its name in the model where that differs (units last)."""

    name: str
    kind: Kind
    help: str
    required: bool = False
    default: object = None
    default_from: Callable[[], object] | None = None
    default_text: str = ""
    """What happens without the key, for people."""
    attribute: str = ""
    remedy: str = ""
    """What to write when the key is missing; only for required ones."""
    awaits: str = ""
    """What is not built yet: set, the key is valid, shown as DECLARED, NOT ACTIVE, and acts on nothing."""

    @property
    def target(self) -> str:
        return self.attribute or self.name


NAME_PATTERN = "[a-z0-9][a-z0-9_-]{0,62}"
"""Names become object keys and file names."""
