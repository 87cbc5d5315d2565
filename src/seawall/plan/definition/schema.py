"""The plan's JSON Schema (2020-12), for editors: generated from the definition that validates.

It can say less than the validator (no references between names, no cross-checks), never more: what loads
without errors also satisfies the schema.
"""

from __future__ import annotations

from seawall.plan.definition.fields import PLAN
from seawall.plan.definition.sections import (
    NAME_PATTERN,
    Field,
    JsonSchema,
    Kind,
    ListOf,
    MapOf,
    ScalarKind,
    Section,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> JsonSchema:
    """Return the schema of a whole plan."""
    return {"$schema": DIALECT, "title": "Seawall plan", **_schema_of(PLAN)}


def _schema_of(kind: Kind) -> JsonSchema:
    if isinstance(kind, ScalarKind):
        return dict(kind.schema)
    if isinstance(kind, Section):
        return {
            "type": "object",
            "description": f"{kind.what[0].upper()}{kind.what[1:]}.",
            "properties": {field.name: _schema_of_field(field) for field in kind.fields},
            "required": [field.name for field in kind.fields if field.required],
            "additionalProperties": False,
        }
    if isinstance(kind, ListOf):
        return {"type": "array", "items": _schema_of(kind.item), "minItems": kind.least}
    return _schema_of_map(kind)


def _schema_of_map(kind: MapOf) -> JsonSchema:
    item = _schema_of(kind.item)
    if isinstance(kind.item, Section) and not any(field.required for field in kind.item.fields):
        item["type"] = ["object", "null"]  # `there:` alone is a site without keys
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
        "additionalProperties": item,
        "minProperties": kind.least,
    }


def _schema_of_field(field: Field) -> JsonSchema:
    schema = _schema_of(field.kind)
    notes = [field.help]
    if field.default_text:
        notes.append(f"Without it: {field.default_text}.")
    if field.awaits:
        notes.append(f"DECLARED, NOT ACTIVE: waits for {field.awaits}.")
    return schema | {"description": " ".join(notes)}
