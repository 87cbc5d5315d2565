"""The JSON Schema and the reference say what the validator does, since all three read one definition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor

from seawall.plan.definition.fields import PLAN
from seawall.plan.definition.reference import reference_text
from seawall.plan.definition.schema import json_schema
from seawall.plan.definition.sections import Field, Kind, ListOf, MapOf, Section
from seawall.plan.load import diagnose

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "plans"
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "null": type(None),
}
KNOWN_WORDS = {
    "$schema", "title", "type", "description", "properties", "required", "additionalProperties", "items", "minItems",
    "minProperties", "propertyNames", "pattern", "enum", "const", "minimum", "maximum", "minLength",
}  # fmt: skip


def faults(value: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Check ``value`` by the part of JSON Schema that the plan's schema uses."""
    assert set(schema) <= KNOWN_WORDS, f"teach this test {set(schema) - KNOWN_WORDS}"
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(
        isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
        for name in types
    ):
        yield f"{where}: not of type {types}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{where}: not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: not one of {schema['enum']}"
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value) or len(value) < schema.get("minLength", 0):
            yield f"{where}: {value!r} does not match {schema.get('pattern')}"
    elif isinstance(value, dict):
        yield from faults_of_object(value, schema, where)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{where}: too few"
        for index, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), f"{where}[{index}]")
    elif isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where}: out of range"


def faults_of_object(value: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    yield from (f"{where}: lacks {name}" for name in schema.get("required", []) if name not in value)
    if len(value) < schema.get("minProperties", 0):
        yield f"{where}: too few"
    for name, inner in value.items():
        if name in properties:
            yield from faults(inner, properties[name], f"{where}.{name}")
        elif others is False:
            yield f"{where}: unknown {name}"
        else:
            if not re.search(schema["propertyNames"]["pattern"], str(name)):
                yield f"{where}: bad name {name}"
            yield from faults(inner, others, f"{where}.{name}")


class _CoreConstructor(SafeConstructor):
    """YAML 1.2's core schema has no dates: editors hand them to a JSON Schema as the text that they are."""


_CoreConstructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def parsed(name: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _CoreConstructor
    return yaml.load((GOLDEN / f"{name}.yaml").read_text())


@pytest.mark.parametrize("name", ["design", "minimal", "everything", "weak-promises"])
def test_what_loads_satisfies_the_schema(name: str) -> None:
    assert list(faults(parsed(name), json_schema())) == []


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("unknown-keys", ".objectives: unknown rop"),
        ("missing-keys", ": lacks version"),
        ("wrong-values", ".clusters.main.backup.jobs: not of type ['integer']"),
        ("wrong-types", ".objectives: not of type ['object']"),
        ("secrets-written-out", ".repositories.far.keys[0]: 'hunter2' does not match"),
    ],
)
def test_what_is_wrong_by_itself_fails_the_schema_too(name: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(parsed(name), json_schema()))


def sections(kind: Kind = PLAN) -> Iterator[Section]:
    if isinstance(kind, ListOf | MapOf):
        yield from sections(kind.item)
    elif isinstance(kind, Section):
        yield kind
        for field in kind.fields:
            yield from sections(field.kind)


def all_fields() -> list[Field]:
    return [field for section in sections() for field in section.fields]


def test_the_reference_is_current() -> None:
    """Write it again by printing ``reference_text()`` into it."""
    assert (ROOT / "docs" / "plan.md").read_text() == reference_text()


def test_the_reference_has_every_key() -> None:
    text = reference_text()

    assert all(f"| `{field.name}` |" in text for field in all_fields())
    assert text.count("**required**") == sum(field.required for field in all_fields())


def test_every_field_fills_an_attribute_of_the_model() -> None:
    for section in sections():
        wanted = set(section.build.__dataclass_fields__)  # type: ignore[attr-defined]
        assert {field.target for field in section.fields} == wanted, section.what


def test_required_keys_have_a_remedy_and_the_others_say_what_happens_without() -> None:
    for field in all_fields():
        assert bool(field.remedy) == field.required, field.name
        assert bool(field.default_text) != field.required, field.name


def test_what_waits_for_machinery_is_shown_and_nothing_else() -> None:
    plan, found = diagnose((GOLDEN / "everything.yaml").read_text(), Path("/p.yaml"))
    declared = [finding for finding in found if finding.code == "not-active"]

    assert plan is not None
    waiting = {id(field): field for field in all_fields() if field.awaits}
    shown = {finding.message.split(" is valid")[0].rsplit(".", 1)[-1] for finding in declared}
    assert shown == {field.name for field in waiting.values()}
