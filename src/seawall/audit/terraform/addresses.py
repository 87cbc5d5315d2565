"""Addresses and references as Terraform writes them: ``module.db["a"].aws_db_instance.primary[0].arn``.

In addresses an index is a number or a quoted key, and a quoted key may hold dots and brackets; so they are cut
into parts by the grammar and never by splitting at dots.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = re.compile(r'\.?([A-Za-z_0-9*-]+)|(\[(?:[^\]"]*|"(?:[^"\\]|\\.)*")\])')
_INDEX = re.compile(r'\[(?:[^\]"]*|"(?:[^"\\]|\\.)*")\]')

HIDDEN_HEADS = frozenset({"local", "each", "count", "self", "path", "terraform", "ephemeral"})
"""What an expression may name whose value the file does not hold."""


@dataclass(frozen=True, slots=True)
class Name:
    """A reference cut up. ``head`` is ``var``, ``local``, ``module``, ``data`` or a resource's type; ``name`` the
    second word (of data: ``type.name``); ``index`` as written; ``path`` what follows, without indexes."""

    head: str
    name: str
    index: str
    path: tuple[str, ...]
    written: str
    steps: tuple[str | int, ...] = ()
    """Index and path together, as keys and numbers to look up one after another."""

    @property
    def key(self) -> str:
        """The resource's key in its module: ``type.name`` or ``data.type.name``."""
        return f"{self.head}.{self.name}"

    @property
    def attribute(self) -> str:
        """The attribute that is taken, "" for the whole object."""
        return self.path[0] if self.path else ""


def parse_reference(text: str) -> Name | None:
    """Return a reference's parts, None where it isn't one."""
    parts = _parts(text)
    words = 3 if parts[:1] == ["data"] else 2
    named = parts[:words]
    if len(named) < words or any(part.startswith("[") for part in named):
        return None
    rest = parts[words:]
    index = rest.pop(0) if rest and rest[0].startswith("[") else ""
    path = tuple(part for part in rest if not part.startswith("["))
    steps = tuple(_step(part) for part in parts[words:])
    return Name(named[0], ".".join(named[1:]), index, path, text, steps)


def _step(part: str) -> str | int:
    if not part.startswith("["):
        return part
    inner = part[1:-1]
    if inner.isascii() and inner.isdigit() and len(inner) < 10:
        return int(inner)
    return inner[1:-1].replace('\\"', '"') if inner.startswith('"') else inner


def longest_references(references: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out every reference that another one continues: Terraform lists ``a.b.arn`` and ``a.b`` for one."""
    return tuple(
        text
        for text in references
        if not any(other != text and other.startswith((f"{text}.", f"{text}[")) for other in references)
    )


def without_indexes(address: str) -> str:
    """Return an address as its configuration has it, without ``count`` and ``for_each``."""
    return _INDEX.sub("", address)


def module_of(address: str) -> str:
    """Return the part of a resource's address that names its module instance, "" for the root's."""
    parts = _parts(address)
    position, module = 0, ""
    while position + 1 < len(parts) and parts[position] == "module":
        module += f"{'.' if module else ''}module.{parts[position + 1]}"
        position += 2
        if position < len(parts) and parts[position].startswith("["):
            module += parts[position]
            position += 1
    return module


def parent_of(module: str) -> tuple[str, str]:
    """Return the address of the module that calls ``module``, and the call's name."""
    steps = module_steps(module)
    if not steps:
        return "", ""
    return ".".join(steps[:-1]), without_indexes(steps[-1]).partition(".")[2]


def module_steps(module: str) -> list[str]:
    """Return ``module.a[0]`` and ``module.b`` of ``module.a[0].module.b``."""
    steps: list[str] = []
    parts = _parts(module)
    for number, part in enumerate(parts):
        if part == "module" and (number == 0 or parts[number - 1] != "module"):
            steps.append("module")
        elif steps:
            steps[-1] += part if part.startswith("[") else f".{part}"
    return steps


def _parts(text: str) -> list[str]:
    return [match.group(1) or match.group(2) for match in _PART.finditer(text)]
