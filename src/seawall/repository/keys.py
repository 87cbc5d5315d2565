"""Key slots: the master key, sealed once for each holder, so that holders come and go without touching data.

A slot is one small JSON object that anybody who reads the bucket can see; it tells who holds it (a label) and
how its secret becomes a key, and contains the master key under AES-256-GCM. Everything in it is authenticated
with the seal. Slots bind to one repository id: those that a crashed ``repository init`` left are ignored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from seawall.repository.errors import ControlDamaged, NameInvalid
from seawall.repository.format.aead import AESGCM, invalid_tag
from seawall.repository.format.control_json import (
    Fields,
    bytes_field,
    canonical,
    integer_field,
    parse_control,
    render_control,
    text_field,
)
from seawall.repository.format.crypto import KEY_BYTES, hkdf_sha256
from seawall.repository.layout import KEYS_PREFIX, slot_key
from seawall.repository.secrets import KeyFile, MasterKey, Passphrase, RecoveryCode, SlotSecret

_SLOT_INFO = b"seawall slot v1"
_SALT_BYTES = 16
_NONCE_BYTES = 12
_SEALED_BYTES = KEY_BYTES + 16
_KINDS = {KeyFile: "key-file", Passphrase: "passphrase", RecoveryCode: "recovery-code"}


class Argon2Cost(NamedTuple):
    """RFC 9106's second recommended choice; about 60 ms and 64 MiB for one try on a current core."""

    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 << 10


_MOST_ITERATIONS, _MOST_LANES, _MOST_MEMORY_KIB = 64, 16, 1 << 20
"""A forged slot can't make its reader burn more than this."""


class KeySlot(NamedTuple):
    """One slot as stored. Nothing in it is secret to somebody who lacks its secret."""

    slot: str
    repository_id: bytes
    label: str
    kind: str
    created_at: str
    salt: bytes
    cost: Argon2Cost | None
    nonce: bytes
    sealed: bytes

    def fields(self) -> Fields:
        """Return everything but the sealed key: what is shown, and what the seal authenticates."""
        derivation: Fields = {"name": "hkdf-sha256", "salt": self.salt.hex()}
        if self.cost is not None:
            derivation |= {
                "name": "argon2id",
                "iterations": self.cost.iterations,
                "lanes": self.cost.lanes,
                "memory_kib": self.cost.memory_kib,
            }
        return {
            "created_at": self.created_at,
            "derivation": derivation,
            "format": 1,
            "kind": self.kind,
            "label": self.label,
            "nonce": self.nonce.hex(),
            "repository": self.repository_id.hex(),
            "seawall": "key-slot",
            "slot": self.slot,
        }

    def render(self) -> bytes:
        return render_control(slot_fields(self))

    @property
    def key(self) -> str:
        """The object's key."""
        return slot_key(self.slot)


def slot_name(key: str) -> str:
    """Return the slot that an object key under ``keys/`` names."""
    return key.removeprefix(KEYS_PREFIX).removesuffix(".json")


def slot_fields(slot: KeySlot) -> Fields:
    """Return all of a slot: :meth:`KeySlot.fields` and the sealed key."""
    return {**slot.fields(), "sealed": slot.sealed.hex()}


def parse_slot(data: bytes, key: str) -> KeySlot:
    """Read a slot. Needs no secret. Raises ControlDamaged for any flipped bit."""
    slot = slot_from_fields(parse_control(data, key), key)
    if slot.key != key:
        raise ControlDamaged(f"{key} holds another slot", object=key)
    return slot


