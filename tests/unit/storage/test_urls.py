"""URLs of repositories: what each leads to, and what is said about those that lead nowhere."""

from __future__ import annotations

import pytest

from seawall.storage.errors import StoreUrlInvalid
from seawall.storage.urls import StoreOptions, open_store

SECRET = "hunter2"
ACCOUNT = {"key_id": "seawall", "secret": SECRET}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("file:///srv/a/", "file:///srv/a"),
        ("file:///srv/a%20b", "file:///srv/a b"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("memory:", "memory:"),
    ],
)
def test_a_good_url(url: str, shown: str) -> None:
    assert open_store(url, StoreOptions(credentials=ACCOUNT)).url == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/a",
        "file:srv",
        "file://srv/a",
        "file:///",
        "file:///a?b=c",
        "s3:///prefix",
        "s3://bucket:9000/x",
        "s3://bucket/a b",
        "s3://bucket/../x",
        "s3://bucket?colour=red",
        "s3://[bad/x",
        "ftp://host/x",
    ],
)
def test_a_bad_url_comes_with_a_remedy(url: str) -> None:
    with pytest.raises(StoreUrlInvalid) as caught:
        open_store(url)
    assert caught.value.hint


def test_a_secret_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(StoreUrlInvalid) as caught:
        open_store(f"s3://key:{SECRET}@bucket/x")
    assert SECRET not in f"{caught.value} {caught.value.hint} {caught.value.fields}"


def test_no_credentials_in_any_representation() -> None:
    options = StoreOptions(credentials=ACCOUNT)
    store = open_store("s3://bucket/x", options)
    assert SECRET not in f"{options!r} {store!r} {store.url} {vars(store)}"


def test_plain_http_is_for_loopback_only() -> None:
    open_store("s3://bucket/x", StoreOptions(endpoint="http://127.0.0.1:1", credentials=ACCOUNT))
    open_store("s3://bucket/x", StoreOptions(endpoint="https://s3.example", credentials=ACCOUNT))
    with pytest.raises(StoreUrlInvalid, match="TLS"):
        open_store("s3://bucket/x", StoreOptions(endpoint="http://s3.example", credentials=ACCOUNT))


@pytest.mark.parametrize("lacking", ["key_id", "secret"])
def test_half_an_account_is_refused(lacking: str) -> None:
    account = {name: value for name, value in ACCOUNT.items() if name != lacking}
    with pytest.raises(StoreUrlInvalid, match=lacking) as caught:
        open_store("s3://bucket/x", StoreOptions(credentials=account))
    assert SECRET not in str(caught.value)


def test_azure_is_constructed_the_same_way_and_its_complaints_repeat_nothing() -> None:
    account = {"key_id": "shop", "secret": "c2VjcmV0IGtleQ=="}
    assert open_store("az://container/x", StoreOptions(credentials=account)).url == "az://container/x"
    with pytest.raises(StoreUrlInvalid) as caught:
        open_store("az://container/x", StoreOptions(credentials=ACCOUNT))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_google_wants_the_json_of_an_account() -> None:
    with pytest.raises(StoreUrlInvalid, match="JSON") as caught:
        open_store("gs://bucket/x", StoreOptions(credentials=ACCOUNT))
    assert SECRET not in str(caught.value)
