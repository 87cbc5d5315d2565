"""In which region a resource lies, or why that can't be told.

In this order: its own ``region`` (AWS provider 6), the region of its provider (a constant, a variable's value, what
``data.aws_region`` answered it), then what its own values show: ARN, endpoint, zone. The zone comes last, as it is
what people copy wrongly. IAM, Route 53 and CloudFront are in no region.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seawall.audit.terraform.addresses import longest_references
from seawall.audit.terraform.model import APPLY_FIRST, Expression, Provider, Resource, Stack, Unseen
from seawall.audit.terraform.references import References
from seawall.model.fact import Fact, FactUnknown, Unknown

_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}"
_WHOLE_REGION = re.compile(rf"{_REGION}\Z")
_ZONE = re.compile(rf"({_REGION})(?:[a-z]|-[a-z0-9-]+)\Z")
_ARN = re.compile(rf"arn:aws[a-z-]*:[a-z0-9-]+:({_REGION}):")
_ENDPOINT = re.compile(rf"\.({_REGION})\.rds\.amazonaws\.com")

_BY_ZONE = "its availability zone"

GLOBAL_TYPES = re.compile(
    r"aws_(iam|route53(?!_resolver|recovery)|cloudfront|organizations|account)_|aws_rds_global_cluster\Z"
)


@dataclass(frozen=True, slots=True)
class Region:
    """A region and by what it is known."""

    name: str
    known_by: str

    @property
    def is_by_zone(self) -> bool:
        """Say whether only a zone tells it, which proves nothing of that zone."""
        return self.known_by.startswith(_BY_ZONE)

    def __str__(self) -> str:
        return f"{self.name} ({self.known_by})"


def is_region(value: object) -> bool:
    """Say whether a value has the form of a region's name: eu-west-1, us-gov-east-1."""
    return isinstance(value, str) and _WHOLE_REGION.match(value) is not None


def region_of_zone(zone: object) -> str:
    """Return the region of an availability zone, local or wavelength zone; "" if it is none."""
    match = _ZONE.match(zone) if isinstance(zone, str) else None
    return match[1] if match else ""


def region_of_arn(value: object) -> str:
    """Return the region in an ARN; "" for what is no ARN or in no region."""
    match = _ARN.match(value) if isinstance(value, str) else None
    return match[1] if match else ""


