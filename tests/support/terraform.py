"""A small Terraform: makes what ``terraform show -json`` prints from a configuration written down in Python.

It does what Terraform does to references: a value is in ``planned_values`` where it is known before the apply, in
``after_unknown`` where it isn't, and its expression is in ``configuration`` in any case.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

AWS = "registry.terraform.io/hashicorp/aws"
COMPUTED: dict[str, tuple[str, ...]] = {
    "aws_db_instance": (
        "arn", "id", "endpoint", "address", "availability_zone", "backup_retention_period", "kms_key_id", "multi_az",
        "db_subnet_group_name", "parameter_group_name", "vpc_security_group_ids", "identifier", "engine_version",
        "allocated_storage", "iops", "ca_cert_identifier", "replica_mode", "engine", "username",
    ),
    "aws_rds_cluster": (
        "arn", "id", "endpoint", "availability_zones", "kms_key_id", "db_subnet_group_name", "engine_version",
        "vpc_security_group_ids", "cluster_identifier", "storage_encrypted", "master_username",
    ),
}  # fmt: skip
"""What the provider fills in where the block leaves it out; of other types, ``arn`` and ``id``."""


@dataclass(frozen=True)
class Ref:
    """An expression: what it refers to, and its value where that is known before the apply."""

    to: str
    value: Any = None

    def __str__(self) -> str:
        return self.to


@dataclass(frozen=True)
class Secret:
    """A value that is marked as sensitive."""

    value: str


@dataclass
class TerraformModule:
    """A module while it is written."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: dict[str, tuple[TerraformModule, dict[str, Any]]] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Ref] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    """Of resources that don't use the module's default: key of the resource to key of the provider."""


def plan(
    root: TerraformModule,
    providers: Mapping[str, Any],
    *,
    variables: Mapping[str, Any] | None = None,
    changes: Mapping[str, dict[str, Any]] | None = None,
    prior: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the document of a plan. ``providers`` maps a key to the region of its block (None: not set);
    ``changes`` replaces parts of a resource's change; ``prior`` are resources of the prior state's root."""
    resource_changes = _changes(root, "")
    for address, patch in (changes or {}).items():
        found = next((item for item in resource_changes if item["address"] == address), None)
        if found is None:
            resource_changes.append({"address": address, "change": patch})
        else:
            found["change"].update(patch)
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.8",
        "variables": {name: {"value": value} for name, value in (variables or {}).items()},
        "planned_values": {"root_module": _planned(root, "")},
        "resource_changes": resource_changes,
        "prior_state": {
            "format_version": "1.0",
            "terraform_version": "1.9.8",
            "values": {"root_module": {"resources": prior or []}},
        },
        "configuration": {
            "provider_config": {key: _provider(key, region) for key, region in providers.items()},
            "root_module": _configuration(root),
        },
        "timestamp": "2026-11-25T10:00:00Z",
        "applyable": True,
        "complete": True,
        "errored": False,
    }


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    """Return the document of ``terraform show -json`` of a state."""
    return {
        "format_version": "1.0",
        "terraform_version": "1.9.8",
        "values": {"outputs": {}, "root_module": {"resources": list(resources)}},
    }


def shown(kind: str, name: str, mode: str = "managed", /, **values: Any) -> dict[str, Any]:
    """Return a resource as states show it."""
    prefix = "data." if mode == "data" else ""
    return {
        "address": f"{prefix}{kind}.{name}",
        "mode": mode,
        "type": kind,
        "name": name,
        "provider_name": AWS,
        "schema_version": 2,
        "values": values,
        "sensitive_values": {},
    }


def tfstate(*instances: tuple[str, str, dict[str, Any]], version: int = 4) -> dict[str, Any]:
    """Return a raw state of ``(type, name, attributes)``."""
    return {
        "version": version,
        "terraform_version": "1.9.8",
        "serial": 7,
        "lineage": "5d1e4a3e-0000-0000-0000-000000000000",
        "outputs": {},
        "resources": [
            {
                "mode": "managed",
                "type": kind,
                "name": name,
                "provider": f'provider["{AWS}"]',
                "instances": [{"schema_version": 2, "attributes": attributes, "sensitive_attributes": []}],
            }
            for kind, name, attributes in instances
        ],
        "check_results": None,
    }


def as_bytes(document: object) -> bytes:
    return json.dumps(document).encode()


def _split(key: str) -> tuple[str, str, str]:
    mode = "data" if key.startswith("data.") else "managed"
    kind, name = key.removeprefix("data.").split(".")
    return mode, kind, name


def _planned(module: TerraformModule, address: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resources": [_planned_resource(key, body, address) for key, body in module.resources.items()]
    }
    if address:
        found["address"] = address
    if module.calls:
        found["child_modules"] = [
            _planned(inner, f"{address}.module.{name}" if address else f"module.{name}")
            for name, (inner, _) in module.calls.items()
        ]
    return found