def slot_from_fields(fields: Fields, key: str) -> KeySlot:
    """Read a slot's fields. Raises ControlDamaged if they are not exactly those of a slot."""
    derivation = fields.get("derivation")
    if not isinstance(derivation, dict):
        raise ControlDamaged(f"{key} is not a key slot", object=key)
    slot = KeySlot(
        slot=text_field(fields, "slot", key),
        repository_id=bytes_field(fields, "repository", key, length=16),
        label=text_field(fields, "label", key),
        kind=text_field(fields, "kind", key),
        created_at=text_field(fields, "created_at", key),
        salt=bytes_field(derivation, "salt", key, length=_SALT_BYTES),
        cost=_cost(derivation, key),
        nonce=bytes_field(fields, "nonce", key, length=_NONCE_BYTES),
        sealed=bytes_field(fields, "sealed", key, length=_SEALED_BYTES),
    )
    if slot_fields(slot) != fields:
        raise ControlDamaged(f"{key} holds fields that no key slot has", object=key)
    return slot


def _cost(derivation: Fields, key: str) -> Argon2Cost | None:
    if derivation.get("name") != "argon2id":
        return None
    return Argon2Cost(
        integer_field(derivation, "iterations", key, at_most=_MOST_ITERATIONS),
        integer_field(derivation, "lanes", key, at_most=_MOST_LANES),
        integer_field(derivation, "memory_kib", key, at_most=_MOST_MEMORY_KIB),
    )


def seal_slot(
    repository_id: bytes, master: bytes, secret: SlotSecret, *, now: datetime, cost: Argon2Cost | None = None
) -> KeySlot:
    """Seal ``master`` for the holder of ``secret`` in a new slot with a random name."""
    kind = _KINDS.get(type(secret))
    if kind is None:
        raise NameInvalid(
            "a master key can't be a slot's secret", hint="use a key file, passphrase or recovery code"
        )
    slot = KeySlot(
        slot=os.urandom(4).hex(),
        repository_id=repository_id,
        label=secret.label,
        kind=kind,
        created_at=now.isoformat(timespec="seconds"),
        salt=os.urandom(_SALT_BYTES),
        cost=(cost or Argon2Cost()) if isinstance(secret, Passphrase) else None,
        nonce=os.urandom(_NONCE_BYTES),
        sealed=b"",
    )
    cipher = AESGCM(_slot_key(slot, secret))
    sealed = cipher.encrypt(slot.nonce, master, canonical(slot.fields()))
    return slot._replace(sealed=sealed)


def unseal_slot(slot: KeySlot, secret: SlotSecret) -> bytes | None:
    """Return the master key, or None if ``secret`` is not this slot's."""
    if _KINDS.get(type(secret)) != slot.kind or (slot.cost is None) is isinstance(secret, Passphrase):
        return None
    try:
        return AESGCM(_slot_key(slot, secret)).decrypt(slot.nonce, slot.sealed, canonical(slot.fields()))
    except invalid_tag():
        return None


def unseal_any(slots: Sequence[KeySlot], secrets: Sequence[SlotSecret]) -> tuple[bytes, str] | None:
    """Return the master key and the name of the slot that gave it, cheap derivations first."""
    ordered = sorted(secrets, key=lambda secret: isinstance(secret, Passphrase))
    for secret in ordered:
        if isinstance(secret, MasterKey):
            return secret.key, ""
        # A holder's own label first: trying a passphrase on every slot costs 60 ms each.
        for slot in sorted(slots, key=lambda slot: slot.label != secret.label):
            master = unseal_slot(slot, secret)
            if master is not None:
                return master, slot.slot
    return None


def _slot_key(slot: KeySlot, secret: SlotSecret) -> bytes:
    if isinstance(secret, Passphrase):
        # Imported here: `wal push` opens with a key file and should not pay for this.
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        cost = slot.cost or Argon2Cost()
        stretched = Argon2id(
            salt=slot.salt,
            length=KEY_BYTES,
            iterations=cost.iterations,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
        ).derive(secret.text.encode("utf-8"))
    elif isinstance(secret, KeyFile):
        stretched = secret.content
    else:
        stretched = secret.key
    return hkdf_sha256(stretched, salt=slot.salt, info=_SLOT_INFO)
