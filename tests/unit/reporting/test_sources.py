"""Places: a plan's URL and what a drill recorded are told to be the same, and others not."""

from __future__ import annotations

import pytest

from seawall.reporting.sources import planned_location, planned_sources, recorded_location
from seawall.storage.urls import StoreOptions, open_store
from tests.unit.reporting.sample import PLAN, drill, plan, report


@pytest.mark.parametrize(
    "url",
    [
        "file:///var/lib/seawall/near",
        "file:///var/lib/seawall/near/",
        "file:///var/lib/sea%20wall/../near",
        "s3://shop-dr",
        "s3://shop-dr/",
        "s3://shop-dr/prefix/deeper/",
        "s3://shop-dr/prefix?region=eu-central-1&endpoint=https://store.example",
    ],
)
def test_a_plans_url_is_named_as_its_store_names_itself(url: str) -> None:
    store = open_store(url, StoreOptions(region="eu-central-1", credentials={"key_id": "k", "secret": "s"}))
    assert planned_location(url) == store.url == recorded_location(store.url)


def test_a_coordinated_store_is_its_data() -> None:
    assert recorded_location("s3://shop-dr (coordinated by file:///c)") == "s3://shop-dr"


def test_a_tools_path_is_a_folders_url() -> None:
    assert recorded_location("/srv/dumps/") == planned_location("file:///srv/dumps")
    assert recorded_location("shop.dump") == "shop.dump"


def test_buckets_of_one_name_prove_nothing_of_each_other() -> None:
    url = "s3://shop-dr?endpoint=https://store.example"
    twin = f'  twin: {{site: eu-west, url: "{url}", keys: [file:/etc/seawall/shop.key]}}\nclusters:'
    made = plan(PLAN.replace("clusters:", twin))
    assert sorted(planned_sources(made).values()) == ["far", "near", "twin"]
    told = report([drill("2026-10-05")], of=made)
    assert {gap.subject for gap in told.gaps if gap.kind == "repository"} == {
        "main from near", "main from far", "main from twin"
    }  # fmt: skip


def test_no_plan_names_nothing() -> None:
    assert planned_sources(None) == {}
