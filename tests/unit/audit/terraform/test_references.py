"""What an argument refers to, followed through modules, variables, outputs and instances; and what stays hidden."""

from __future__ import annotations

import json
from typing import Any

import pytest

from seawall.audit.terraform.addresses import (
    longest_references,
    module_of,
    module_steps,
    parent_of,
    parse_reference,
    without_indexes,
)
from seawall.audit.terraform.databases import Replica, SourceForm, intent_of
from tests.support.terraform import Ref, TerraformModule, plan
from tests.unit.audit.terraform.stacks import facts, failures

TWO = {"aws": "eu-west-1", "aws.dr": "eu-central-1"}


@pytest.mark.parametrize(
    ("text", "key", "index", "attribute"),
    [
        ("aws_db_instance.primary.arn", "aws_db_instance.primary", "", "arn"),
        ("aws_db_instance.primary[0].arn", "aws_db_instance.primary", "[0]", "arn"),
        ('aws_db_instance.primary["a.b]"].arn', "aws_db_instance.primary", '["a.b]"]', "arn"),
        ("aws_db_instance.primary", "aws_db_instance.primary", "", ""),
        ("data.aws_db_instance.old.db_instance_arn", "data.aws_db_instance.old", "", "db_instance_arn"),
        ("module.db.arn", "module.db", "", "arn"),
        ("var.region", "var.region", "", ""),
        ('var.regions["dr"]', "var.regions", '["dr"]', ""),
        ("local.a.b", "local.a", "", "b"),
    ],
)
def test_a_reference_is_cut_by_the_grammar(text: str, key: str, index: str, attribute: str) -> None:
    name = parse_reference(text)
    assert name is not None
    assert (name.key, name.index, name.attribute) == (key, index, attribute)


@pytest.mark.parametrize(
    "text", ["", ".", "aws_db_instance", "data.aws_db_instance", '["a"].b', "data.x[0].y"]
)
def test_what_is_no_reference_is_none(text: str) -> None:
    assert parse_reference(text) is None


def test_addresses_are_taken_apart_whatever_their_keys_hold() -> None:
    address = 'module.a["x.module.y"].module.b[0].aws_db_instance.c["]"]'
    assert module_of(address) == 'module.a["x.module.y"].module.b[0]'
    assert without_indexes(address) == "module.a.module.b.aws_db_instance.c"
    assert module_steps(module_of(address)) == ['module.a["x.module.y"]', "module.b[0]"]
    assert parent_of(module_of(address)) == ('module.a["x.module.y"]', "b")
    assert module_of("aws_db_instance.c") == "" and parent_of("") == ("", "")
    assert module_of("module.module.aws_db_instance.c") == "module.module"


def test_only_the_longest_of_a_reference_counts() -> None:
    listed = ("aws_a.b[0].arn", "aws_a.b[0]", "aws_a.b", "aws_a.bc", "var.x")
    assert longest_references(listed) == ("aws_a.b[0].arn", "aws_a.bc", "var.x")


def source() -> dict[str, Any]:
    return {"engine": "postgres", "identifier": "shop", "instance_class": "db.r6g.large"}


def replica_of(expression: Any, **more: Any) -> dict[str, Any]:
    return {"replicate_source_db": expression, "identifier": "copy", "instance_class": "db.r6g.large", **more}


def only_replica(root: TerraformModule, **options: Any) -> Replica:
    (replica,) = facts(plan(root, TWO, **options)).replicas
    return replica


def test_a_source_is_followed_through_an_output_and_a_variable() -> None:
    primary = TerraformModule(
        {"aws_db_instance.this": source()}, outputs={"arn": Ref("aws_db_instance.this.arn")}
    )
    copy = TerraformModule(
        {"aws_db_instance.this": replica_of(Ref("var.source_arn"))},
        variables={"source_arn": {}},
        providers={"*": "aws.dr"},
    )
    root = TerraformModule(
        calls={"primary": (primary, {}), "copy": (copy, {"source_arn": Ref("module.primary.arn")})}
    )
    replica = only_replica(root)
    assert replica.source is not None and replica.source.address == "module.primary.aws_db_instance.this"
    assert replica.form is SourceForm.ARN and replica.is_cross_region


def test_a_source_in_a_module_of_a_module_is_found() -> None:
    inner = TerraformModule(
        {"aws_db_instance.this": source()}, outputs={"arn": Ref("aws_db_instance.this.arn")}
    )
    outer = TerraformModule(calls={"db": (inner, {})}, outputs={"db_arn": Ref("module.db.arn")})
    root = TerraformModule(
        {"aws_db_instance.copy": replica_of(Ref("module.shop.db_arn"))},
        calls={"shop": (outer, {})},
        providers={"*": "aws.dr"},
    )
    replica = only_replica(root)
    assert replica.source is not None
    assert replica.source.address == "module.shop.module.db.aws_db_instance.this"


@pytest.mark.parametrize(
    ("expression", "form", "found"),
    [
        (Ref("aws_db_instance.a.arn"), SourceForm.ARN, True),
        (Ref("aws_db_instance.a.identifier", "shop"), SourceForm.NAME, True),
        (Ref("aws_db_instance.a.id"), SourceForm.RESOURCE_ID, True),
        (Ref("aws_db_instance.a.resource_id"), SourceForm.RESOURCE_ID, True),
        ("shop", SourceForm.NAME, True),
        ("elsewhere", SourceForm.NAME, False),
        ("arn:aws:rds:us-east-1:1:db:elsewhere", SourceForm.ARN, False),
        ("db-ABCDEFGHIJKLMNOPQRSTUVWXYZ", SourceForm.RESOURCE_ID, False),
        (Ref("var.name"), SourceForm.NAME, True),
        (Ref("var.arn"), SourceForm.ARN, False),
        (Ref("local.arn"), SourceForm.UNKNOWN, False),
        (Ref("each.value"), SourceForm.UNKNOWN, False),
        (Ref("module.gone.arn"), SourceForm.UNKNOWN, False),
        (Ref("local.name", "shop"), SourceForm.NAME, True),
        (Ref("local.arn", "arn:aws:rds:us-east-1:1:db:elsewhere"), SourceForm.ARN, False),
    ],
)
def test_how_a_source_is_named(expression: Any, form: SourceForm, found: bool) -> None:
    root = TerraformModule({"aws_db_instance.a": source(), "aws_db_instance.copy": replica_of(expression)})
    replica = only_replica(root, variables={"name": "shop", "arn": "arn:aws:rds:us-east-1:1:db:x"})
    assert replica.form is form
    assert (replica.source is not None) is found


