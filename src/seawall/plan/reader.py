"""Nodes against the definition: checked values with their places, every mistake reported.

A wrong value is left out and reading goes on, so one run finds all mistakes. What depends on several values
is :mod:`seawall.plan.crosscheck.rules`'s.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from seawall.plan.definition.kinds import NAME, yaml_guesses
from seawall.plan.definition.sections import (
    WHEN_EMPTY,
    Field,
    Kind,
    ListOf,
    MapOf,
    Rejected,
    ScalarKind,
    Section,
)
from seawall.plan.diagnostics import START, Findings, Place
from seawall.plan.yaml_nodes import Entry, MappingNode, Node, Scalar, SequenceNode, Unusable

Steps = tuple[str | int, ...]
"""The keys and positions that lead from the top to a value."""


@dataclass(slots=True)
class Tree:
    """What was read: ``values`` has only what is valid; a section or map is a dict, a list a list."""

    values: dict[str, object] = field(default_factory=dict)
    places: dict[Steps, Place] = field(default_factory=dict)
    written: dict[Steps, int] = field(default_factory=dict)
    """How many items a list or map has in the file, the invalid ones included."""

    def at(self, *steps: str | int) -> object:
        """Return the value at ``steps``, None where it is missing or was not valid."""
        value: object = self.values
        for step in steps:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def place(self, *steps: str | int) -> Place:
        """Return where the value at ``steps`` is, or where the nearest thing around it is."""
        while steps and steps not in self.places:
            steps = steps[:-1]
        return self.places.get(steps, START)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` was probably meant to be."""
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


