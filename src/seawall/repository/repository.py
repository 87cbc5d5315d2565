"""A repository: a store, its identity and its key. Everything else in this package is given one.

``seawall.json`` is written last at creation and never again, so a repository exists when it does. With a
master key it also carries a MAC, so that nobody who can write to the bucket can turn encryption off or swap
the identity unnoticed.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from datetime import UTC, datetime

from seawall.model.clock import Clock
from seawall.repository.errors import (
    ControlDamaged,
    EncryptionMismatch,
    FormatTooNew,
    KeyNeeded,
    RepositoryExists,
    RepositoryMissing,
    WrongKey,
)
from seawall.repository.format.codec import Codec, Compressor
from seawall.repository.format.control_json import (
    Fields,
    bytes_field,
    canonical,
    parse_control,
    render_control,
    text_field,
)
from seawall.repository.format.crypto import KEY_BYTES, REPOSITORY_ID_BYTES, CryptoContext
from seawall.repository.format.frames import (
    FORMAT_VERSION,
    MAX_RAW_BYTES,
    FrameContent,
    ObjectKind,
    ObjectSealer,
    open_object,
)
from seawall.repository.keys import Argon2Cost, KeySlot, parse_slot, seal_slot, unseal_any
from seawall.repository.layout import HEADER_KEY, KEYS_PREFIX
from seawall.repository.secrets import MasterKey, SlotSecret
from seawall.storage.errors import ObjectExists, ObjectMissing, StoreMissing
from seawall.storage.protocol import Buffer, ObjectStore

_ENCRYPTED, _PLAIN = "aes-256-gcm", "none"
_HEADER_INFO = b"seawall repository v1"


class Repository:
    """An open repository. Safe to share by threads: it holds no mutable state."""

    def __init__(
        self,
        store: ObjectStore,
        context: CryptoContext,
        *,
        clock: Clock,
        created_at: datetime,
        opened_with: str = "",
    ) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self.store = store
        self.context = context
        self.clock = clock
        self.created_at = created_at
        self.opened_with = opened_with
        """The key slot that opened it; empty for an unencrypted repository or the master key itself."""

    @property
    def id(self) -> str:
        """The identity, 32 hexadecimal digits; random, so copies are told from originals by URL only."""
        return self.context.repository_id.hex()

    @property
    def encrypted(self) -> bool:
        return self.context.is_encrypted

    @classmethod
    def create(
        cls,
        store: ObjectStore,
        secrets: Sequence[SlotSecret],
        *,
        clock: Clock,
        encrypted: bool = True,
        cost: Argon2Cost | None = None,
    ) -> Repository:
        """Probe the store and make a repository in it that each of ``secrets`` opens.

        Raises:
            StoreUnsafe, RepositoryExists, KeyNeeded, EncryptionMismatch: nothing was changed.
        Crash: key slots of the try may remain; they name its id, so that nobody ever uses them.
        """
        if encrypted and not secrets:
            raise KeyNeeded(
                "an encrypted repository needs at least one key",
                hint="give a key file or passphrase; to store all of it readable, ask for `encryption: none`",
            )
        if secrets and not encrypted:
            raise EncryptionMismatch("keys were given for a repository that is not to be encrypted")
        if _is_taken(store):
            raise RepositoryExists(f"{store.url} already holds a repository", hint="use it, or another URL")
        from seawall.storage.probe import require_safe  # not on the WAL client's path

        require_safe(store.probe(), store.url)
        master = os.urandom(KEY_BYTES) if encrypted else None
        context = CryptoContext(os.urandom(REPOSITORY_ID_BYTES), master)
        now = clock.now().replace(microsecond=0)
        slots: list[KeySlot] = []
        if master is not None:
            slots = [
                seal_slot(context.repository_id, master, secret, now=now, cost=cost) for secret in secrets
            ]
        for slot in slots:
            put_once(store, slot.key, slot.render())
        try:
            put_once(store, HEADER_KEY, _render_header(context, now))
        except ObjectExists:
            for slot in slots:
                store.delete(slot.key)
            raise RepositoryExists(f"another process made a repository at {store.url} first") from None
        opened_with = slots[0].slot if slots else ""
        return cls(store, context, clock=clock, created_at=now, opened_with=opened_with)

    @classmethod
    def open(cls, store: ObjectStore, secrets: Sequence[SlotSecret], *, clock: Clock) -> Repository:
        """Open the repository in ``store`` with whichever of ``secrets`` fits.

        Raises:
            RepositoryMissing, KeyNeeded, WrongKey, EncryptionMismatch, FormatTooNew, ControlDamaged.
        """
        fields, repository_id, created_at, is_encrypted = _read_header(store)
        if not is_encrypted:
            if secrets:
                raise EncryptionMismatch(
                    f"the repository at {store.url} is not encrypted, although keys are configured for it",
                    hint="if it is meant to be so, set `encryption: none`; if not, somebody replaced it",
                )
            context = CryptoContext(repository_id, None)
            return cls(store, context, clock=clock, created_at=created_at)
        slots, damaged = read_slots(store, repository_id)
        if not secrets:
            raise KeyNeeded(
                f"the repository at {store.url} is encrypted and no key was given",
                hint=_slots_hint(slots, damaged),
            )
        opened = unseal_any(slots, secrets)
        if opened is None:
            raise WrongKey(
                f"none of the given keys opens the repository at {store.url}",
                hint=_slots_hint(slots, damaged),
                slots=[slot.label for slot in slots],
            )
        master, slot = opened
        context = CryptoContext(repository_id, master)
        if not hmac.compare_digest(_header_mac(context, fields), _claimed_mac(fields)):
            if any(isinstance(secret, MasterKey) for secret in secrets) and not slot:
                raise WrongKey(f"this master key is not that of the repository at {store.url}")
            raise ControlDamaged(
                f"{HEADER_KEY} was not written by a holder of the master key", object=HEADER_KEY
            )
        return cls(store, context, clock=clock, created_at=created_at, opened_with=slot)

    def seal_object(self, key: str, kind: ObjectKind, payload: Buffer) -> bytes:
        """Return ``payload`` as a whole sealed object, to be put at ``key`` and nowhere else."""
        sealer = ObjectSealer(self.context, kind, key)
        compressor = Compressor()
        view = memoryview(payload)
        pieces = [view[start : start + MAX_RAW_BYTES] for start in range(0, len(view), MAX_RAW_BYTES)]
        pieces = pieces or [view]
        parts = [sealer.header]
        for number, piece in enumerate(pieces, start=1):
            sealed = sealer.seal(
                compressor.compress(piece),
                len(piece),
                content=FrameContent.META,
                codec=Codec.ZSTD,
                is_last=number == len(pieces),
            )
            parts.append(sealed)
        return b"".join(parts)

    def write_object(self, key: str, kind: ObjectKind, payload: Buffer) -> None:
        """Create a small control object durably.

        Raises:
            ObjectExists: somebody else's object is at ``key``; an earlier try of this call is no conflict.
        """
        put_once(self.store, key, self.seal_object(key, kind, payload))

    def read_object(self, key: str, kind: ObjectKind) -> bytes:
        """Return a small control object's payload. Raises ObjectMissing, FrameDamaged."""
        frames = open_object(self.context, kind, key, self.store.get(key))
        return b"".join([frame.payload for frame in frames])

    def __repr__(self) -> str:
        return f"Repository({self.store.url!r}, {self.id}, encrypted={self.encrypted})"


