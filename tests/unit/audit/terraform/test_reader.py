"""What is no plan or state is named for what it is, with the way to the right file; and nothing makes a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seawall.audit.rule import apply_rules
from seawall.audit.terraform.facts import TerraformFacts
from seawall.audit.terraform.model import FileKind, Unseen
from seawall.audit.terraform.reading.errors import TerraformInvalid
from seawall.audit.terraform.reading.reader import LARGEST_BYTES, parse_terraform, read_terraform
from seawall.audit.terraform.rulebook import TERRAFORM_RULES, describe
from tests.support.terraform import as_bytes, shown, state, tfstate
from tests.unit.audit.terraform.stacks import sound_plan, tutorial_plan

LOG = b'{"@level":"info","@message":"Terraform 1.9.8"}\n{"@level":"info","@message":"Plan: 1 to add"}\n'
PLAN, SOUND = tutorial_plan(), sound_plan()


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "empty", "terraform show -json tfplan"),
        (b"  \n", "empty", "terraform show -json tfplan"),
        (b"PK\x03\x04\x14\x00", "binary", "terraform show -json FILE > plan.json"),
        (LOG, "log of terraform plan -json", "terraform show -json"),
        (b'resource "aws_db_instance" "a" {\n}\n', "configuration", "terraform plan -out tfplan"),
        (b"Terraform will perform the following actions:\n", "as people read it", "terraform show -json"),
        (b'{"format_version": "1.2", "planned_values": {', "not JSON (line 1", "terraform show -json"),
        (b"\xff\xfe\xfd", "not JSON", "terraform show -json"),
        (b"9" * 5000, "not JSON", "terraform show -json"),
        (b"[1, 2]", "no plan or state", "terraform show -json"),
        (b"7", "no plan or state", "terraform show -json"),
        (b'{"a": 1}', "neither planned_values nor values", "terraform show -json"),
        (b'{"format_version": "1.0", "provider_schemas": {}}', "schemas", "terraform show -json"),
        (b'{"format_version": "2.0", "planned_values": {}}', "format_version 2.0", "older Terraform"),
        (b'{"format_version": "x", "planned_values": {}}', "no format_version", "terraform show -json"),
        (b'{"format_version": 1, "planned_values": {}}', "no format_version", "terraform show -json"),
        (b'{"planned_values": {}}', "no format_version", "terraform show -json"),
        (b'{"format_version": "1.2", "planned_values": {}, "errored": true}', "failed", "correct what it said"),
        (b'{"version": 3, "serial": 1, "lineage": "x", "modules": []}', "version 3, older", "show -json > state"),
        (b'{"version": 5, "serial": 1, "lineage": "x"}', "version 5, newer", "show -json > state"),
        (b'{"serial": 1, "lineage": "x", "encrypted_data": "x"}', "encrypted by OpenTofu", "tofu show -json"),
        (b"[" * 100_000, "nested too deeply", "terraform show -json"),
    ],
)  # fmt: skip
def test_what_is_given_instead_is_named(content: bytes, message: str, hint: str) -> None:
    with pytest.raises(TerraformInvalid) as caught:
        parse_terraform(content, "FILE")
    assert message in caught.value.message and caught.value.message.startswith("FILE ")
    assert hint in caught.value.hint


def test_configuration_is_known_by_its_ending_too() -> None:
    with pytest.raises(TerraformInvalid, match="configuration"):
        parse_terraform(b"locals {}\n", "main.tf")


def test_a_file_that_is_missing_or_a_folder_is_said_so(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(TerraformInvalid) as caught:
            read_terraform(path)
        assert str(path) in caught.value.message and caught.value.hint


def test_a_huge_file_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)  # sparse
    with pytest.raises(TerraformInvalid, match="more than 128 MiB"):
        read_terraform(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_plan_is_read_in_what_shells_write(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(json.dumps(PLAN).encode(encoding))
    stack = read_terraform(path)
    assert stack.kind is FileKind.PLAN and stack.source == str(path)
    assert [resource.address for resource in stack.resources] == [
        "aws_db_instance.primary",
        "aws_db_instance.cross_region_replica",
    ]


def test_both_forms_of_a_state_are_read() -> None:
    database = {"identifier": "shop", "arn": "arn:aws:rds:eu-west-1:1:db:shop", "password": "hunter2"}
    for document in (
        state(shown("aws_db_instance", "a", **database)),
        tfstate(("aws_db_instance", "a", database)),
    ):
        stack = parse_terraform(as_bytes(document), "state")
        assert stack.kind is FileKind.STATE
        (resource,) = stack.resources
        assert resource.address == "aws_db_instance.a" and resource.values["identifier"] == "shop"
        assert resource.values["password"] is Unseen.SENSITIVE
    assert (
        parse_terraform(b'{"format_version": "1.0", "terraform_version": "1.9.8"}', "empty").resources == ()
    )


def test_indexes_and_modules_of_a_raw_state_become_addresses() -> None:
    document = tfstate(("aws_db_instance", "a", {}))
    document["resources"][0]["module"] = 'module.db["eu.west"]'
    document["resources"][0]["instances"] = [
        {"index_key": 0, "attributes": {}},
        {"index_key": 'a"b', "attributes": {}},
        {"attributes": {}, "deposed": "0123abcd"},
    ]
    stack = parse_terraform(as_bytes(document), "state")
    assert [resource.address for resource in stack.resources] == [
        'module.db["eu.west"].aws_db_instance.a[0]',
        'module.db["eu.west"].aws_db_instance.a["a\\"b"]',
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(
        ["aws_db_instance", "eu-west-1", "arn:aws:rds:eu-west-1:1:db:x", "var.a", "module.b.c", "data.x.y.z", "local.r"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def _places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a document."""
    children = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    return [path, *(place for key, child in children for place in _places(child, (*path, key)))]


