"""Remedies as blocks to write: the resource's own block with the arguments that have to change, and what they need.

Names are those of the file. Where something has to be added that it doesn't have, the block is there too, named so
that it stands beside what exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from seawall.audit.terraform.databases import Replica
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.model import Provider, Resource
from seawall.audit.terraform.regions import Region, region_of_zone

Argument = tuple[str, str]
"""An argument's name and its value as HCL."""

_NEIGHBOURS = {
    "eu": ("eu-central-1", "eu-west-1"),
    "us": ("us-west-2", "us-east-2"),
    "ap": ("ap-southeast-1", "ap-southeast-2"),
    "ca": ("ca-west-1", "ca-central-1"),
    "sa": ("us-east-1", "us-east-2"),
    "me": ("eu-south-1", "eu-central-1"),
    "af": ("eu-west-1", "eu-central-1"),
}
"""Where a copy may go, by the first word of the region's name: near enough, and far enough."""


def quoted(text: str) -> str:
    """Return text as a string of HCL; what would be a template in it is escaped."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def block(kind: str, labels: Sequence[str], arguments: Iterable[Argument], *, note: str = "") -> str:
    """Return a block with its arguments aligned."""
    lines = list(arguments)
    width = max((len(name) for name, _ in lines), default=0)
    body = [f"  {name:<{width}} = {value}" for name, value in lines]
    head = " ".join([kind, *(f'"{label}"' for label in labels)])
    return "\n".join([*([f"# {note}"] if note else []), f"{head} {{", *body, "}"])


def beside(resource: Resource, provider: str = "") -> str:
    """Return where a block stands that is added beside a resource: in a module, its provider has to be handed over."""
    if not resource.module:
        return ""
    handed = f", with providers = {{ {provider} = {provider} }} in its call" if "." in provider else ""
    return f"in {resource.module}{handed}"


def changed(resource: Resource, arguments: Iterable[Argument], *, note: str = "") -> str:
    """Return a resource's block with the arguments that have to change; what else it has stays."""
    where = f"in {resource.module}" if resource.module else ""
    notes = ", ".join(part for part in (where, note) if part)
    return block("resource", (resource.type, resource.name), arguments, note=notes)


def reference(to: Resource, attribute: str, *, seen_from: Resource) -> str:
    """Return how one resource refers to another's attribute. Into other modules it goes through a variable."""
    data = "data." if to.is_data and not to.hcl.startswith("data.") else ""
    if to.module == seen_from.module:
        return f"{data}{to.hcl}.{attribute}"
    return f"var.{to.name}_{attribute}  # {to.address}.{attribute}, handed to the module"


class Destination:
    """The region that a copy of a database should go to: a provider of the file in another region, else a new one."""

    def __init__(self, facts: TerraformFacts, source_region: str, *, wanted: str = "") -> None:
        self._facts = facts
        self.provider: Provider | None = None
        self.region = wanted or _neighbour(source_region)
        for provider in facts.stack.providers.values():
            found = facts.regions.of_provider(provider)
            if provider.name != "aws" or provider.module or not isinstance(found, Region):
                continue
            if found.name == wanted or (not wanted and found.name != source_region):
                self.provider, self.region = provider, found.name
                break

    @property
    def provider_name(self) -> str:
        """The name of its provider; of a new one an alias that the file doesn't have yet."""
        if self.provider is not None:
            return self.provider.hcl
        taken = {provider.alias for provider in self._facts.stack.providers.values()}
        return "aws.dr" if "dr" not in taken else f"aws.{self.region.replace('-', '_')}"

    def blocks(self) -> list[str]:
        """Return the provider block, where the file has none for another region."""
        if self.provider is not None:
            return []
        return [
            block(
                "provider",
                ["aws"],
                [("alias", quoted(self.provider_name.partition(".")[2])), ("region", quoted(self.region))],
            )
        ]

    def existing(self, kind: str) -> Resource | None:
        """Return a resource of a type that is in the destination already."""
        for resource in self._facts.stack.of_type(kind, data=True):
            region = self._facts.regions.of(resource)
            if isinstance(region, Region) and region.name == self.region:
                return resource
        return None


def destination_of(facts: TerraformFacts, replica: Replica) -> Destination:
    """Return where a replica should be, or is, if it is in another region than its source."""
    source = replica.source_region.name if isinstance(replica.source_region, Region) else ""
    own = replica.region.name if isinstance(replica.region, Region) else ""
    zone = region_of_zone(replica.resource.values.get("availability_zone"))
    wanted = own if own != source else zone
    return Destination(facts, source, wanted=wanted if wanted != source else "")


def key_in(destination: Destination, seen_from: Resource) -> tuple[str, list[str]]:
    """Return the expression of a KMS key in the destination, and the block that makes it where there is none."""
    return _supplied(destination, seen_from, "aws_kms_key", "arn", [("description", '"database copies"')])


def subnet_group_in(destination: Destination, seen_from: Resource) -> tuple[str, list[str]]:
    """Return the expression of a subnet group in the destination, and the block that makes it."""
    arguments = [
        ("name", '"db-dr"'),
        ("subnet_ids", "var.dr_subnet_ids  # private, in two zones"),
    ]
    return _supplied(destination, seen_from, "aws_db_subnet_group", "name", arguments)


def _supplied(
    destination: Destination, seen_from: Resource, kind: str, attribute: str, arguments: list[Argument]
) -> tuple[str, list[str]]:
    there = destination.existing(kind)
    if there is not None:
        return reference(there, attribute, seen_from=seen_from), []
    new = block("resource", (kind, "dr"), [("provider", destination.provider_name), *arguments])
    return f"{kind}.dr.{attribute}", [new]


def _neighbour(region: str) -> str:
    choices = _NEIGHBOURS.get(region.partition("-")[0], ("us-west-2", "eu-central-1"))
    return choices[1] if choices[0] == region else choices[0]


def joined(*blocks: str | Iterable[str]) -> str:
    """Return blocks one after another."""
    parts: list[str] = []
    for item in blocks:
        parts += [item] if isinstance(item, str) else item
    return "\n".join(part for part in parts if part)
