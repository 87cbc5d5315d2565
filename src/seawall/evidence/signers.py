"""Who may sign: the first entry's key, and those that a known signer introduced and nobody has retired.

Pure: entries go in, oldest first, and the set follows. Verification feeds it every entry, a writer only those
that change it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from seawall.evidence.entry import FIRST, Entry
from seawall.evidence.errors import EvidenceKeyUnusable
from seawall.evidence.keys import PublicKey
from seawall.evidence.model import Genesis, SignerAdded, SignerRetired


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that the ledger knows: ``since`` and ``until`` are the entries that introduced and retired it."""

    key: PublicKey
    label: str
    since: int
    until: int | None = None

    @property
    def fingerprint(self) -> str:
        return self.key.fingerprint


class Signers:
    """All keys that were ever known, as of the entries taken in so far."""

    def __init__(self) -> None:
        self._known: dict[str, Signer] = {}

    def __iter__(self) -> Iterator[Signer]:
        return iter(self._known.values())

    def active(self) -> list[Signer]:
        """Return the keys whose signatures count for the next entry."""
        return [signer for signer in self if signer.until is None]

    def get(self, fingerprint: str) -> Signer | None:
        """Return the active signer of that fingerprint."""
        found = self._known.get(fingerprint)
        return found if found is not None and found.until is None else None

    def take(self, entry: Entry) -> None:
        """Prove the entry's signature by a key that was known before it (the first: by its own), then let it
        count for what follows.

        Raises:
            ValueError: it is not signed as it has to be, or can't be read; nothing was changed.
        """
        statement = entry.statement
        if (entry.number == FIRST) != isinstance(statement, Genesis):
            raise ValueError("a ledger begins with a genesis entry, and has only one")
        if entry.decides_signers and statement is None:
            raise ValueError(
                f"it decides who may sign, in a way that can't be read ({entry.type} {entry.version})"
            )
        if isinstance(statement, Genesis):
            first = Signer(_key(statement.public_key), statement.label, entry.number)
            _require_signature(entry, first)
            self._known = {first.fingerprint: first}
            return
        _require_signature(entry, self.get(entry.signer))
        if isinstance(statement, SignerAdded):
            added = Signer(_key(statement.public_key), statement.label, entry.number)
            if added.fingerprint in self._known:
                raise ValueError("it introduces a key that the ledger had before")
            self._known[added.fingerprint] = added
        elif isinstance(statement, SignerRetired):
            self._retire(statement.signer, entry.number)

    def _retire(self, fingerprint: str, number: int) -> None:
        retired = self.get(fingerprint)
        if retired is None or len(self.active()) == 1:
            raise ValueError("it retires a key that is not known, or the last one")
        self._known[fingerprint] = replace(retired, until=number)


def _require_signature(entry: Entry, signer: Signer | None) -> None:
    if signer is None:
        raise ValueError(f"it is signed by a key that may not sign here: {entry.signer[:16]}")
    if not entry.envelope.is_signed_by(signer.key):
        raise ValueError(f"its signature is not that of {signer.label} ({signer.fingerprint[:16]})")


def _key(pem: str) -> PublicKey:
    try:
        return PublicKey.parse(pem.encode("utf-8"), "it")
    except EvidenceKeyUnusable as error:
        raise ValueError(error.message) from error