PLACES = [place for place in _places(PLAN) if place]
SOUND_PLACES = [place for place in _places(SOUND) if place]

RETENTION = ("planned_values", "root_module", "resources", 0, "values")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SOUND_PLACES), JSON, st.sampled_from(SOUND_PLACES), JSON)
@example(
    ("planned_values", "root_module", "resources", 0, "values", "backup_retention_period"),
    10**400,
    ("variables",),
    0,
)
def test_a_plan_with_anything_in_two_places_never_makes_a_traceback(
    first: tuple[Any, ...], something: Any, second: tuple[Any, ...], other: Any
) -> None:
    document = json.loads(json.dumps(SOUND))
    for place, value in ((first, something), (second, other)):
        _put(document, place, value)
    _judge(json.dumps(document).encode())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    _judge(content)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(as_bytes(PLAN))), st.binary(min_size=1, max_size=4))
def test_a_damaged_plan_is_read_or_refused(position: int, garbage: bytes) -> None:
    content = as_bytes(PLAN)
    _judge(content[:position] + garbage + content[position + len(garbage) :])
    _judge(content[:position])


def _put(document: Any, place: tuple[Any, ...], value: Any) -> None:
    for step in place[:-1]:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return  # the first change took this place away
    if isinstance(document, dict | list):
        try:
            document[place[-1]] = value
        except (IndexError, TypeError):
            return  # likewise


def _judge(content: bytes) -> None:
    try:
        stack = parse_terraform(content, "plan.json")
    except TerraformInvalid as error:
        assert error.hint
        return
    facts = TerraformFacts(stack)
    assert describe(facts)
    findings = apply_rules(TERRAFORM_RULES, facts)
    assert {finding.rule.id for finding in findings} == {rule.id for rule in TERRAFORM_RULES}


VALUED = [place for place in PLACES if "values" in place or "after" in place or "expressions" in place]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(VALUED), st.sampled_from(["password", "master_password", "secret_string", "auth_token"])
)
def test_text_under_a_secret_name_never_enters_the_model(place: tuple[Any, ...], name: str) -> None:
    """Wherever a secret stands in values or configuration, neither the model nor a finding has it."""
    document = json.loads(json.dumps(PLAN))
    _put(document, place, {name: "MARKED-x", "constant_value": None} if "expressions" not in place else None)
    _put(
        document,
        (*place[:-1], name),
        "MARKED-y" if "expressions" not in place else {"constant_value": "MARKED-z"},
    )
    stack = parse_terraform(json.dumps(document).encode(), "plan.json")
    facts = TerraformFacts(stack)
    assert "MARKED-y" not in repr(stack) and "MARKED-z" not in repr(stack)
    assert "MARKED" not in repr(apply_rules(TERRAFORM_RULES, facts))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_marked_sensitive_never_enters_the_model(data: st.DataObject) -> None:
    """A marked value of any resource, at any depth, is replaced while it is read."""
    document = json.loads(json.dumps(PLAN))
    resource = data.draw(st.sampled_from(document["planned_values"]["root_module"]["resources"]))
    name = data.draw(st.sampled_from(sorted(resource["values"])))
    depth = data.draw(st.integers(0, 3))
    value, mark = data.draw(st.sampled_from(["MARKED", ["MARKED"], {"a": "MARKED"}])), True
    for _ in range(depth):
        value, mark = {"in": value}, {"in": mark}  # type: ignore[assignment]
    resource["values"][name], resource["sensitive_values"][name] = value, mark
    for change in document["resource_changes"]:
        if change["address"] == resource["address"]:
            change["change"]["after"][name], change["change"]["after_sensitive"] = value, {name: mark}
    document["configuration"]["root_module"]["resources"] = [
        {**item, "expressions": {**item["expressions"], name: {"constant_value": "MARKED"}}}
        if item["address"] == resource["address"] and depth == 0
        else item
        for item in document["configuration"]["root_module"]["resources"]
    ]
    stack = parse_terraform(json.dumps(document).encode(), "plan.json")
    assert "MARKED" not in repr(stack)
    assert "MARKED" not in repr(apply_rules(TERRAFORM_RULES, TerraformFacts(stack)))
