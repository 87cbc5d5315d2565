"""``docs/plan.md``: every key of a plan, generated from the definition that validates. A test compares them."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.plan.definition.fields import PLAN
from seawall.plan.definition.sections import Field, Kind, ListOf, MapOf, ScalarKind, Section

_HEAD = """\
# The plan file

Generated from the definition of the fields in `seawall.plan.definition.fields`; the same definition validates plans and
makes the JSON Schema (`seawall plan schema`).

A plan is YAML in UTF-8, read from `--plan FILE`, else `SEAWALL_PLAN`, else `./plan.yaml`, else
`/etc/seawall/plan.yaml`. Paths in it are absolute, since `archive_command` runs in the data directory. It holds
plain values only: no anchors, tags, or second documents, and no key twice. Names that you choose have up to 63
of `a-z 0-9 - _` and begin with a letter or digit, because they become object keys.

* **Durations** have units: `500ms`, `30s`, `15m`, `1h30m`, `35d`, `2w`.
* **Rates** are sizes per second: `50MiB/s`, `100MB/s`.
* **Schedules** are cron expressions of five fields, in quotes, in the plan's `timezone`.
* **Secrets** are references, never values: `env:NAME` (an environment variable), `file:/abs/path` (a file that
  other users may not read), `command:…` (a program that prints the secret within 20 seconds).

A key marked **not active** is checked, but nothing acts on it yet: `seawall check` shows it as DECLARED, NOT
ACTIVE and fails, and it never counts towards the RPO.
"""


def reference_text() -> str:
    """Return the whole content of ``docs/plan.md``."""
    return "\n".join([_HEAD, *_section_lines(PLAN, "The top level", 2)])


def _section_lines(section: Section, title: str, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {title}"
    yield ""
    yield f"{section.what[0].upper()}{section.what[1:]}."
    yield ""
    yield "| key | value | meaning | without it |"
    yield "| --- | --- | --- | --- |"
    for field in section.fields:
        yield _row(field)
    yield ""
    for field in section.fields:
        inner = _inner_section(field.kind)
        if inner is not None:
            prefix = "" if section is PLAN else title.strip("`") + "."
            yield from _section_lines(inner, f"`{prefix}{field.name}{_steps(field.kind)}`", min(depth + 1, 4))


def _row(field: Field) -> str:
    without = "**required**" if field.required else field.default_text
    meaning = field.help + (f" **Not active**: waits for {field.awaits}." if field.awaits else "")
    cells = (f"`{field.name}`", _value_text(field.kind), meaning, without)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _value_text(kind: Kind) -> str:
    if isinstance(kind, ScalarKind):
        return f"{kind.what}, like `{kind.example}`" if kind.example not in kind.what else f"`{kind.what}`"
    if isinstance(kind, ListOf):
        return "a list: " + _value_text(kind.item)
    if isinstance(kind, MapOf):
        return f"each {kind.noun} under its name"
    return kind.what


def _inner_section(kind: Kind) -> Section | None:
    if isinstance(kind, ListOf | MapOf):
        return _inner_section(kind.item)
    return kind if isinstance(kind, Section) else None


def _steps(kind: Kind) -> str:
    if isinstance(kind, MapOf):
        return ".NAME" + _steps(kind.item)
    return "[]" if isinstance(kind, ListOf) else ""
