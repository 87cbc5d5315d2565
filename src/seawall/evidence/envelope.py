"""The signed object: a DSSE envelope (Dead Simple Signing Envelope, version 1, secure-systems-lab/dsse).

DSSE signs the payload's bytes together with its type and both their lengths, so nothing is parsed before it is
proven and no signature can be taken for one of another kind. The standard leaves the envelope's own JSON open;
here it has exactly one rendering, so that every bit of the object counts.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from seawall.evidence.canonical import canonical, parse_canonical
from seawall.evidence.keys import PublicKey, SigningKey

PAYLOAD_TYPE = "application/vnd.seawall.evidence+json"


class Envelope(NamedTuple):
    """A parsed envelope. ``signer`` is what it says of itself; believe it after :meth:`is_signed_by`."""

    payload: bytes
    signer: str
    signature: bytes

    def is_signed_by(self, key: PublicKey) -> bool:
        """Say whether ``key`` signed the payload as evidence, and the envelope says so."""
        return self.signer == key.fingerprint and key.is_signature(self.signature, pae(self.payload))


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return DSSE's pre-authentication encoding: what is really signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, key: SigningKey) -> bytes:
    """Return the object's bytes."""
    return _render(Envelope(payload, key.public.fingerprint, key.sign(pae(payload))))


def parse_envelope(data: bytes) -> Envelope:
    """Read an object's bytes. Raises ValueError unless they are exactly as :func:`seal` writes them."""
    fields = parse_canonical(data)
    signatures = fields.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise ValueError("it does not have exactly one signature")
    found = Envelope(
        _decoded(fields.get("payload")),
        str(signatures[0].get("keyid")),
        _decoded(signatures[0].get("sig")),
    )
    if _render(found) != data:
        raise ValueError("it is no envelope of evidence, or not written in the one way that counts")
    return found


def _render(envelope: Envelope) -> bytes:
    return canonical(
        {
            "payload": base64.b64encode(envelope.payload).decode("ascii"),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": envelope.signer, "sig": base64.b64encode(envelope.signature).decode("ascii")}
            ],
        }
    )


def _decoded(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("a part of the envelope is missing")
    return base64.b64decode(value, validate=True)
