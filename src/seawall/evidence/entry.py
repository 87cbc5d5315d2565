"""One entry: what is signed, and how it is tied to those before it.

The payload names its ledger, its number, the hash of the whole object before it, and the newest entry before
it that decides who may sign. The last makes the signers a short chain of their own: a writer reads those few
entries and the head, and nothing else, however long the ledger is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import msgspec

from seawall.evidence.canonical import Document, canonical, parse_canonical
from seawall.evidence.envelope import Envelope, parse_envelope, seal
from seawall.evidence.errors import EvidenceUnfit
from seawall.evidence.keys import SigningKey
from seawall.evidence.model import SIGNER_TYPES, STATEMENTS, Statement
from seawall.evidence.redaction import redact_all
from seawall.repository.errors import FormatTooNew

FORMAT = 1
FIRST = 1
_MARK = "evidence"
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which ledger an entry is to be: behind the object with ``previous`` as its SHA-256."""

    ledger: str
    number: int
    previous: str | None
    signers_at: int
    """The newest entry before this one that decides who may sign; 0 for the first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A parsed entry. Its signature and its place in the chain are proven elsewhere."""

    place: Place
    id: str
    """32 random hexadecimal digits: no two entries are equal, so equal bytes are one and the same put."""
    at: datetime
    type: str
    version: int
    body: Mapping[str, object]
    """The statement as it was written, with members that this version doesn't know."""
    envelope: Envelope
    sha256: str
    """The hash of the whole object, as ``sha256sum`` prints it."""

    @property
    def number(self) -> int:
        return self.place.number

    @property
    def head(self) -> str:
        """``NUMBER:HASH``: what to keep elsewhere while this is the newest entry."""
        return f"{self.number}:{self.sha256}"

    @property
    def signer(self) -> str:
        """The fingerprint of the key that signed."""
        return self.envelope.signer

    @property
    def decides_signers(self) -> bool:
        return self.type in SIGNER_TYPES

    @property
    def next_signers_at(self) -> int:
        """What the entry behind this one has to name."""
        return self.number if self.decides_signers else self.place.signers_at

    @property
    def statement(self) -> Statement | None:
        """The body as a value, or None if this version does not know its type or can't read it."""
        kind = STATEMENTS.get(self.type)
        if kind is None or self.version != kind.VERSION:
            return None
        try:
            return msgspec.convert(dict(self.body), kind)
        except msgspec.ValidationError:
            return None


def seal_entry(statement: Statement, place: Place, key: SigningKey, *, entry_id: str, at: datetime) -> bytes:
    """Return a whole signed object. Secrets and rows in its texts are struck out.

    Raises:
        EvidenceUnfit: the statement contradicts itself or has no exact form.
    """
    statement.check()
    if at.tzinfo is None:
        raise ValueError("an entry's time is aware")
    try:
        payload = canonical(
            {
                "at": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "body": redact_all(_builtins(statement)),
                "format": FORMAT,
                "id": entry_id,
                "ledger": place.ledger,
                "number": place.number,
                "previous": place.previous,
                "seawall": _MARK,
                "signer": key.public.fingerprint,
                "signers_at": place.signers_at,
                "type": statement.TYPE,
                "version": statement.VERSION,
            }
        )
        data = seal(payload, key)
        parse_entry(data)
    except ValueError as error:
        raise EvidenceUnfit(f"this {statement.TYPE} can't be recorded: {error}") from error
    return data


class LaterFormat(ValueError):
    """An entry says that it is of a format that this version doesn't know; whether a signer said so is not proven."""

    def __init__(self, version: int, envelope: Envelope, body: object) -> None:
        super().__init__(f"it says that its format is {version}, and this Seawall knows {FORMAT}")
        self.envelope = envelope
        self.body = body

    def as_error(self, where: str) -> FormatTooNew:
        return FormatTooNew(f"{where} holds an entry of a later format: {self}")


def parse_entry(data: bytes) -> Entry:
    """Read an object. Raises ValueError if a bit of it is not as written, LaterFormat if it says so of itself."""
    envelope = parse_envelope(data)
    fields = parse_canonical(envelope.payload)
    if fields.get("seawall") != _MARK:
        raise ValueError("it is no entry of a ledger")
    version = _count(fields, "format")
    if version > FORMAT:
        raise LaterFormat(version, envelope, fields.get("body"))
    if fields.get("signer") != envelope.signer:
        raise ValueError("payload and envelope name different signers")
    body = fields.get("body")
    if not isinstance(body, dict):
        raise ValueError("it has no body")
    return Entry(
        place=Place(
            _text(fields, "ledger"), _count(fields, "number"), _previous(fields), _count(fields, "signers_at")
        ),
        id=_text(fields, "id"),
        at=_time(fields),
        type=_text(fields, "type"),
        version=_count(fields, "version"),
        body=cast("Document", body),
        envelope=envelope,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _builtins(statement: Statement) -> Document:
    """Return the statement as what JSON is made of. Raises ValueError where a member is not of its type."""
    made = msgspec.to_builtins(statement)
    try:
        msgspec.convert(made, type(statement))
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    return cast("Document", _lists(made))


def _lists(value: object) -> object:
    if isinstance(value, tuple | list):
        return [_lists(item) for item in value]
    if isinstance(value, dict):
        return {name: _lists(item) for name, item in value.items()}
    return value


def _text(fields: Document, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"it lacks the text {name!r}")
    return value


def _count(fields: Document, name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"it has no count {name!r}")
    return value


def _previous(fields: Document) -> str | None:
    value = fields.get("previous")
    if value is not None and not (isinstance(value, str) and _HASH.fullmatch(value)):
        raise ValueError("it names no hash of the entry before")
    return value


def _time(fields: Document) -> datetime:
    at = datetime.fromisoformat(_text(fields, "at"))
    if at.tzinfo is None:
        raise ValueError("its time has no offset")
    return at