class Regions:
    """The regions of a stack's resources."""

    def __init__(self, stack: Stack, references: References) -> None:
        self._stack = stack
        self._references = references
        self._known: dict[str, Fact[Region]] = {}

    def of(self, resource: Resource) -> Fact[Region]:
        """Return the region that a resource is in."""
        if resource.address not in self._known:
            self._known[resource.address] = self._find(resource)
        return self._known[resource.address]

    def name_of(self, resource: Resource) -> str:
        """Return the name of a resource's region. Raises FactUnknown."""
        region = self.of(resource)
        if isinstance(region, Unknown):
            raise FactUnknown(region)
        return region.name

    def of_provider(self, provider: Provider) -> Fact[Region]:
        """Return the region that a provider block sets."""
        expression = provider.arguments.get("region")
        title = f"provider {provider.hcl}"
        if expression is None:
            return Unknown(
                f"{title} sets no region: it comes from the environment of whoever runs Terraform",
                f"set it: provider {provider.name} {{ region = … }}",
            )
        value = self._references.evaluate(expression, provider.module)
        if isinstance(value, str) and is_region(value):
            return Region(value, f"region of {title}{_through(expression)}")
        return Unknown(f"the region of {title} is {_shown(expression, value)}", _needs(expression))

    def _find(self, resource: Resource) -> Fact[Region]:
        if GLOBAL_TYPES.match(resource.type):
            return Unknown(f"{resource.address} is in no region", "")
        own = resource.values.get("region")
        if isinstance(own, str) and is_region(own):
            return Region(own, "its own region")
        configured = (resource.arguments or {}).get("region")
        if configured is not None:
            value = self._references.evaluate(configured, resource.module)
            if isinstance(value, str) and is_region(value):
                return Region(value, f"its own region{_through(configured)}")
            by_value = _by_values(resource)
            return by_value or Unknown(
                f"the region of {resource.address} is {_shown(configured, value)}", _needs(configured)
            )
        by_provider = self._by_provider(resource)
        if isinstance(by_provider, Unknown):
            return self._by_neighbour(resource) or _by_values(resource) or by_provider
        return by_provider

    def _by_provider(self, resource: Resource) -> Fact[Region]:
        if resource.arguments is None:
            return Unknown(
                f"the region of {resource.address} is in no value of it, and a state has no provider blocks",
                "a plan of the same configuration: terraform plan -out tfplan; terraform show -json tfplan",
            )
        provider = self._provider(resource)
        if isinstance(provider, Unknown):
            return provider
        return self.of_provider(provider)

    def _provider(self, resource: Resource) -> Fact[Provider]:
        """Return the provider block of a resource. Before Terraform 1.2 the key of a provider that was handed to
        a module names no block (hashicorp/terraform issue 30113): then it is the only one of its kind, or unknown."""
        providers = self._stack.providers
        key = resource.provider_key
        found = providers.get(key)
        if found is not None and ("region" in found.arguments or ":" not in key):
            return found
        local = key.rpartition(":")[2]
        alike = [
            item for item in providers.values() if item.arguments and item.name == local.partition(".")[0]
        ]
        if ":" in key and len(alike) == 1:
            return alike[0]
        if found is not None and ":" not in key:
            return found
        return Unknown(
            f"which provider {resource.address} uses can't be told from {key or 'this file'}",
            "Terraform 1.2 or newer, which writes the resolved provider: terraform show -json tfplan",
        )

    def _by_neighbour(self, resource: Resource) -> Region | None:
        """Return the region that data.aws_region answered through the same provider."""
        if not resource.provider_key:
            return None
        for item in self._stack.of_type("aws_region", data=True):
            if item.provider_key == resource.provider_key and item.is_data:
                for name in ("region", "name", "id"):
                    value = item.values.get(name)
                    if isinstance(value, str) and is_region(value):
                        return Region(value, f"{item.address} of the same provider")
        return None


def _by_values(resource: Resource) -> Region | None:
    """Return the region that a resource's own values show."""
    arn = region_of_arn(resource.values.get("arn"))
    if arn:
        return Region(arn, "its ARN")
    for name in ("endpoint", "address"):
        value = resource.values.get(name)
        match = _ENDPOINT.search(value) if isinstance(value, str) else None
        if match:
            return Region(match[1], f"its {name}")
    zone = region_of_zone(resource.values.get("availability_zone"))
    if zone:
        return Region(zone, _BY_ZONE)
    zones = resource.values.get("availability_zones")
    names = {region_of_zone(item) for item in zones} if isinstance(zones, list | tuple) else set()
    return Region(names.pop(), f"{_BY_ZONE}s") if len(names) == 1 and names != {""} else None


def _through(expression: Expression) -> str:
    names = longest_references(expression.references)
    return f" = {names[0]}" if names else ""


def _shown(expression: Expression, value: object) -> str:
    names = ", ".join(longest_references(expression.references))
    if value is Unseen.SENSITIVE:
        return f"{names or 'a value'}, which is marked sensitive"
    if not isinstance(value, Unseen):
        return f"{names or repr(value)[:60]}, which is no region's name"
    if names:
        return f"{names}, whose value is not in the file"
    return "computed, and not in the file"


def _needs(expression: Expression) -> str:
    if any(name.startswith("local.") for name in expression.references):
        return f"a variable or a constant instead of the local, or its state: {APPLY_FIRST}"
    return f"the value as a variable or a constant, or its state: {APPLY_FIRST}"
