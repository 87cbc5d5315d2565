"""One rendering, and nothing else passes for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.evidence.canonical import LARGEST_BYTES, LARGEST_INTEGER, canonical, parse_canonical

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(TEXTS, VALUES, max_size=5)


@given(DOCUMENTS)
def test_a_document_reads_back_as_it_was(document: dict[str, object]) -> None:
    data = canonical(document)
    assert parse_canonical(data) == document
    assert json.loads(data) == document, "any JSON reader understands it"


@given(DOCUMENTS, st.integers(0, 10_000))
def test_the_order_of_names_is_not_kept(document: dict[str, object], seed: int) -> None:
    turned = dict(sorted(document.items(), key=lambda item: hash((seed, item[0]))))
    assert canonical(turned) == canonical(document)


@given(DOCUMENTS, st.data())
def test_a_flipped_bit_is_refused_or_another_document(
    document: dict[str, object], data: st.DataObject
) -> None:
    written = bytearray(canonical(document))
    position = data.draw(st.integers(0, len(written) - 1))
    written[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = parse_canonical(bytes(written))
    except ValueError:
        return
    assert read != document, "two renderings of one document"
    assert canonical(read) == bytes(written)


@pytest.mark.parametrize(
    "text",
    [
        '{\n  "a": 1.5\n}\n',
        '{\n  "a": NaN\n}\n',
        '{\n  "a": 1e3\n}\n',
        '{\n  "a": 9007199254740992\n}\n',
        '{\n  "a": 1,\n  "a": 1\n}\n',
        '{\n  "b": 1,\n  "a": 1\n}\n',
        '{\n  "a": "\\u0041"\n}\n',
        '{\n  "a": "\\ud800"\n}\n',
        '{"a": 1}\n',
        '{\n  "a": 1\n}',
        '{\n  "a": 01\n}\n',
        "[]\n",
        "",
        "{" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_what_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_canonical(text.encode("utf-8"))


def test_too_much_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_canonical(b" " * (LARGEST_BYTES + 1))


@pytest.mark.parametrize("value", [1.5, float("nan"), 2**53, -(2**53), b"x", (1,), {1: 2}, object()])
def test_what_has_no_exact_form_is_not_written(value: object) -> None:
    with pytest.raises(ValueError):
        canonical({"a": [value]})
