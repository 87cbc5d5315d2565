"""Whatever stands in a plan file, the answer is diagnostics: never a traceback, never a secret, never a hang."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall.plan.diagnostics import Severity
from seawall.plan.load import MOST_BYTES, diagnose_bytes

PATH = Path("/etc/seawall/plan.yaml")
GOOD = (Path(__file__).parents[2] / "golden" / "plans" / "everything.yaml").read_bytes()
YAML_PIECES = st.sampled_from(
    [b"[", b"]", b"{", b"}", b": ", b"- ", b"\n", b"\n  ", b"\t", b"&a ", b"*a", b"!!x ", b"? ", b"|", b">", b"#",
     b"'", b'"', b"%YAML 1.1\n", b"---\n", b"...\n", b"<<: ", b"\\x", b'"\\U99999999"', b"\xff", b"\x00",
     b"\xef\xbb\xbf", b"version", b"sites", b"1", b"~", b"12:30", b"on", b"0b12_", b"9" * 400, b"\xc2\x85",
     b"\xe2\x80\xa8", b"@", b"`"]
)  # fmt: skip


def diagnose_anything(data: bytes) -> None:
    plan, found = diagnose_bytes(data, PATH)

    assert (plan is None) == any(finding.severity is Severity.ERROR for finding in found)
    assert all(
        finding.message and finding.remedy and finding.line > 0 and finding.column > 0 for finding in found
    )


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    diagnose_anything(data)


@settings(max_examples=300, deadline=None)
@given(st.lists(YAML_PIECES, max_size=30))
def test_any_pieces_of_yaml(pieces: list[bytes]) -> None:
    diagnose_anything(b"".join(pieces))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_damage_to_a_good_plan(data: st.DataObject) -> None:
    plan = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(plan) - 1))
        length = data.draw(st.integers(0, 40))
        plan[start : start + length] = data.draw(st.one_of(YAML_PIECES, st.binary(max_size=8)))
    diagnose_anything(bytes(plan))


@pytest.mark.parametrize("opening", [b"[", b"{", b"- ", b"a:\n ", b"? ", b"[{"])
def test_deep_nesting_is_a_finding(opening: bytes) -> None:
    """A recursive composer would end in RecursionError here."""
    diagnose_anything(opening * 5000)


def test_larger_files_are_refused_unread() -> None:
    plan, found = diagnose_bytes(b"a" * (MOST_BYTES + 1), PATH)

    assert plan is None
    assert [finding.code for finding in found] == ["too-large"]


@pytest.mark.parametrize("secret", ["hunter2", "s3cr3t/+==", "geheim"])
@pytest.mark.parametrize(
    "line",
    ["keys: [{}]", "credentials: {{key_id: {}, secret: {}}}", "url: s3://user:{}@bucket",
     "endpoint: 'https://u:{}@s3.example/'", "keys: ['passphrase:{}']"],
)  # fmt: skip
def test_no_secret_is_ever_repeated(secret: str, line: str) -> None:
    text = f"repositories:\n  far:\n    {line.replace('{}', secret).replace('{{', '{').replace('}}', '}')}\n"

    _, found = diagnose_bytes(text.encode(), PATH)

    assert any(finding.code == "secret-literal" for finding in found)
    assert secret not in "\n".join(map(str, found))


def test_a_large_plan_is_diagnosed_in_reasonable_time() -> None:
    """A fleet of many clusters is one plan; the time must grow with its size, not with its square."""

    def seconds_for(clusters: int) -> float:
        head = GOOD[: GOOD.index(b"clusters:")].decode()
        body = "".join(
            f"  c{number}: {{primary: {{host: db1, dsn: 'postgresql:///', data: /srv/{number}}}}}\n"
            for number in range(clusters)
        )
        began = time.perf_counter()
        plan, _ = diagnose_bytes(f"{head}clusters:\n{body}".encode(), PATH)
        assert plan is not None and len(plan.clusters) == clusters
        return time.perf_counter() - began

    seconds_for(10)
    assert seconds_for(800) < 24 * seconds_for(100)
