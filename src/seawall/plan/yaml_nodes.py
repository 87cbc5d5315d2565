"""YAML text as nodes that know their places, and nothing that YAML adds to plain data.

Built from events, so that no constructor guesses types (``on``, ``1:30``, ``012``), nesting can't exhaust the
stack, and an anchor is a finding instead of a second place for the same value. A plan that uses
anchors, tags or merge keys reads differently to people and to programs; here it must be written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from seawall.plan.diagnostics import START, Findings, Place

DEEPEST = 16
_SYNTAX_REMEDY = "check the indentation, the colons and the quotes here and in the line above"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as written; ``is_plain`` if without quotes, when YAML readers guess its type."""

    text: str
    is_plain: bool
    place: Place

    @property
    def is_null(self) -> bool:
        return self.is_plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``key: value``."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class MappingNode:
    """Entries in file order, no key twice."""

    place: Place
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """Items in file order."""

    place: Place
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands where something was reported already, so that nobody reports it again."""

    place: Place


Node: TypeAlias = Scalar | MappingNode | SequenceNode | Unusable


def read_nodes(text: str, findings: Findings) -> Node | None:
    """Return the document's root, or None with the syntax error (or emptiness) among ``findings``."""
    try:
        return _Composer(findings).compose(YAML(typ="safe", pure=True).parse(text))
    except ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        findings.error(
            place,
            "character-invalid",
            "a control character that no YAML file may hold",
            "delete it; most editors can show invisible characters",
        )
    except MarkedYAMLError as error:
        message, remedy = _explain(error)
        findings.error(_marked(error), "yaml-syntax", message, remedy)
    except (YAMLError, ValueError, IndexError, OverflowError) as error:
        # The scanner answers some escapes and directives with the error of the conversion that failed.
        findings.error(START, "yaml-syntax", f"this is not YAML: {_one_line(str(error))}", _SYNTAX_REMEDY)
    return None


def _marked(error: MarkedYAMLError) -> Place:
    mark = error.problem_mark or error.context_mark
    return Place(mark.line + 1, mark.column + 1) if isinstance(mark, StringMark) else START


def _explain(error: MarkedYAMLError) -> tuple[str, str]:
    problem = _one_line(str(error.problem or "this is not YAML"))
    if "'\\t'" in problem:
        return "a tab where YAML allows only spaces", "indent with spaces; set your editor to expand tabs"
    if "mapping values are not allowed" in problem:
        return "a second colon in one line", "put the value in quotes, or begin a new line"
    if "'@'" in problem or "'`'" in problem or "'%'" in problem:
        return f"the YAML can't be read: {problem}", "put the value in quotes"
    return f"the YAML can't be read: {problem}", _SYNTAX_REMEDY


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:200]


class _Composer:
    """Turns events into nodes with a stack of its own; open collections wait on it, innermost last."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._open: list[MappingNode | SequenceNode] = []
        self._keys: list[Scalar | Unusable | None] = []
        self._seen: list[dict[str, Place]] = []
        self._root: Node | None = None

    def compose(self, events: Iterator[Event]) -> Node | None:
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._findings.error(
                        _place(event),
                        "several-documents",
                        "a second YAML document begins here",
                        "one file holds one plan: remove the line ---, or use another file",
                    )
                    break
            elif isinstance(event, NodeEvent):
                if len(self._open) >= DEEPEST:
                    # Reading on would also cost time that grows with the square of the depth.
                    self._refuse_depth(_place(event))
                    return None
                self._begin(event)
            elif isinstance(event, CollectionEndEvent):
                self._end()
        return self._root

    def _begin(self, event: NodeEvent) -> None:
        place = _place(event)
        node: Node
        self._refuse_extras(event, place)
        if isinstance(event, ScalarEvent):
            node = Scalar(event.value, event.style is None or event.style == "", place)
        elif isinstance(event, MappingStartEvent):
            node = MappingNode(place)
        elif isinstance(event, SequenceStartEvent):
            node = SequenceNode(place)
        else:
            node = Unusable(place)
        self._place_in_parent(node)
        if isinstance(node, MappingNode | SequenceNode):
            self._open.append(node)
            self._keys.append(None)
            self._seen.append({})

    def _end(self) -> None:
        self._open.pop()
        self._keys.pop()
        self._seen.pop()

    def _place_in_parent(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if isinstance(parent, SequenceNode):
            parent.items.append(node)
            return
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = self._as_key(node)
            return
        self._keys[-1] = None
        if isinstance(key, Scalar):
            parent.entries.append(Entry(key, node))

    def _as_key(self, node: Node) -> Scalar | Unusable:
        if isinstance(node, Unusable):
            return node
        if not isinstance(node, Scalar):
            self._findings.error(
                node.place,
                "key-not-text",
                "a list or a section stands where a key belongs",
                "write key: value; put text that begins with [ or { in quotes",
            )
            return Unusable(node.place)
        first = self._seen[-1].setdefault(node.text, node.place)
        if first is not node.place:
            self._findings.error(
                node.place,
                "key-twice",
                f"{node.text!r} is here a second time",
                f"keep one of the two; the first is in line {first.line}",
            )
            return Unusable(node.place)
        return node

    def _refuse_extras(self, event: NodeEvent, place: Place) -> None:
        if isinstance(event, AliasEvent):
            self._findings.error(
                place,
                "anchor",
                f"an alias (*{event.anchor}): plans have no anchors",
                "write the value out where it is used",
            )
        elif event.anchor:
            self._findings.error(
                place, "anchor", f"an anchor (&{event.anchor}): plans have no anchors", "remove it"
            )
        if getattr(event, "tag", None) not in (None, "", "!"):
            self._findings.error(
                place, "tag", "a YAML tag: plans have plain values only", "remove the word with the !"
            )

    def _refuse_depth(self, place: Place) -> None:
        self._findings.error(
            place,
            "too-deep",
            f"nested more than {DEEPEST} levels deep",
            "no plan needs that: check the indentation and the brackets",
        )


def _place(event: Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)