class Reader:
    """Reads one document; findings go to ``findings``, values and places to :attr:`tree`."""

    def __init__(self, findings: Findings) -> None:
        self.tree = Tree()
        self._findings = findings
        self._references: list[tuple[str, str, Place]] = []
        self._named: dict[str, dict[str, Place]] = {}

    def read(self, root: Node, definition: Section) -> Tree:
        """Read the whole document, then look up every name that refers to another part of it."""
        values = self._section(root, definition, ())
        self.tree.values = values if values is not None else {}
        for section, name, place in self._references:
            self._look_up(section, name, place)
        return self.tree

    def _value(self, node: Node, kind: Kind, steps: Steps) -> object:
        """Return the value of ``kind`` at ``node``, or None after reporting what is wrong."""
        if isinstance(kind, ScalarKind):
            return self._scalar(node, kind)
        if isinstance(kind, Section):
            return self._section(node, kind, steps)
        if isinstance(kind, ListOf):
            return self._list(node, kind, steps)
        return self._map(node, kind, steps)

    def _scalar(self, node: Node, kind: ScalarKind) -> object:
        if isinstance(node, Unusable):
            return None
        if not isinstance(node, Scalar):
            found = "a list" if isinstance(node, SequenceNode) else "a section"
            self._wrong_type(
                node.place, f"{kind.what} is expected here, not {found}", f"for instance {kind.example}"
            )
            return None
        if node.is_null:
            self._wrong_type(
                node.place, "the value is missing", f"write {kind.what}, for instance {kind.example}"
            )
            return None
        if kind.is_text and node.is_plain and yaml_guesses(node.text):
            self._findings.error(
                node.place,
                "quotes-missing",
                f"YAML readers take {node.text} for a number, a date or true/false",
                f'put it in quotes: "{node.text}"',
            )
            return None
        try:
            value = kind.parse(node.text)
        except Rejected as rejected:
            self._findings.error(node.place, rejected.code, rejected.message, rejected.remedy)
            return None
        if kind.refers_to:
            self._references.append((kind.refers_to, node.text, node.place))
        return value

    def _section(self, node: Node, section: Section, steps: Steps) -> dict[str, object] | None:
        mapping = self._expect_mapping(node, section.what, section.fields[0].name)
        if mapping is None:
            return None
        values: dict[str, object] = {}
        seen = {entry.key.text for entry in mapping.entries}
        for entry in mapping.entries:
            defined = section.field_named(entry.key.text)
            if defined is None:
                self._unknown_key(entry.key, section, seen)
                continue
            self._field(entry, defined, (*steps, defined.name), values)
        for defined in section.fields:
            if defined.required and defined.name not in seen:
                self._findings.error(
                    self._place_of_section(mapping, steps),
                    "key-missing",
                    f"{_title(steps)} lacks {defined.name}",
                    defined.remedy,
                )
        return values

    def _field(self, entry: Entry, defined: Field, steps: Steps, values: dict[str, object]) -> None:
        self.tree.places[steps] = entry.key.place
        value = self._value(entry.value, defined.kind, steps)
        if isinstance(defined.kind, ScalarKind):
            self.tree.places[steps] = entry.value.place
        if value is None:
            return
        values[defined.name] = value
        if defined.awaits and value not in ({}, []):
            self._findings.declared(
                entry.key.place,
                "not-active",
                f"{_title(steps)} is valid, but nothing acts on it: it waits for {defined.awaits}",
                "don't rely on it yet; remove it to make this check pass",
            )

    def _list(self, node: Node, kind: ListOf, steps: Steps) -> list[object] | None:
        if isinstance(node, Unusable):
            return None
        if not isinstance(node, SequenceNode):
            written = node.text if isinstance(node, Scalar) and node.text else "…"
            self._wrong_type(node.place, "a list is expected here", f"write [{written}]")
            return None
        values: list[object] = []
        self.tree.written[steps] = len(node.items)
        for item in node.items:
            inner: Steps = (*steps, len(values))
            self.tree.places[inner] = item.place
            value = self._value(item, kind.item, inner)
            if value is not None:
                values.append(value)
        if len(node.items) < kind.least:
            self._wrong_type(node.place, "the list is empty", "write at least one, or remove the key")
            return None
        return values

    def _map(self, node: Node, kind: MapOf, steps: Steps) -> dict[str, object] | None:
        mapping = self._expect_mapping(node, f"each {kind.noun} under its name", "name")
        if mapping is None:
            return None
        values: dict[str, object] = {}
        self.tree.written[steps] = len(mapping.entries)
        names = self._named.setdefault(_collection(steps), {})
        for entry in mapping.entries:
            inner: Steps = (*steps, entry.key.text)
            self.tree.places[inner] = entry.key.place
            is_name = self._scalar(entry.key, NAME) is not None
            # A bad name is reported once; what refers to it is not wrong as well.
            names.setdefault(entry.key.text, entry.key.place)
            empty = isinstance(entry.value, Scalar) and entry.value.is_null
            value = self._value(MappingNode(entry.key.place) if empty else entry.value, kind.item, inner)
            if value is not None and is_name:
                values[entry.key.text] = value
        if len(mapping.entries) < kind.least:
            self._wrong_type(mapping.place, f"there is no {kind.noun}", f"define at least one {kind.noun}")
        return values

    def _expect_mapping(self, node: Node, what: str, example: str) -> MappingNode | None:
        if isinstance(node, MappingNode):
            return node
        if not isinstance(node, Unusable):
            self._wrong_type(node.place, f"a section is expected here: {what}", f"write {{{example}: …}}")
        return None

    def _wrong_type(self, place: Place, message: str, remedy: str) -> None:
        self._findings.error(place, "type-wrong", message, remedy)

    def _unknown_key(self, key: Scalar, section: Section, seen: set[str]) -> None:
        free = [known.name for known in section.fields if known.name not in seen]
        close = nearest(key.text, free)
        remedy = (
            f"did you mean {close}?"
            if close
            else "known here: " + ", ".join(known.name for known in section.fields)
        )
        shown = key.text if len(key.text) <= 40 else key.text[:37] + "..."
        self._findings.error(key.place, "key-unknown", f"unknown key {shown!r}", remedy)

    def _look_up(self, section: str, name: str, place: Place) -> None:
        known = self._named.get(section, {})
        if name in known:
            return
        close = nearest(name, known)
        if close:
            remedy = f"did you mean {close}?"
        elif known:
            remedy = f"known {section}: {', '.join(known)}"
        else:
            remedy = f"define it under {'sites: …: hosts' if section == 'hosts' else section}"
        self._findings.error(place, "reference-unknown", f"{name!r} is not one of the {section}", remedy)

    def _place_of_section(self, mapping: MappingNode, steps: Steps) -> Place:
        return self.tree.places.get(steps, mapping.place) if steps else mapping.place


def _collection(steps: Steps) -> str:
    """Return what names of a map at ``steps`` are called by references: ``hosts`` are one namespace."""
    return str(steps[-1])


def _title(steps: Steps) -> str:
    """Show a way through the plan as people write it: ``clusters.main.wal.stream``."""
    return ".".join(str(step + 1) if isinstance(step, int) else step for step in steps) or "the plan"


def build(kind: Kind, value: object) -> object:
    """Turn a valid tree into the model's classes, defaults filled in."""
    if isinstance(kind, Section) and isinstance(value, dict):
        return kind.build(**{defined.target: _built_field(defined, value) for defined in kind.fields})
    if isinstance(kind, ListOf) and isinstance(value, list):
        return tuple(build(kind.item, item) for item in value)
    if isinstance(kind, MapOf) and isinstance(value, dict):
        return MappingProxyType({name: build(kind.item, item) for name, item in value.items()})
    return value


def _built_field(defined: Field, values: Mapping[str, object]) -> object:
    if defined.name in values:
        return build(defined.kind, values[defined.name])
    if defined.default_from is not None:
        return defined.default_from()
    if isinstance(defined.kind, ListOf):
        return ()
    if isinstance(defined.kind, MapOf) or defined.default is WHEN_EMPTY:
        return build(defined.kind, {})
    return defined.default
