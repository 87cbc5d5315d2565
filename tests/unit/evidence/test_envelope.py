"""Envelopes are DSSE's, as its specification and OpenSSL see them."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.evidence.envelope import PAYLOAD_TYPE, pae, parse_envelope, seal
from tests.unit.evidence.sample_ledger import key


def test_the_encoding_is_that_of_the_specification() -> None:
    """The test vector of DSSE's protocol.md."""
    encoded = pae(b"hello world", "http://example.com/HelloWorld")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_count_bytes() -> None:
    assert pae("ü".encode(), "ä") == "DSSEv1 2 ä 2 ü".encode()


@given(st.binary(max_size=200))
def test_what_was_sealed_opens(payload: bytes) -> None:
    envelope = parse_envelope(seal(payload, key()))
    assert envelope.payload == payload
    assert envelope.is_signed_by(key().public) and not envelope.is_signed_by(key(2).public)


@given(st.binary(max_size=60), st.data())
def test_no_flipped_bit_passes(payload: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(payload, key()))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        envelope = parse_envelope(bytes(sealed))
    except ValueError:
        return
    assert not envelope.is_signed_by(key().public)


def test_a_signature_of_another_type_does_not_count() -> None:
    """Whoever gets a host's key to sign something else has no evidence by that."""
    other = key().sign(pae(b"{}", "application/vnd.in-toto+json"))
    fields = json.loads(seal(b"{}", key()))
    fields["signatures"][0]["sig"] = base64.b64encode(other).decode()
    assert not parse_envelope(_written(fields)).is_signed_by(key().public)


@pytest.mark.parametrize(
    "change",
    [
        {"payloadType": "application/json"},
        {"signatures": []},
        {"signatures": [{"keyid": "a", "sig": ""}, {"keyid": "b", "sig": ""}]},
        {"signatures": [7]},
        {"payload": None},
        {"payload": "e30"},
        {"payload": "e31="},
        {"payload": "e30=\n"},
        {"more": 1},
    ],
)
def test_an_envelope_has_one_form(change: dict[str, object]) -> None:
    assert parse_envelope(seal(b"{}", key())).payload == b"{}", "e30="
    with pytest.raises(ValueError):
        parse_envelope(_written({**json.loads(seal(b"{}", key())), **change}))


def test_openssl_agrees(tmp_path: Path) -> None:
    """Key, fingerprint and signature mean the same to a program that knows nothing of Seawall."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not here")
    envelope = parse_envelope(seal(b"payload", key()))
    (tmp_path / "key.pem").write_text(key().public.pem)
    (tmp_path / "message").write_bytes(b"DSSEv1 %d %b 7 payload" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode()))
    (tmp_path / "signature").write_bytes(envelope.signature)
    verify = "pkeyutl -verify -pubin -inkey key.pem -rawin -in message -sigfile signature"
    assert subprocess.run([openssl, *verify.split()], cwd=tmp_path, check=False, timeout=60).returncode == 0
    der = subprocess.run(
        [openssl, *["pkey", "-pubin", "-in", "key.pem", "-outform", "DER"]],
        cwd=tmp_path, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    digest = subprocess.run(
        [openssl, "sha256"], input=der.stdout, capture_output=True, check=True, timeout=60
    )
    assert digest.stdout.decode().split()[-1] == envelope.signer
    (tmp_path / "message").write_bytes(b"DSSEv1 1 x 7 payload")
    assert subprocess.run([openssl, *verify.split()], cwd=tmp_path, check=False, timeout=60).returncode != 0


def _written(fields: dict[str, object]) -> bytes:
    return (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode()