def test_an_instance_of_several_is_the_one_that_is_named() -> None:
    root = TerraformModule({"aws_db_instance.copy": replica_of(Ref("aws_db_instance.a[1].arn"))})
    document = plan(root, TWO)
    for number in (0, 1):
        document["planned_values"]["root_module"]["resources"].append(
            {"address": f"aws_db_instance.a[{number}]", "mode": "managed", "type": "aws_db_instance", "name": "a",
             "index": number, "values": {"engine": "postgres"}, "sensitive_values": {}}
        )  # fmt: skip
    (replica,) = facts(document).replicas
    assert replica.source is not None and replica.source.address == "aws_db_instance.a[1]"


def test_variables_and_outputs_that_go_round_in_circles_end() -> None:
    module = TerraformModule(
        {"aws_db_instance.copy": replica_of(Ref("module.a.x"))},
    )
    child = TerraformModule(outputs={"x": Ref("var.y")}, variables={"y": {}})
    module.calls["a"] = (child, {"y": Ref("module.a.x")})
    (replica,) = facts(plan(module, TWO)).replicas
    assert replica.source is None and replica.form is SourceForm.UNKNOWN
    assert failures(facts(plan(module, TWO)))


def test_a_source_that_is_a_data_source_is_known_by_what_it_answered() -> None:
    root = TerraformModule(
        {"aws_db_instance.copy": replica_of(Ref("data.aws_db_instance.old.db_instance_arn"))},
        providers={"*": "aws.dr"},
    )
    document = plan(root, TWO)
    document["prior_state"]["values"]["root_module"]["resources"] = [
        {"address": "data.aws_db_instance.old", "mode": "data", "type": "aws_db_instance", "name": "old",
         "values": {"engine": "postgres", "db_instance_arn": "arn:aws:rds:eu-west-1:1:db:old",
                    "endpoint": "old.abc.eu-west-1.rds.amazonaws.com:5432"}, "sensitive_values": {}}
    ]  # fmt: skip
    (replica,) = facts(document).replicas
    assert replica.source is not None and replica.source.is_data
    assert replica.form is SourceForm.ARN and replica.is_cross_region


def test_a_constant_that_a_call_hands_over_is_looked_up() -> None:
    copy = TerraformModule({"aws_db_instance.this": replica_of(Ref("var.name"))}, variables={"name": {}})
    root = TerraformModule({"aws_db_instance.a": source()}, calls={"copy": (copy, {"name": "shop"})})
    replica = only_replica(root)
    assert replica.source is not None and replica.form is SourceForm.NAME


KEYS = ("one", "two")


def instance(part: Any, key: str) -> Any:
    """Return a part of a plan as that of one instance of ``module.pair``."""
    return json.loads(json.dumps(part).replace("module.pair", f'module.pair[\\"{key}\\"]'))


def test_within_an_instance_of_a_module_its_own_resources_are_meant() -> None:
    pair = TerraformModule(
        {"aws_db_instance.a": source(), "aws_db_instance.copy": replica_of(Ref("aws_db_instance.a.arn"))}
    )
    document = plan(TerraformModule(calls={"pair": (pair, {})}), TWO)
    planned = document["planned_values"]["root_module"]
    planned["child_modules"] = [instance(child, key) for child in planned["child_modules"] for key in KEYS]
    document["resource_changes"] = [
        instance(item, key) for item in document["resource_changes"] for key in KEYS
    ]
    found = {
        item.address: item.source.address for item in facts(document).replicas if item.source is not None
    }
    assert found == {
        f'module.pair["{key}"].aws_db_instance.copy': f'module.pair["{key}"].aws_db_instance.a'
        for key in ("one", "two")
    }


@pytest.mark.parametrize(
    ("arguments", "is_meant"),
    [
        ({"identifier": "shop-eu-central-1"}, True),
        ({"identifier": "shop_us_east_1"}, True),
        ({"identifier": "shop-eu-west-1"}, False),
        ({"identifier": "shop-dr"}, True),
        ({"identifier": "shop-drive"}, False),
        ({"identifier": "shop-reads-2"}, False),
        ({"identifier": "node-a-b-1"}, False),
        ({"identifier": "shop", "tags": {"role": "disaster recovery"}}, True),
        ({"identifier": "shop", "tags": {"role": "reporting"}}, False),
        ({"identifier": "shop", "availability_zone": "eu-central-1a"}, True),
        ({"identifier": "shop", "availability_zone": "eu-west-1a"}, False),
    ],
)
def test_what_shows_that_a_replica_is_meant_for_another_region(
    arguments: dict[str, Any], is_meant: bool
) -> None:
    replica = only_replica(
        TerraformModule(
            {
                "aws_db_instance.a": source(),
                "aws_db_instance.copy": replica_of(Ref("aws_db_instance.a.arn"), **arguments),
            }
        )
    )
    assert bool(intent_of(replica)) is is_meant and not replica.is_cross_region
