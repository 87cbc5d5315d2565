"""What ``terraform show -json`` prints, of a plan and of a state (JSON Output Format, versions 0.1 to 1.x).

A plan's resources are those of ``planned_values``, with ``after_unknown`` of their change telling what the values
leave out; data sources that were read while planning stand in ``prior_state`` instead. OpenTofu prints the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seawall.audit.terraform.addresses import module_of
from seawall.audit.terraform.model import Change, FileKind, Module, Resource, Stack, Unseen
from seawall.audit.terraform.reading.configuration import (
    forget_resources,
    read_module,
    read_providers,
    read_variables,
    without_hidden_constants,
)
from seawall.audit.terraform.reading.json_values import (
    DEEPEST,
    as_list,
    as_map,
    as_text,
    texts,
    without_secret_names,
    without_secrets,
)


def read_plan(document: Mapping[str, object], source: str) -> Stack:
    """Return the stack that applying a plan leads to."""
    configuration = as_map(document.get("configuration"))
    root = read_module(configuration.get("root_module")) if configuration else None
    changes = _changes(document.get("resource_changes"))
    unknown = {
        as_text(item.get("address")): as_map(item.get("change")).get("after_unknown")
        for item in map(as_map, as_list(document.get("resource_changes")))
        if "deposed" not in item
    }
    planned = [
        _resource(item, root, changes, unknown.get(as_text(item.get("address"))))
        for item in _walk(as_map(document.get("planned_values")).get("root_module"))
    ]
    known = {resource.address for resource in planned}
    prior_values = as_map(as_map(document.get("prior_state")).get("values"))
    prior = [_resource(item, root, changes, None) for item in _walk(prior_values.get("root_module"))]
    gone = [
        _gone(item, root, changes)
        for item in map(as_map, as_list(document.get("resource_changes")))
        if _is_deleted(item)
    ]
    variables = read_variables(document.get("variables"), root) if root else {}
    if root is not None:
        forget_resources(root)
    return Stack(
        source,
        FileKind.PLAN,
        as_text(document.get("terraform_version")),
        (*planned, *(item for item in prior if item.is_data and item.address not in known)),
        tuple(gone),
        read_providers(configuration.get("provider_config")),
        root,
        variables,
    )


def read_state(document: Mapping[str, object], source: str) -> Stack:
    """Return the stack that a state describes. It knows neither configuration nor the providers' regions."""
    values = as_map(document.get("values"))
    resources = [_resource(item, None, {}, None) for item in _walk(values.get("root_module"))]
    return Stack(source, FileKind.STATE, as_text(document.get("terraform_version")), tuple(resources))


def _walk(module: object, depth: int = 0) -> Iterator[Mapping[str, object]]:
    found = as_map(module)
    for item in as_list(found.get("resources")):
        resource = as_map(item)
        if as_text(resource.get("type")) and as_text(resource.get("name")):
            yield resource
    if depth <= DEEPEST:
        for child in as_list(found.get("child_modules")):
            yield from _walk(child, depth + 1)


def _resource(
    item: Mapping[str, object], root: Module | None, changes: Mapping[str, Change], unknown: object
) -> Resource:
    is_data, kind, name = item.get("mode") == "data", as_text(item.get("type")), as_text(item.get("name"))
    key = f"{'data.' if is_data else ''}{kind}.{name}"
    address = as_text(item.get("address")) or key
    module = module_of(address)
    home = Stack("", FileKind.PLAN, "", (), root=root).module_at(module)
    configured = home.resources.get(key) if home else None
    values = without_secret_names(
        as_map(without_secrets(item.get("values"), item.get("sensitive_values"), unknown))
    )
    return Resource(
        address,
        module,
        is_data,
        kind,
        name,
        values,
        without_hidden_constants(configured.arguments, values) if configured else None,
        configured.provider_key if configured else "",
        changes.get(address),
    )


def _is_deleted(item: Mapping[str, object]) -> bool:
    actions = texts(as_map(item.get("change")).get("actions"))
    return actions == ("delete",) and "deposed" not in item and item.get("mode") != "data"


def _gone(item: Mapping[str, object], root: Module | None, changes: Mapping[str, Change]) -> Resource:
    """Return a resource that is destroyed for good, as it was."""
    change = as_map(item.get("change"))
    was = {**item, "values": change.get("before"), "sensitive_values": change.get("before_sensitive")}
    return _resource(was, root, changes, None)


def _changes(document: object) -> dict[str, Change]:
    changes = {}
    for item in map(as_map, as_list(document)):
        if "deposed" in item:
            continue
        change = as_map(item.get("change"))
        changes[as_text(item.get("address"))] = Change(
            texts(change.get("actions")),
            _side(change.get("before"), change.get("before_sensitive"), None),
            _side(change.get("after"), change.get("after_sensitive"), change.get("after_unknown")),
            as_text(item.get("action_reason")),
            tuple(".".join(map(str, path)) for path in map(as_list, as_list(change.get("replace_paths")))),
        )
    return changes


def _side(values: object, sensitive: object, unknown: object) -> Mapping[str, object]:
    shown = without_secrets(values, sensitive, unknown)
    return {} if isinstance(shown, Unseen) else without_secret_names(as_map(shown))
