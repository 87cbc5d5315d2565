"""Prove a ledger from its objects and public keys alone, offline, and say exactly what that proves.

Found: any bit that changed, an entry that is gone from the middle, moved, swapped, put in or signed by a key that
may not sign. Not to be seen from the inside: that the newest entries were cut off, or that everything was written
anew by whoever holds all keys. Against both stands one line kept elsewhere: the head's number and hash.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from seawall.evidence.canonical import LARGEST_BYTES
from seawall.evidence.entry import FIRST, Entry, LaterFormat, parse_entry
from seawall.evidence.errors import (
    EvidenceKeyUnusable,
    EvidenceUnfit,
    LedgerDamaged,
    LedgerMissing,
    SignerUnproven,
)
from seawall.evidence.keys import PublicKey
from seawall.evidence.model import Genesis
from seawall.evidence.places import LedgerPlace, entry_number
from seawall.evidence.signers import Signer, Signers
from seawall.repository.layout import evidence_name
from seawall.storage.errors import ObjectMissing

_THREADS = 8
_WINDOW = 64
_CLOCK_SLACK = timedelta(minutes=5)
_HEAD = re.compile(r"(?:(\d{1,9}):)?([0-9a-f]{64})", re.ASCII)


class Problem(enum.StrEnum):
    """What is wrong with a ledger."""

    ALTERED = "altered"
    REMOVED = "removed"
    MISPLACED = "misplaced"
    INSERTED = "inserted"
    UNSIGNED = "unsigned"
    HEAD_MISSING = "head-missing"


class Finding(NamedTuple):
    """One thing that is wrong; ``number`` is the place where it is seen."""

    number: int
    problem: Problem
    message: str


class KnownHead(NamedTuple):
    """What a person kept outside: the hash of an entry, and perhaps its number."""

    number: int | None
    sha256: str

    @classmethod
    def parse(cls, text: str) -> KnownHead:
        """Read ``42:HASH`` or ``HASH``, as reports print it. Raises EvidenceUnfit."""
        match = _HEAD.fullmatch(text.strip().lower())
        if match is None:
            raise EvidenceUnfit(
                f"not a head: {text!r}",
                hint="write it as reports print it: NUMBER:HASH, the hash in 64 digits",
            )
        return cls(int(match[1]) if match[1] else None, match[2])

    def __str__(self) -> str:
        return self.sha256 if self.number is None else f"{self.number}:{self.sha256}"


@dataclass(slots=True)
class LedgerReport:
    """What verification found. ``entries`` holds those that could be read."""

    url: str
    entries: list[Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    signers: list[Signer] = field(default_factory=list)
    given: tuple[str, ...] = ()
    """Fingerprints of the public keys that the person trusts; empty: only consistency was proven."""
    unproven: list[int] = field(default_factory=list)
    """Entries signed by a key that the person did not give, where any was given."""
    known_head: KnownHead | None = None
    remarks: list[str] = field(default_factory=list)
    """What is odd and proves nothing: files that belong to nobody, clocks that ran backwards."""

    @property
    def is_intact(self) -> bool:
        return not self.findings and not self.unproven

    @property
    def head(self) -> str | None:
        """The newest entry as ``NUMBER:HASH``: the line to keep elsewhere. None for what is not intact."""
        return self.entries[-1].head if self.entries and not self.findings else None

    def raise_if_damaged(self) -> None:
        """Raise LedgerDamaged for findings, SignerUnproven for signatures by keys that were not given."""
        if self.findings:
            first = self.findings[0]
            more = f" (and {len(self.findings) - 1} more findings)" if len(self.findings) > 1 else ""
            raise LedgerDamaged(
                f"the ledger {self.url} is not as it was written: {first.message}{more}",
                findings=[finding.message for finding in self.findings],
            )
        if self.unproven:
            raise SignerUnproven(
                f"{len(self.unproven)} of the {len(self.entries)} entries of {self.url} "
                "are not signed by a key that was given",
                entries=self.unproven,
            )


def verify_ledger(
    place: LedgerPlace, *, trusted: Collection[PublicKey] = (), known_head: KnownHead | None = None
) -> LedgerReport:
    """Read every entry and prove it.

    Raises:
        LedgerMissing: there is no entry at all.
        FormatTooNew: an entry is of a later format; nothing is known.
        Unavailable: the store did not answer; nothing is known.
    """
    report = LedgerReport(
        place.url, given=tuple(sorted(key.fingerprint for key in trusted)), known_head=known_head
    )
    numbers = _survey(place, report)
    if not numbers:
        raise LedgerMissing(f"there is no ledger in {place.url}")
    chain = _Chain(report, trusted)
    for number, data in _read_in_order(place, numbers):
        chain.take(number, data)
    report.signers = list(chain.signers)
    _note_origin(place, report)
    if known_head is not None:
        _look_for(known_head, report)
    report.findings.sort()
    return report


def _survey(place: LedgerPlace, report: LedgerReport) -> dict[int, int]:
    """Return the sizes of the entries by number, and note what else is there."""
    sizes: dict[int, int] = {}
    for info in place.store.scan(place.prefix):
        name = info.key.removeprefix(place.prefix)
        number = entry_number(name)
        if number is None:
            report.remarks.append(f"not part of the ledger: {name}")
        elif name != evidence_name(number) or number < FIRST:
            report.findings.append(Finding(number, Problem.INSERTED, f"{name} is no name of an entry"))
        else:
            sizes[number] = info.size_bytes
    return sizes


def _read_in_order(place: LedgerPlace, sizes: dict[int, int]) -> Iterator[tuple[int, bytes | None]]:
    """Yield each entry's bytes, None for one that is gone since; a few are read ahead."""
    numbers = sorted(sizes)

    def read(number: int) -> bytes | None:
        if sizes[number] > LARGEST_BYTES:
            return b""  # no entry, whatever it is
        try:
            return place.store.get(place.key(number))
        except ObjectMissing:
            return None

    if len(numbers) <= _THREADS:  # not worth the threads
        yield from ((number, read(number)) for number in numbers)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="evidence") as executor:
        for start in range(0, len(numbers), _WINDOW):
            window = numbers[start : start + _WINDOW]
            yield from zip(window, executor.map(read, window), strict=True)


