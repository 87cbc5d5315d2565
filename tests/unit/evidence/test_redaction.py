"""What tools and servers say, without the secrets and rows that they quote."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.evidence.redaction import LARGEST_TEXT, REDACTED, redact, redact_all


@pytest.mark.parametrize(
    "text",
    [
        "could not connect to postgresql://shop:hunter2@db1:5432/shop",
        "postgresql://:hunter2@db1/shop failed",
        "dbname=shop password=hunter2 host=db1",
        "dbname=shop password='hunter2 it''s' host=db1",
        'dbname=shop sslpassword="hunter2" host=db1',
        "PGPASSWORD=hunter2 pg_restore -d shop",
        "aws_secret_access_key = hunter2",
        "https://shop-dr.example/x?X-Amz-Signature=hunter2&X-Amz-Date=1",
        "https://shop-dr.example/x?X-Amz-Security-Token=hunter2",
        '{"password": "hunter2"}',
        "{'api_key': 'hunter2'}",
        "STATEMENT: ALTER ROLE shop WITH PASSWORD 'hunter2';",
        "CREATE ROLE shop LOGIN PASSWORD 'SCRAM-SHA-256$4096:hunter2$x:y'",
        "verifier SCRAM-SHA-256$4096:hunter2$abc=:def=",
        "-----BEGIN PRIVATE" + " KEY-----\nhunter2\n-----END PRIVATE" + " KEY-----\n",
        "-----BEGIN OPENSSH PRIVATE" + " KEY-----\nhunter2",
        "DETAIL:  Key (email)=(hunter2@example.com) already exists.",
        'DETAIL:  Key (id, email)=(7, hunter2) is not present in table "people".',
        "DETAIL:  Failing row contains (1, hunter2, (a), null).",
        'CONTEXT:  COPY people, line 3, column email: "hunter2"',
        'CONTEXT:  COPY people, line 3: "1\thunter2\tx"',
    ],
)
def test_secrets_and_rows_are_struck_out(text: str) -> None:
    found = redact(text)
    assert "hunter2" not in found
    assert REDACTED in found


@pytest.mark.parametrize(
    "text",
    [
        'FATAL:  password authentication failed for user "shop"',
        "postgresql://shop@db1:5432/shop",
        "s3://shop-dr/prefix at 10:41:07",
        "recovered to 16/B374D848, timeline 2",
        "table digest md5 9e107d9d372bb6826bd81d3542a419d6",
        'relation "orders" has 3 rows, 4 expected',
        "Jürgen zählte 漢字 ✓",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_long_texts_are_cut_and_say_so() -> None:
    found = redact("x" * (LARGEST_TEXT + 7))
    assert found == "x" * LARGEST_TEXT + f"… (cut, {LARGEST_TEXT + 7} characters in all)"


@pytest.mark.parametrize(
    "piece",
    [
        "x",
        "a.",
        "password",
        "Key (",
        "Failing row contains (",
        "://",
        "a://b:",
        "'",
        'COPY x, line 1: "',
        "-----BEGIN PRIVATE",
    ],
)
def test_a_tool_that_talks_for_megabytes_costs_little(piece: str) -> None:
    began = time.process_time()
    assert len(redact(piece * (2_000_000 // len(piece)))) < 2 * LARGEST_TEXT
    assert time.process_time() - began < 5


@given(st.text())
def test_any_text_becomes_valid(text: str) -> None:
    """Also names of files that are no UTF-8, which Python holds as lone surrogates."""
    redact(text).encode("utf-8")


def test_every_text_is_reached() -> None:
    value = {"a": ["password=hunter2", {"b": "password=hunter2"}], "n": 1, "none": None, "yes": True}
    found = redact_all(value)
    assert "hunter2" not in str(found)
    assert isinstance(found, dict) and (found["n"], found["none"], found["yes"]) == (1, None, True)


def test_names_of_figures_are_valid_too() -> None:
    assert redact_all({"caf\udce9": 1}) == {"caf\\udce9": 1}
