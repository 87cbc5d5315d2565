"""Who can open the repository: list, add, rotate and remove key slots; put the key in escrow and take it out.

All of this changes the seals only. The master key stays what it is, so no data is written again; and so
somebody who once had the master key, or a copy of an old slot and its secret, keeps it
(``docs/format.md``, "Threats"): after a theft, make a new repository.
"""

from __future__ import annotations

from dataclasses import dataclass

from seawall.repository.errors import ControlDamaged, KeyNeeded, LastKeySlot, NameInvalid, WrongKey
from seawall.repository.format.control_json import (
    Fields,
    bytes_field,
    parse_control,
    render_control,
    text_field,
)
from seawall.repository.keys import Argon2Cost, KeySlot, seal_slot, slot_fields, slot_from_fields, unseal_slot
from seawall.repository.repository import Repository, put_once, read_slots
from seawall.repository.secrets import MasterKey, SlotSecret, format_groups, parse_groups

_ESCROW_NAME = "the escrow document"


@dataclass(frozen=True, slots=True)
class SlotListing:
    """The slots of a repository, oldest first, and the object keys of those that are damaged."""

    slots: tuple[KeySlot, ...]
    damaged: tuple[str, ...]


def list_slots(repository: Repository) -> SlotListing:
    """Read every key slot."""
    slots, damaged = read_slots(repository.store, repository.context.repository_id)
    return SlotListing(tuple(slots), tuple(damaged))


def add_slot(repository: Repository, secret: SlotSecret, *, cost: Argon2Cost | None = None) -> KeySlot:
    """Let ``secret`` open the repository from now on.

    Raises:
        KeyNeeded: the repository is not encrypted.
        NameInvalid: another slot has that label.
    """
    master = _master_key(repository)
    if any(slot.label == secret.label for slot in list_slots(repository).slots):
        raise NameInvalid(
            f"there is a key slot {secret.label!r} already",
            hint="choose another label, or replace its secret with `seawall key rotate`",
        )
    return _store_slot(repository, master, secret, cost)


def rotate_slot(
    repository: Repository, name: str, secret: SlotSecret, *, cost: Argon2Cost | None = None
) -> KeySlot:
    """Replace the slot with this label or slot name by one for ``secret``; the old secret opens no more.

    Raises:
        NameInvalid: no slot, or several, have that name.
        StoreRefused: an object lock holds the old slot; the new one is there and works.
    Crash: both slots open it; rotate again.
    """
    master = _master_key(repository)
    old = _find(repository, name)
    new = _store_slot(repository, master, secret, cost)
    repository.store.delete(old.key)
    return new


def remove_slot(repository: Repository, name: str) -> KeySlot:
    """Take a holder's slot away.

    Raises:
        LastKeySlot: nothing would open the repository any more.
        NameInvalid: no slot, or several, have that name.
    """
    slot = _find(repository, name)
    if len(list_slots(repository).slots) == 1:
        raise LastKeySlot(
            f"{slot.label!r} is the only key that opens this repository",
            hint="add another with `seawall key add`, or replace it with `seawall key rotate`",
        )
    repository.store.delete(slot.key)
    return slot


def export_sealed(repository: Repository, secret: SlotSecret, *, cost: Argon2Cost | None = None) -> bytes:
    """Return an escrow document that needs ``secret``: a slot which is kept elsewhere than in the bucket."""
    slot = seal_slot(
        repository.context.repository_id,
        _master_key(repository),
        secret,
        now=repository.clock.now(),
        cost=cost,
    )
    return render_control({**_escrow_fields(repository), "key_slot": slot_fields(slot)})


def export_master_key(repository: Repository) -> bytes:
    """Return an escrow document with the master key in the open: whoever reads it can read everything, for
    ever. Only on a person's explicit demand."""
    fields = _escrow_fields(repository)
    return render_control({**fields, "master_key": format_groups(_master_key(repository))})


def open_escrow(document: bytes, secret: SlotSecret | None = None) -> MasterKey:
    """Return what an escrow document keeps; :meth:`Repository.open` takes it as a secret.

    Raises:
        ControlDamaged: it is no escrow document, or was changed.
        KeyNeeded: it is sealed, and no ``secret`` was given.
        WrongKey: it is sealed for another secret.
    """
    fields = parse_control(document, _ESCROW_NAME)
    if fields.get("seawall") != "escrow" or fields.get("format") != 1:
        raise ControlDamaged(f"{_ESCROW_NAME} is not one of Seawall's", object=_ESCROW_NAME)
    bytes_field(fields, "repository", _ESCROW_NAME, length=16)
    sealed = fields.get("key_slot")
    if not isinstance(sealed, dict):
        try:
            return MasterKey("escrow", parse_groups(text_field(fields, "master_key", _ESCROW_NAME)))
        except NameInvalid:
            raise ControlDamaged(f"{_ESCROW_NAME} holds no key", object=_ESCROW_NAME) from None
    slot = slot_from_fields(sealed, _ESCROW_NAME)
    if secret is None:
        raise KeyNeeded(f"{_ESCROW_NAME} is sealed", hint=f"it opens with: {slot.label} ({slot.kind})")
    master = unseal_slot(slot, secret)
    if master is None:
        raise WrongKey(
            f"this secret does not open {_ESCROW_NAME}", hint=f"it opens with: {slot.label} ({slot.kind})"
        )
    return MasterKey(slot.label, master)


def _escrow_fields(repository: Repository) -> Fields:
    return {
        "created_at": repository.clock.now().isoformat(timespec="seconds"),
        "format": 1,
        "repository": repository.id,
        "seawall": "escrow",
        "url": repository.store.url,
    }


def _store_slot(
    repository: Repository, master: bytes, secret: SlotSecret, cost: Argon2Cost | None
) -> KeySlot:
    slot = seal_slot(repository.context.repository_id, master, secret, now=repository.clock.now(), cost=cost)
    put_once(repository.store, slot.key, slot.render())
    return slot


def _find(repository: Repository, name: str) -> KeySlot:
    slots = list_slots(repository).slots
    found = [slot for slot in slots if name in (slot.slot, slot.label)]
    if len(found) != 1:
        known = ", ".join(f"{slot.label} ({slot.slot})" for slot in slots)
        count = "several key slots have" if found else "no key slot has"
        raise NameInvalid(f"{count} the name {name!r}", hint=f"the slots are: {known}")
    return found[0]


def _master_key(repository: Repository) -> bytes:
    master = repository.context.reveal_master_key()
    if master is None:
        raise KeyNeeded(
            f"the repository at {repository.store.url} is not encrypted and has no keys",
            hint="encryption is chosen at `seawall repository init`",
        )
    return master
