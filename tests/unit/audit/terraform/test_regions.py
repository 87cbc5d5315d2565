"""The effective region of a resource over the whole space of what a file may say of it; and providers in modules."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from seawall.audit.terraform.regions import (
    Region,
    is_region,
    region_of_arn,
    region_of_zone,
)
from seawall.model.fact import Fact, Unknown
from tests.support.terraform import Ref, TerraformModule, plan, shown, state, tfstate
from tests.unit.audit.terraform.stacks import facts

DATABASE = "aws_db_instance.a"

OWN: dict[str, tuple[dict[str, Any], str | None]] = {
    "none": ({}, None),
    "known": ({"region": "af-south-1"}, "af-south-1"),
    "of a variable": ({"region": Ref("var.own")}, "ap-south-1"),
    "of a local": ({"region": Ref("local.own")}, ""),
    "no region": ({"region": Ref("var.size")}, ""),
}
"""What the block itself says, and the region by it: None where it says nothing, "" where it can't be told."""

PROVIDER: dict[str, tuple[Any, str]] = {
    "constant": ("us-east-1", "us-east-1"),
    "variable": (Ref("var.region"), "us-west-2"),
    "default of a variable": (Ref("var.fallback"), "ca-central-1"),
    "element of a variable": (Ref('var.regions["dr"]'), "sa-east-1"),
    "local": (Ref("local.region"), ""),
    "function of two": (["x", Ref("var.region"), Ref("var.own")], ""),
    "sensitive variable": (Ref("var.hidden"), ""),
    "not set": (None, ""),
    "no region": ("Frankfurt", ""),
}

NEIGHBOUR = {"none": "", "data.aws_region": "eu-south-1"}

VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({}, ""),
    "ARN": ({"arn": "arn:aws:rds:eu-west-1:1:db:a", "availability_zone": "eu-west-3a"}, "eu-west-1"),
    "ARN of another partition": ({"arn": "arn:aws-us-gov:rds:us-gov-west-1:1:db:a"}, "us-gov-west-1"),
    "endpoint": ({"endpoint": "a.c9akciq32.eu-west-2.rds.amazonaws.com:5432"}, "eu-west-2"),
    "zone": ({"availability_zone": "eu-west-3a"}, "eu-west-3"),
    "zones": ({"availability_zones": ["eu-north-1a", "eu-north-1b"]}, "eu-north-1"),
    "zones of two regions": ({"availability_zones": ["eu-north-1a", "eu-west-1b"]}, ""),
    "an ARN in no region": ({"arn": "arn:aws:iam::1:role/a"}, ""),
}
VARIABLES = {
    "region": "us-west-2",
    "own": "ap-south-1",
    "size": "large",
    "regions": {"dr": "sa-east-1"},
    "hidden": "eu-west-1",
}
SPACE = list(itertools.product(OWN, PROVIDER, NEIGHBOUR, VALUES))


def expected(own: str, provider: str, neighbour: str, values: str) -> str:
    """Return the region in the order that is promised, "" where it can't be told."""
    by_block, by_provider = OWN[own][1], PROVIDER[provider][1]
    by_values = VALUES[values][1]
    if by_block is not None:
        return by_block or by_values
    return by_provider or NEIGHBOUR[neighbour] or by_values


def found(own: str, provider: str, neighbour: str, values: str) -> Fact[Region]:
    resources = {DATABASE: {"engine": "postgres", **VALUES[values][0], **OWN[own][0]}}
    module = TerraformModule(
        resources, variables={"fallback": {"default": "ca-central-1"}, "hidden": {"sensitive": True}}
    )
    prior = [shown("aws_region", "here", "data", name=NEIGHBOUR[neighbour])] if NEIGHBOUR[neighbour] else []
    document = plan(module, {"aws": PROVIDER[provider][0]}, variables=VARIABLES, prior=prior)
    if prior:
        document["configuration"]["root_module"]["resources"].append(
            {"address": "data.aws_region.here", "mode": "data", "type": "aws_region", "name": "here",
             "provider_config_key": "aws", "expressions": {}}
        )  # fmt: skip
    judged = facts(document)
    return judged.regions.of(next(judged.stack.of_type("aws_db_instance")))


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("provider", PROVIDER)
def test_the_region_is_the_first_that_is_known(own: str, provider: str) -> None:
    for neighbour, values in itertools.product(NEIGHBOUR, VALUES):
        region, wanted = found(own, provider, neighbour, values), expected(own, provider, neighbour, values)
        if wanted:
            assert isinstance(region, Region) and region.name == wanted, (neighbour, values)
        else:
            assert isinstance(region, Unknown) and region.reason and region.needs, (neighbour, values)


def test_the_space_reaches_every_way_of_knowing_and_not_knowing() -> None:
    ways = {
        known.known_by if isinstance(known, Region) else ""
        for known in (found(*place) for place in SPACE[::7])
    }
    assert {
        "its own region",
        "region of provider aws",
        "region of provider aws = var.region",
        "data.aws_region.here of the same provider",
        "its ARN",
        "",
    } <= ways


