"""A raw ``terraform.tfstate`` of version 4, as lies in buckets and on laptops (internal format, stable since 0.12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seawall.audit.terraform.model import FileKind, Resource, Stack, Unseen
from seawall.audit.terraform.reading.json_values import as_list, as_map, as_text, without_secret_names


def read_tfstate(document: Mapping[str, object], source: str) -> Stack:
    """Return the stack that a raw state describes."""
    resources = [
        resource
        for item in map(as_map, as_list(document.get("resources")))
        if as_text(item.get("type")) and as_text(item.get("name"))
        for resource in _instances(item)
    ]
    return Stack(source, FileKind.STATE, as_text(document.get("terraform_version")), tuple(resources))


def _instances(item: Mapping[str, object]) -> Iterator[Resource]:
    module, is_data = as_text(item.get("module")), item.get("mode") == "data"
    kind, name = as_text(item.get("type")), as_text(item.get("name"))
    key = f"{'data.' if is_data else ''}{kind}.{name}"
    for instance in map(as_map, as_list(item.get("instances"))):
        if "deposed" in instance:
            continue
        address = f"{module}.{key}" if module else key
        yield Resource(
            address + _index(instance.get("index_key")),
            module,
            is_data,
            kind,
            name,
            _values(instance),
            provider_key=as_text(item.get("provider")),
        )


def _index(key: object) -> str:
    if isinstance(key, bool) or key is None:
        return ""
    if isinstance(key, int):
        return f"[{key}]"
    escaped = str(key).replace("\\", "\\\\").replace('"', '\\"')
    return f'["{escaped}"]'


def _values(instance: Mapping[str, object]) -> dict[str, object]:
    """Return the attributes; one of which any part is sensitive is hidden as a whole."""
    values = without_secret_names(as_map(instance.get("attributes")))
    for path in map(as_list, as_list(instance.get("sensitive_attributes"))):
        first = as_map(path[0]) if path else {}
        attribute = first.get("value")
        if isinstance(attribute, str) and attribute in values:
            values[attribute] = Unseen.SENSITIVE
    return values