def put_once(store: ObjectStore, key: str, data: bytes) -> None:
    """Create ``key``; finding exactly ``data`` there counts as done.

    A put whose answer was lost is retried below, and then meets its own object. Everything put through here
    contains random bytes of its own, so equal bytes prove that it is the same put.

    Raises:
        ObjectExists: other bytes are there.
    """
    try:
        store.put(key, data)
    except ObjectExists:
        if store.get(key) != data:
            raise


def read_slots(store: ObjectStore, repository_id: bytes) -> tuple[list[KeySlot], list[str]]:
    """Return this repository's key slots, oldest first, and the keys of slots that are damaged."""
    slots: list[KeySlot] = []
    damaged: list[str] = []
    for info in store.scan(KEYS_PREFIX):
        try:
            slot = parse_slot(store.get(info.key), info.key)
        except ControlDamaged:
            damaged.append(info.key)
            continue
        except ObjectMissing:
            continue  # rotated away while we looked
        if slot.repository_id == repository_id:
            slots.append(slot)
    return sorted(slots, key=lambda slot: (slot.created_at, slot.slot)), damaged


def _is_taken(store: ObjectStore) -> bool:
    """Say whether a repository is in ``store`` already; a folder that the probe will make is none yet."""
    try:
        return store.stat(HEADER_KEY) is not None
    except StoreMissing:
        return False


