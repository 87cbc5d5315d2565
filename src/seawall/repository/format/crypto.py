"""What seals an object: the repository's identity and master key, and the keys derived for each object.

The master key itself never encrypts data. Every object has 32 random bytes of salt in its header, and with
them a key of its own, so that nonces need to be unique within one object only.
"""

from __future__ import annotations

import hmac

KEY_BYTES = 32
SALT_BYTES = 32
REPOSITORY_ID_BYTES = 16
_OBJECT_INFO = b"seawall object v1"


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """Derive ``length`` bytes (RFC 5869). The standard library's HMAC keeps ``wal push`` fast to start."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    output, block = b"", b""
    counter = 1
    while len(output) < length:
        block = hmac.digest(extracted, block + info + bytes((counter,)), "sha256")
        output += block
        counter += 1
    return output[:length]


class CryptoContext:
    """What every object of one repository is sealed with; without a ``master_key`` nothing is encrypted."""

    __slots__ = ("_master_key", "repository_id")

    def __init__(self, repository_id: bytes, master_key: bytes | None) -> None:
        if len(repository_id) != REPOSITORY_ID_BYTES:
            raise ValueError("a repository id has 16 bytes")
        if master_key is not None and len(master_key) != KEY_BYTES:
            raise ValueError("a master key has 32 bytes")
        self.repository_id = repository_id
        self._master_key = master_key

    @property
    def is_encrypted(self) -> bool:
        return self._master_key is not None

    def object_key(self, salt: bytes) -> bytes:
        """Return the AES key of the object with this salt. Only for an encrypted repository."""
        if self._master_key is None:
            raise ValueError("an unencrypted repository has no object keys")
        return hkdf_sha256(self._master_key, salt=salt, info=_OBJECT_INFO)

    def reveal_master_key(self) -> bytes | None:
        """Return the master key itself: to seal it in a slot or for escrow, and for nothing else."""
        return self._master_key

    def derive(self, info: bytes) -> bytes | None:
        """Return a key for another purpose than objects, or None where nothing is encrypted."""
        if self._master_key is None:
            return None
        return hkdf_sha256(self._master_key, salt=self.repository_id, info=info)

    def __repr__(self) -> str:
        return f"CryptoContext({self.repository_id.hex()}, encrypted={self.is_encrypted})"