def test_what_a_local_hides_is_said_with_what_it_would_need() -> None:
    region = found("none", "local", "none", "none")
    assert isinstance(region, Unknown)
    assert region.reason == "the region of provider aws is local.region, whose value is not in the file"
    assert "instead of the local" in region.needs


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("eu-west-1a", "eu-west-1"),
        ("us-gov-east-1c", "us-gov-east-1"),
        ("us-west-2-lax-1a", "us-west-2"),
        ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
        ("ap-southeast-1b", "ap-southeast-1"),
        ("us-iso-east-1a", "us-iso-east-1"),
        ("eu-west-1", ""),
        ("euw1-az1", ""),
        ("", ""),
        (None, ""),
        (7, ""),
        ("eu-west-1a\n", ""),
    ],
)
def test_a_zone_names_its_region(zone: object, region: str) -> None:
    assert region_of_zone(zone) == region


@pytest.mark.parametrize(
    ("arn", "region"),
    [
        ("arn:aws:rds:eu-west-1:123456789012:db:shop", "eu-west-1"),
        ("arn:aws-cn:rds:cn-north-1:123456789012:db:shop", "cn-north-1"),
        ("arn:aws:s3:::bucket", ""),
        ("arn:aws:iam::123456789012:role/x", ""),
        ("shop", ""),
        (None, ""),
    ],
)
def test_an_arn_names_its_region(arn: object, region: str) -> None:
    assert region_of_arn(arn) == region


@pytest.mark.parametrize(
    "name", ["eu-west-1", "us-gov-west-1", "ap-southeast-7", "me-central-1", "us-isob-east-1"]
)
def test_regions_are_known_by_their_form(name: str) -> None:
    assert is_region(name)
    for other in (
        f"{name}a",
        name.upper(),
        f" {name}",
        f"{name}\n",
        name.rpartition("-")[0],
        1,
        None,
        [name],
    ):
        assert not is_region(other)


def in_module(key: str, providers: dict[str, Any], call: dict[str, Any]) -> Fact[Region]:
    """Return the region of a database in ``module.db`` whose provider has ``key``."""
    inner = TerraformModule(
        {DATABASE: {"engine": "postgres"}},
        providers={"*": key},
        variables={"region": {"default": "eu-north-1"}},
    )
    outer = TerraformModule(calls={"db": (inner, call)}, variables={"where": {}})
    judged = facts(plan(outer, providers, variables={"where": "eu-south-2"}))
    return judged.regions.of(next(judged.stack.of_type("aws_db_instance")))


TWO = {"aws": "eu-west-1", "aws.dr": "eu-central-1"}


@pytest.mark.parametrize(
    ("key", "providers", "call", "region"),
    [
        # Terraform 1.2 and newer write the key of the provider that was handed over
        ("aws.dr", TWO, {}, "eu-central-1"),
        ("aws", TWO, {}, "eu-west-1"),
        # a module with a provider block of its own
        ("module.db:aws", {**TWO, "module.db:aws": "ap-east-1"}, {}, "ap-east-1"),
        ("module.db:aws", {**TWO, "module.db:aws": Ref("var.region")}, {"region": "us-east-2"}, "us-east-2"),
        (
            "module.db:aws",
            {**TWO, "module.db:aws": Ref("var.region")},
            {"region": Ref("var.where")},
            "eu-south-2",
        ),
        ("module.db:aws", {**TWO, "module.db:aws": Ref("var.region")}, {}, "eu-north-1"),
        ("module.db:aws", {**TWO, "module.db:aws": Ref("var.region")}, {"region": Ref("local.x")}, ""),
        # older ones write the module's own, which names no block: told only where there is one provider
        ("module.db:aws", {"aws": "eu-west-1"}, {}, "eu-west-1"),
        ("module.db:aws", {"aws": "eu-west-1", "module.db:aws": None}, {}, "eu-west-1"),
        ("module.db:aws", TWO, {}, ""),
        ("module.db:aws.second", TWO, {}, ""),
        ("db:aws", {"aws": "eu-west-1"}, {}, "eu-west-1"),
        ("", TWO, {}, ""),
    ],
)
def test_providers_are_followed_into_modules(
    key: str, providers: dict[str, Any], call: dict[str, Any], region: str
) -> None:
    known = in_module(key, providers, call)
    assert (known.name if isinstance(known, Region) else "") == region


@pytest.mark.parametrize(
    ("kind", "values", "region"),
    [
        ("aws_db_instance", {"arn": "arn:aws:rds:eu-west-1:1:db:a"}, "eu-west-1"),
        ("aws_db_instance", {"region": "eu-west-2", "arn": "arn:aws:rds:eu-west-1:1:db:a"}, "eu-west-2"),
        ("aws_db_instance", {"identifier": "a"}, ""),
        ("aws_iam_role", {"arn": "arn:aws:iam::1:role/a"}, ""),
        ("aws_route53_record", {"region": None}, ""),
    ],
)
def test_a_state_shows_regions_by_values_alone(kind: str, values: dict[str, Any], region: str) -> None:
    for document in (state(shown(kind, "a", **values)), tfstate((kind, "a", values))):
        judged = facts(document)
        known = judged.regions.of(judged.stack.resources[0])
        assert (known.name if isinstance(known, Region) else "") == region