def _header_fields(context: CryptoContext, created_at: datetime) -> Fields:
    return {
        "created_at": created_at.astimezone(UTC).isoformat(timespec="seconds"),
        "encryption": _ENCRYPTED if context.is_encrypted else _PLAIN,
        "format": FORMAT_VERSION,
        "repository": context.repository_id.hex(),
        "seawall": "repository",
    }


def _header_mac(context: CryptoContext, fields: Fields) -> bytes:
    key = context.derive(_HEADER_INFO)
    if key is None:
        return b""
    covered = {name: value for name, value in fields.items() if name != "mac"}
    return hmac.digest(key, canonical(covered), "sha256")


def _render_header(context: CryptoContext, created_at: datetime) -> bytes:
    fields = _header_fields(context, created_at)
    if context.is_encrypted:
        fields["mac"] = _header_mac(context, fields).hex()
    return render_control(fields)


def _claimed_mac(fields: Fields) -> bytes:
    return bytes_field(fields, "mac", HEADER_KEY, length=32)


def _read_header(store: ObjectStore) -> tuple[Fields, bytes, datetime, bool]:
    try:
        data = store.get(HEADER_KEY)
    except ObjectMissing:
        raise RepositoryMissing(
            f"there is no repository at {store.url}",
            hint="check the URL; `seawall repository init` makes a new one",
        ) from None
    fields = parse_control(data, HEADER_KEY)
    if fields.get("seawall") != "repository":
        raise ControlDamaged(f"{HEADER_KEY} is not a repository's header", object=HEADER_KEY)
    version = fields.get("format")
    if version != FORMAT_VERSION:
        raise FormatTooNew(
            f"the repository at {store.url} has format {version}; this Seawall knows format {FORMAT_VERSION}",
            hint="use the Seawall that wrote it, or a later one",
        )
    encryption = text_field(fields, "encryption", HEADER_KEY)
    if encryption not in (_ENCRYPTED, _PLAIN):
        raise ControlDamaged(f"{HEADER_KEY} names an unknown encryption", object=HEADER_KEY)
    try:
        created_at = datetime.fromisoformat(text_field(fields, "created_at", HEADER_KEY))
    except ValueError:
        raise ControlDamaged(f"{HEADER_KEY} has no time of creation", object=HEADER_KEY) from None
    repository_id = bytes_field(fields, "repository", HEADER_KEY, length=REPOSITORY_ID_BYTES)
    return fields, repository_id, created_at, encryption == _ENCRYPTED


def _slots_hint(slots: Sequence[KeySlot], damaged: Sequence[str]) -> str:
    if not slots:
        lost = f" ({', '.join(damaged)} damaged)" if damaged else ""
        return f"no key slot is left{lost}: open it with the escrow document"
    known = ", ".join(f"{slot.label} ({slot.kind})" for slot in slots)
    return f"these keys open it: {known}" + (f"; damaged: {', '.join(damaged)}" if damaged else "")
