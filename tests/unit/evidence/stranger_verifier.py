"""A verifier of evidence ledgers, written from docs/format.md alone: it shares no code with Seawall.

    python stranger_verifier.py FOLDER PUBLIC_KEY.pem…

FOLDER holds 000001.json and its successors. Prints the head, or what is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

REFUSED = (InvalidSignature, UnsupportedAlgorithm)
TYPE = "application/vnd.seawall.evidence+json"


class Wrong(ValueError):
    """The ledger is not what was written."""


def canonical(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read(data: bytes) -> Any:
    value = json.loads(data)
    if canonical(value) != data:
        raise Wrong("not canonical")
    return value


def load_key(pem: bytes) -> tuple[str, Ed25519PublicKey]:
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise Wrong("not an Ed25519 key")
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest(), key


def verify(folder: Path, pems: list[bytes]) -> str:
    """Return ``NUMBER:HASH`` of the head. Raises Wrong."""
    given = dict(map(load_key, pems))
    active: dict[str, Ed25519PublicKey] = {}
    ledger, previous, signers_at = None, None, 0
    files = sorted(folder.glob("*.json"))
    for number, path in enumerate(files, start=1):
        if path.name != f"{number:06d}.json":
            raise Wrong(f"{number} is missing")
        data = path.read_bytes()
        try:
            envelope = read(data)
            payload = base64.b64decode(envelope["payload"], validate=True)
            (signature,) = envelope["signatures"]
            sig = base64.b64decode(signature["sig"], validate=True)
            if base64.b64encode(payload).decode() != envelope["payload"] or envelope["payloadType"] != TYPE:
                raise Wrong("not an envelope")
            entry = read(payload)
            signer, body = entry["signer"], entry["body"]
            ledger = ledger or entry["ledger"]
            found = (entry["seawall"], entry["format"], entry["ledger"], entry["number"], entry["previous"])
            if (*found, entry["signers_at"]) != ("evidence", 1, ledger, number, previous, signers_at):
                raise Wrong("it is not the entry that belongs here")
            if number == 1:
                active = dict([load_key(body["public_key"].encode())])
            if signer not in active or signer not in given or signature["keyid"] != signer:
                raise Wrong("signed by a key that may not sign, or was not given")
            message = b"DSSEv1 %d %b %d %b" % (len(TYPE), TYPE.encode(), len(payload), payload)
            given[signer].verify(sig, message)
            if base64.b64encode(sig).decode() != signature["sig"] or set(envelope) != {
                "payload", "payloadType", "signatures"} or set(signature) != {"keyid", "sig"}:  # fmt: skip
                raise Wrong("not an envelope")
            if entry["type"] == "signer-added":
                active |= [load_key(body["public_key"].encode())]
            if entry["type"] == "signer-retired":
                del active[body["signer"]]
        except (ValueError, LookupError, TypeError, AttributeError, *REFUSED) as error:
            raise Wrong(f"{path.name}: {error!r}") from None
        if entry["type"] in ("genesis", "signer-added", "signer-retired"):
            signers_at = number
        previous = hashlib.sha256(data).hexdigest()
    return f"{len(files)}:{previous}"


if __name__ == "__main__":
    print(verify(Path(sys.argv[1]), [Path(name).read_bytes() for name in sys.argv[2:]]))