def _planned_resource(key: str, body: dict[str, Any], module: str) -> dict[str, Any]:
    mode, kind, name = _split(key)
    values, sensitive, _ = _values(kind, body)
    return {
        "address": f"{module}.{key}" if module else key,
        "mode": mode,
        "type": kind,
        "name": name,
        "provider_name": AWS,
        "schema_version": 2,
        "values": values,
        "sensitive_values": sensitive,
    }


def _values(kind: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return known values, sensitive marks and what is unknown."""
    values, sensitive, unknown = {}, {}, {}
    for name, argument in body.items():
        value, is_known = _value(argument)
        if isinstance(argument, Secret):
            sensitive[name] = True
        if is_known:
            values[name] = value
        else:
            unknown[name] = True
    for name in COMPUTED.get(kind, ("arn", "id")):
        if name not in body:
            unknown[name] = True
    return values, sensitive, unknown


def _value(argument: Any) -> tuple[Any, bool]:
    if isinstance(argument, Ref):
        return argument.value, argument.value is not None
    if isinstance(argument, Secret):
        return argument.value, True
    if isinstance(argument, list):
        parts = [_value(item) for item in argument]
        return [value for value, _ in parts], all(is_known for _, is_known in parts) or _has_blocks(argument)
    if isinstance(argument, dict):
        return {name: _value(item)[0] for name, item in argument.items() if _value(item)[1]}, True
    return argument, True


def _has_blocks(argument: list[Any]) -> bool:
    return bool(argument) and all(isinstance(item, dict) for item in argument)


def _changes(module: TerraformModule, address: str) -> list[dict[str, Any]]:
    found = []
    for key, body in module.resources.items():
        mode, kind, name = _split(key)
        values, sensitive, unknown = _values(kind, body)
        found.append(
            {
                "address": f"{address}.{key}" if address else key,
                "mode": mode,
                "type": kind,
                "name": name,
                "provider_name": AWS,
                "change": {
                    "actions": ["create"],
                    "before": None,
                    "after": values,
                    "after_unknown": unknown,
                    "before_sensitive": False,
                    "after_sensitive": sensitive,
                },
            }
        )
    for name, (inner, _) in module.calls.items():
        found += _changes(inner, f"{address}.module.{name}" if address else f"module.{name}")
    return found


def _configuration(module: TerraformModule) -> dict[str, Any]:
    return {
        "resources": [
            {
                "address": key,
                "mode": _split(key)[0],
                "type": _split(key)[1],
                "name": _split(key)[2],
                "provider_config_key": module.providers.get(key, module.providers.get("*", "aws")),
                "expressions": {name: expression(item) for name, item in body.items()},
                "schema_version": 2,
            }
            for key, body in module.resources.items()
        ],
        "module_calls": {
            name: {
                "source": f"./modules/{name}",
                "expressions": {argument: expression(item) for argument, item in arguments.items()},
                "module": _configuration(inner),
            }
            for name, (inner, arguments) in module.calls.items()
        },
        "variables": {name: copy.deepcopy(value) for name, value in module.variables.items()},
        "outputs": {name: {"expression": expression(item)} for name, item in module.outputs.items()},
    }


def _provider(key: str, region: Any) -> dict[str, Any]:
    module, _, local = key.rpartition(":")
    name, _, alias = local.partition(".")
    found: dict[str, Any] = {"name": name, "full_name": AWS}
    if alias:
        found["alias"] = alias
    if module:
        found["module_address"] = module
    if region is not None:
        found["expressions"] = {"region": expression(region)}
    return found


def expression(argument: Any) -> Any:
    """Return an argument as the configuration has it."""
    if isinstance(argument, Ref):
        return {"references": _prefixes(argument.to)}
    if isinstance(argument, Secret):
        return {"constant_value": argument.value}
    if isinstance(argument, list) and _has_blocks(argument):
        return [{name: expression(item) for name, item in block.items()} for block in argument]
    if isinstance(argument, dict) and any(isinstance(item, Ref) for item in argument.values()):
        return {
            "references": [
                name for item in argument.values() if isinstance(item, Ref) for name in _prefixes(item.to)
            ]
        }
    if isinstance(argument, list) and any(isinstance(item, Ref) for item in argument):
        return {
            "references": [name for item in argument if isinstance(item, Ref) for name in _prefixes(item.to)]
        }
    return {"constant_value": argument}


def _prefixes(reference: str) -> list[str]:
    """``a.b[0].c`` is listed as itself, ``a.b[0]`` and ``a.b``, longest first, as Terraform does."""
    parts = re.findall(r'\.?[^.\[]+|\["[^"]*"\]|\[\d+\]', reference)
    least = 3 if reference.startswith("data.") else 2
    return ["".join(parts[:size]) for size in range(len(parts), least - 1, -1)] or [reference]
