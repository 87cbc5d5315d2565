"""The ``configuration`` of a plan: modules, resources, providers, and what their arguments refer to.

Constants of arguments are written out there whatever they are, passwords included, so those of secret arguments
are dropped here; that one is set is all that anybody needs to know.
"""

from __future__ import annotations

from collections.abc import Mapping

from seawall.audit.terraform.model import (
    Call,
    ConfiguredResource,
    Expression,
    Module,
    Provider,
    Unseen,
)
from seawall.audit.terraform.reading.json_values import (
    DEEPEST,
    as_list,
    as_map,
    as_text,
    is_secret_name,
    texts,
)


def read_module(document: object, path: str = "", depth: int = 0) -> Module:
    """Return a module's configuration with those that it calls."""
    module, found = Module(path), as_map(document)
    if depth > DEEPEST:
        return module
    for item in as_list(found.get("resources")):
        resource = as_map(item)
        prefix = "data." if resource.get("mode") == "data" else ""
        key = f"{prefix}{as_text(resource.get('type'))}.{as_text(resource.get('name'))}"
        module.resources[key] = ConfiguredResource(
            read_arguments(resource.get("expressions")), as_text(resource.get("provider_config_key"))
        )
    for name, variable in as_map(found.get("variables")).items():
        module.variables[name] = _default(name, as_map(variable))
    for name, output in as_map(found.get("outputs")).items():
        module.outputs[name] = _expression(as_map(output).get("expression"), name)
    for name, item in as_map(found.get("module_calls")).items():
        call = as_map(item)
        inner = f"{path}.module.{name}" if path else f"module.{name}"
        module.calls[name] = Call(
            read_module(call.get("module"), inner, depth + 1),
            read_arguments(call.get("expressions")),
            as_text(call.get("source")),
        )
    return module


def _default(name: str, variable: Mapping[str, object]) -> object:
    if variable.get("sensitive") is True or is_secret_name(name):
        return Unseen.SENSITIVE
    return variable.get("default", Unseen.AFTER_APPLY)


def read_providers(document: object) -> dict[str, Provider]:
    """Return the provider blocks by their opaque keys."""
    providers: dict[str, Provider] = {}
    for key, item in as_map(document).items():
        provider = as_map(item)
        providers[key] = Provider(
            key,
            as_text(provider.get("name")),
            as_text(provider.get("alias")),
            as_text(provider.get("module_address")),
            read_arguments(provider.get("expressions")),
        )
    return providers


def read_arguments(document: object, depth: int = 0) -> dict[str, Expression]:
    """Return the arguments of a block that are set. Configured as ``null`` is not set."""
    if depth > DEEPEST:
        return {}
    found = {name: _expression(item, name, depth) for name, item in as_map(document).items()}
    return {
        name: expression
        for name, expression in found.items()
        if not (expression.has_constant and expression.constant is None)
    }


def forget_resources(module: Module) -> None:
    """Drop the blocks of a module and of those it calls, once every resource has its own: they may hold constants
    of which only the resource's marks say that they are secret."""
    module.resources.clear()
    for call in module.calls.values():
        forget_resources(call.module)


def without_hidden_constants(
    arguments: Mapping[str, Expression], values: Mapping[str, object]
) -> dict[str, Expression]:
    """Hide the constants of arguments whose values are marked: the configuration itself has no marks."""
    return {
        name: Expression(Unseen.SENSITIVE, has_constant=True)
        if expression.has_constant and values.get(name) is Unseen.SENSITIVE
        else expression
        for name, expression in arguments.items()
    }


def _expression(document: object, name: str, depth: int = 0) -> Expression:
    if isinstance(document, list):
        return Expression(blocks=tuple(read_arguments(item, depth + 1) for item in document))
    found = as_map(document)
    if "constant_value" in found:
        constant = found["constant_value"]
        is_secret = isinstance(constant, str) and is_secret_name(name)
        return Expression(Unseen.SENSITIVE if is_secret else constant, has_constant=True)
    if "references" in found:
        return Expression(references=texts(found["references"]))
    if found and all(isinstance(item, dict | list) for item in found.values()):
        return Expression(blocks=(read_arguments(found, depth + 1),))
    return Expression()


def read_variables(document: object, root: Module) -> dict[str, object]:
    """Return the values of the root's variables, without those that the configuration calls sensitive."""
    values: dict[str, object] = dict(root.variables)
    for name, item in as_map(document).items():
        if root.variables.get(name) is not Unseen.SENSITIVE and not is_secret_name(name):
            values[name] = as_map(item).get("value")
    return values
