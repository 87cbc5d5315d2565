"""Append to a ledger: a numbered sequence of objects that are created once, the head found without a listing.

The store lets one of several writers have a number; the others see what it wrote and take the next one. Before
anything is appended the head and the short chain of entries that decide who may sign are proven, so that
nobody builds on an entry that no signer wrote. What lies between is proven by :mod:`~seawall.evidence.verify`.

No clock decides anything here; the times in entries are what their hosts' clocks said.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from seawall.evidence.entry import FIRST, Entry, LaterFormat, Place, parse_entry, seal_entry
from seawall.evidence.errors import EvidenceUnfit, LedgerBusy, LedgerDamaged, LedgerMissing, SignerUnknown
from seawall.evidence.keys import SigningKey
from seawall.evidence.model import Correction, Genesis, Note, SignOff, Statement, this_host
from seawall.evidence.places import LedgerPlace
from seawall.evidence.signers import Signers
from seawall.model.clock import Clock
from seawall.model.errors import Unavailable
from seawall.model.sequence import last_number
from seawall.storage.errors import ObjectExists, ObjectMissing, StoreMissing
from seawall.storage.probe import require_safe

_TRIES = 100
"""How many lost races are too many: each one means that somebody else's entry was appended."""


class Ledger:
    """One ledger in one place. Safe to share by threads: it holds no mutable state."""

    def __init__(self, place: LedgerPlace, *, clock: Clock) -> None:
        self.place = place
        self._clock = clock

    @property
    def url(self) -> str:
        return self.place.url

    def head(self, *, at_least: int = 0) -> Entry | None:
        """Return the newest entry, None where no ledger was begun. Raises LedgerDamaged.

        ``at_least`` is a number known to exist, from which the search starts.
        """
        number = self._head_number(at_least)
        return self.read(number) if number else None

    def read(self, number: int) -> Entry:
        """Return one entry; its signature is not proven here.

        Raises:
            LedgerMissing: there is none of that number.
            LedgerDamaged: it is not as it was written.
            FormatTooNew: it says that a later Seawall wrote it.
        """
        try:
            data = self.place.store.get(self.place.key(number))
        except ObjectMissing:
            raise LedgerMissing(f"{self.url} has no entry {number}") from None
        try:
            entry = parse_entry(data)
        except LaterFormat as error:
            raise error.as_error(self.url) from error
        except ValueError as error:
            raise self._damaged(number, str(error)) from error
        if entry.number != number:
            raise self._damaged(number, f"it says that it is entry {entry.number}")
        return entry

    def entries(self, *, newest_first: bool = False) -> Iterator[Entry]:
        """Yield all entries, oldest first unless told, each as :meth:`read` does: signatures are not proven."""
        numbers = range(FIRST, self._head_number() + 1)
        for number in reversed(numbers) if newest_first else numbers:
            yield self.read(number)

    def find(self, entry_id: str, signer: str) -> Entry | None:
        """Return a signer's entry of that id, None if there is none. Ids are public: another's may have the same."""
        return next(
            (
                entry
                for entry in self.entries(newest_first=True)
                if (entry.id, entry.signer) == (entry_id, signer)
            ),
            None,
        )

    def signers(self, head: Entry) -> Signers:
        """Return who may sign after ``head``, proven along the chain of the entries that decide it.

        Raises:
            LedgerDamaged: ``head`` or an entry of that chain is not signed by a signer known before it.
        """
        chain = [head]
        while chain[-1].place.signers_at:
            earlier = self.read(chain[-1].place.signers_at)
            if earlier.number >= chain[-1].number or not earlier.decides_signers:
                raise self._damaged(chain[-1].number, "it names no entry that decides who may sign")
            chain.append(earlier)
        signers = Signers()
        for entry in reversed(chain):
            if entry.place.ledger != head.place.ledger:
                raise self._damaged(entry.number, "it belongs to another ledger")
            try:
                signers.take(entry)
            except ValueError as error:
                raise self._damaged(entry.number, str(error)) from error
        return signers

    def prepare(self, key: SigningKey) -> Entry:
        """Make sure that ``key`` can append, beginning the ledger where there is none; return the head.

        Call it before the work whose evidence is to be recorded: afterwards is too late to learn that the key is
        not known. A folder that is to be made is made here, and a store that can't create only once refused.

        Raises:
            SignerUnknown, LedgerDamaged, StoreUnsafe, Unavailable.
        Crash: the genesis entry is there whole or not at all.
        """
        head = self._head_or_nothing()
        if head is None:
            require_safe(self.place.store.probe(), self.place.store.url)
            head = self._begin(key)
        self._require_signer(head, key)
        return head

    def append(self, statement: Statement, key: SigningKey, *, entry_id: str | None = None) -> Entry:
        """Sign and append ``statement``, beginning the ledger where there is none; durable on return.

        ``entry_id`` is for whoever may have to try again after a crash or a lost answer: draw it with
        :func:`new_entry_id`, keep it, and repeat with it; the entry is then never added twice. It costs reading
        the ledger.

        Raises:
            EvidenceUnfit: the statement contradicts itself, or speaks of an entry that is not there.
            SignerUnknown, LedgerDamaged, LedgerBusy, StoreUnsafe: nothing was appended.
            Unavailable: the store did not answer, and whether the entry is there is not known.
        Crash: the entry is there whole or not at all.
        """
        statement.check()
        head = self.prepare(key)
        signer = key.public.fingerprint
        if entry_id is not None and (found := self.find(entry_id, signer)) is not None:
            return found
        chosen = entry_id or new_entry_id()
        for _ in range(_TRIES):
            self._require_about(statement, head)
            signers = self._require_signer(head, key)
            data = self._seal(statement, key, chosen, _behind(head))
            _require_fit(signers, parse_entry(data))
            there = self._put(head.number + 1, data)
            if there.id == chosen and there.signer == signer:
                return there
            newest = self.head(at_least=there.number)
            assert newest is not None  # `there` exists
            head = newest
        raise LedgerBusy(f"other writers were faster {_TRIES} times in {self.url}")

    def _begin(self, key: SigningKey) -> Entry:
        """Create the first entry, and return it or that of another who was first."""
        genesis = Genesis(
            name=self.place.name,
            public_key=key.public.pem,
            label=this_host(),
            repository=self.place.repository_id(),
        )
        place = Place(ledger=secrets.token_hex(16), number=FIRST, previous=None, signers_at=0)
        self._put(FIRST, self._seal(genesis, key, new_entry_id(), place))
        head = self.head(at_least=FIRST)
        assert head is not None  # the first entry exists
        return head

    def _seal(self, statement: Statement, key: SigningKey, entry_id: str, place: Place) -> bytes:
        return seal_entry(statement, place, key, entry_id=entry_id, at=self._clock.now())

    def _put(self, number: int, data: bytes) -> Entry:
        """Create an entry, and return what is there afterwards: this one, or another writer's.

        After a lost answer the store is asked what it has. Finding nothing settles nothing: the put may still be
        on its way, so the error stands.
        """
        key = self.place.key(number)
        try:
            self.place.store.put(key, data)
        except ObjectExists:
            pass  # whose it is, is seen below
        except Unavailable:
            if not self._exists(number):
                raise
        return self.read(number)

    def _head_or_nothing(self) -> Entry | None:
        """Return the head; a folder that does not exist yet holds no ledger, as one that is empty."""
        try:
            return self.head()
        except StoreMissing:
            return None

    def _head_number(self, at_least: int = 0) -> int:
        """Gallop, then halve: single keys tell sooner than a listing, and the sequence has no holes."""
        return last_number(self._exists, at_least=at_least)

    def _exists(self, number: int) -> bool:
        return self.place.store.stat(self.place.key(number)) is not None

    def _require_signer(self, head: Entry, key: SigningKey) -> Signers:
        signers = self.signers(head)
        if signers.get(key.public.fingerprint) is None:
            raise SignerUnknown(
                f"this host's key {key.public.fingerprint[:16]} may not sign in {self.url}",
                hint="print it here: seawall evidence keys show > this-host.pem\n"
                "and on a host that may sign: seawall evidence keys add this-host.pem --label HOST",
                fingerprint=key.public.fingerprint,
            )
        return signers

    def _require_about(self, statement: Statement, head: Entry) -> None:
        about = statement.about if isinstance(statement, Correction | Note | SignOff) else None
        if about is None:
            return
        if not FIRST <= about <= head.number:
            raise EvidenceUnfit(
                f"{self.url} has no entry {about}", hint="`seawall evidence list` shows the numbers"
            )
        if isinstance(statement, Correction) and self.read(about).type != "drill":
            raise EvidenceUnfit(f"entry {about} is no drill: only a drill can be corrected")

    def _damaged(self, number: int, what: str) -> LedgerDamaged:
        return LedgerDamaged(f"entry {number} of {self.url} is not as it was written: {what}", entry=number)


def new_entry_id() -> str:
    """Return a fresh id of an entry."""
    return secrets.token_hex(16)


def _behind(head: Entry) -> Place:
    return Place(head.place.ledger, head.number + 1, head.sha256, head.next_signers_at)


def _require_fit(signers: Signers, entry: Entry) -> None:
    """Raise EvidenceUnfit for what verification would call damage: it could never be taken back."""
    try:
        signers.take(entry)
    except ValueError as error:
        raise EvidenceUnfit(f"this {entry.type} can't be appended: {error}") from error