def _note_origin(place: LedgerPlace, report: LedgerReport) -> None:
    """Remark on a ledger that is not where it was begun: copied on purpose, or put in another one's place."""
    begun = report.entries[0].statement if report.entries else None
    if not isinstance(begun, Genesis):
        return
    here = place.repository_id()
    if here is not None and here != begun.repository:
        report.remarks.append(f"it was not begun in this repository, but in {begun.repository or 'a folder'}")
    if place.prefix and place.name != begun.name:
        report.remarks.append(f"it was begun under the name {begun.name}")


class _Chain:
    """The proof so far: what the next entry has to name, and who may sign it."""

    def __init__(self, report: LedgerReport, trusted: Collection[PublicKey]) -> None:
        self._report = report
        self._trusted = trusted
        self.signers = Signers()
        self._before: Entry | None = None
        """The entry before, None where that is missing or damaged: then nothing is known of its hash."""
        self._newest: Entry | None = None
        self._signers_at = 0
        self._is_begun = False
        self._expected = FIRST

    def take(self, number: int, data: bytes | None) -> None:
        """Prove one entry, or record what is wrong with it."""
        before, self._before = self._before, None
        if number > self._expected:
            missing = (
                f"entry {self._expected} is"
                if number - self._expected == 1
                else (f"entries {self._expected} to {number - 1} are")
            )
            self._find(self._expected, Problem.REMOVED, f"{missing} missing, and later ones are there")
            before = None
        self._expected = number + 1
        if data is None:
            self._find(number, Problem.REMOVED, f"entry {number} vanished while it was to be read")
            return
        try:
            entry = parse_entry(data)
        except LaterFormat as error:
            self._require_readable(number, error)
            return
        except ValueError as error:
            self._find(number, Problem.ALTERED, f"entry {number} is not as it was written: {error}")
            return
        if entry.number != number:
            self._find(
                number,
                Problem.MISPLACED,
                f"in the place of entry {number} is one that was signed as {entry.number}",
            )
            return
        self._check_links(entry, before)
        self._check_signature(entry)
        self._note_clock(entry)
        self._report.entries.append(entry)
        self._before = self._newest = entry

    def _require_readable(self, number: int, later: LaterFormat) -> None:
        """Raise FormatTooNew if a key that may sign says so; a flipped bit says so, too, and is damage."""
        keys = [*self._trusted, *(signer.key for signer in self.signers.active())]
        if number == FIRST and isinstance(later.body, dict):
            try:
                keys.append(PublicKey.parse(str(later.body.get("public_key")).encode(), "it"))
            except EvidenceKeyUnusable:
                pass  # then it can't be signed by it
        if any(later.envelope.is_signed_by(key) for key in keys):
            raise later.as_error(self._report.url)
        self._find(number, Problem.ALTERED, f"entry {number} is not as it was written: {later}")

    def _check_links(self, entry: Entry, before: Entry | None) -> None:
        number, place = entry.number, entry.place
        first = self._report.entries[0] if self._report.entries else entry
        if place.ledger != first.place.ledger:
            self._find(number, Problem.INSERTED, f"entry {number} belongs to another ledger")
        if number == FIRST and (place.previous is not None or place.signers_at):
            self._find(number, Problem.ALTERED, "the first entry names one before it")
        if before is not None and place.previous != before.sha256:
            self._find(
                number,
                Problem.ALTERED,
                f"entry {number} was written behind another entry {number - 1} than the one that is there",
            )
        if before is not None and place.signers_at != before.next_signers_at:
            self._find(number, Problem.ALTERED, f"entry {number} names the wrong entry for who may sign")

    def _check_signature(self, entry: Entry) -> None:
        if entry.number == FIRST:
            self._is_begun = True
        if not self._is_begun:
            return  # without the first entry nobody's signature can be told; that it is gone was found already
        try:
            self.signers.take(entry)
        except ValueError as error:
            self._find(entry.number, Problem.UNSIGNED, f"entry {entry.number}: {error}")
        if self._report.given and entry.signer not in self._report.given:
            self._report.unproven.append(entry.number)

    def _note_clock(self, entry: Entry) -> None:
        if self._newest is not None and entry.at < self._newest.at - _CLOCK_SLACK:
            self._report.remarks.append(
                f"entry {entry.number} says that it is older than entry {self._newest.number}: "
                "a host's clock was wrong, or was set back"
            )

    def _find(self, number: int, problem: Problem, message: str) -> None:
        self._report.findings.append(Finding(number, problem, message))


def _look_for(known: KnownHead, report: LedgerReport) -> None:
    if any(entry.sha256 == known.sha256 and known.number in (None, entry.number) for entry in report.entries):
        return
    report.findings.append(
        Finding(
            known.number or 0,
            Problem.HEAD_MISSING,
            f"the known head {known} is not in the chain: entries were cut off or replaced since it was noted",
        )
    )
