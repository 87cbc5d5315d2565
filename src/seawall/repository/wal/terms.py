"""Who may write a cluster's lineage: one create-only sequence of terms, and the epoch that each begins.

``clusters/NAME/term/000001`` and on are contiguous. Whoever creates the next number wins; everybody else
gets :class:`TermTaken`. One sequence for claims and renewals alike, since with separate keys a late renewal
could succeed beside a claim. The head is found by galloping and bisecting over the numbers, never by a
listing: that is exact on every store and costs two requests per doubling. No clock decides anything here.

Entries are never deleted, so a hole would hide what lies behind it; ``verify`` looks for holes.
"""

from __future__ import annotations

import enum
import os
from datetime import datetime
from typing import NamedTuple

from seawall.model.lsn import Lsn
from seawall.model.sequence import last_number
from seawall.repository.errors import ControlDamaged
from seawall.repository.format.control_json import Fields, text_field
from seawall.repository.format.frames import ObjectKind
from seawall.repository.format.records import (
    count_field,
    decimal_field,
    decode_record,
    encode_record,
    render_time,
    time_field,
)
from seawall.repository.layout import check_cluster_name, term_key
from seawall.repository.repository import Repository
from seawall.repository.wal.errors import TermTaken
from seawall.storage.errors import ObjectExists


class TermEvent(enum.StrEnum):
    """What an entry says. Only a claim begins an epoch; the others speak within it."""

    CLAIM = "claim"
    RENEW = "renew"
    PROMOTED = "promoted"
    ABANDONED = "abandoned"
    RELEASE = "release"


class ForkPoint(NamedTuple):
    """Where a new writer left the lineage it descends from.

    ``is_same_timeline`` where it goes on writing that timeline (a data directory that moved) instead of
    beginning one of its own, as every promotion and every archive recovery does.
    """

    timeline: int
    lsn: Lsn
    is_same_timeline: bool = False


class Term(NamedTuple):
    """One entry. ``writer`` is the fingerprint of host key and data directory that may write in ``epoch``."""

    number: int
    event: TermEvent
    epoch: int
    system_identifier: int
    writer: str
    data_directory: str
    host: str
    forked_from: ForkPoint | None
    claimed_by: str
    at: datetime
    claim: int
    """The number of the entry that began this epoch: the claims form a chain that skips all else."""
    previous_claim: int
    """The number of the claim before that; 0 for the first."""


class TermLog:
    """The terms of one cluster in one repository."""

    def __init__(self, repository: Repository, cluster: str) -> None:
        self._repository = repository
        self._cluster = check_cluster_name(cluster)

    def head(self, *, at_least: int = 0) -> Term | None:
        """Return the newest entry, or None if nobody ever claimed this cluster.

        ``at_least`` is a number known to exist, from which the search starts.
        """
        number = self.head_number(at_least=at_least)
        return self.read(number) if number else None

    def head_number(self, *, at_least: int = 0) -> int:
        """Return the newest entry's number, 0 if there is none."""
        return last_number(self._exists, at_least=at_least)

    def read(self, number: int) -> Term:
        """Return entry ``number``. Raises ObjectMissing, FrameDamaged, ControlDamaged."""
        key = term_key(self._cluster, number)
        term = _decode(self._repository.read_object(key, ObjectKind.TERM), key)
        if term.number != number:
            raise ControlDamaged(f"{key} says that it is term {term.number}", object=key)
        return term

    def claims(self) -> list[Term]:
        """Return the entries that began an epoch, oldest first, without reading what lies between."""
        head = self.head()
        chain: list[Term] = []
        number = head.claim if head else 0
        while number:
            claim = self.read(number)
            if claim.event is not TermEvent.CLAIM or claim.previous_claim >= number:
                raise ControlDamaged(
                    f"{term_key(self._cluster, number)} is not the claim that a later term says it is",
                    object=term_key(self._cluster, number),
                )
            chain.append(claim)
            number = claim.previous_claim
        return chain[::-1]

    def claim_first(self, *, system_identifier: int, writer: str, data_directory: str) -> Term:
        """Claim a cluster that nobody ever claimed, and return the head: this claim, or another's that was
        first. The caller tells them apart by ``writer``."""
        term = self._new(
            after=None,
            event=TermEvent.CLAIM,
            system_identifier=system_identifier,
            writer=writer,
            data_directory=data_directory,
            forked_from=None,
        )
        try:
            self._write(term)
        except ObjectExists:
            head = self.head(at_least=1)
            assert head is not None  # at_least=1 exists: its creation just conflicted
            return head
        return term

    def claim_next(
        self,
        head: Term,
        *,
        system_identifier: int,
        writer: str,
        data_directory: str,
        forked_from: ForkPoint,
        claimed_by: str | None = None,
    ) -> Term:
        """Begin the epoch after ``head``'s for a new writer.

        Raises:
            TermTaken: an entry newer than ``head`` exists; nothing was changed.
        Crash: the claim is there or not; a re-run sees itself as the head's writer.
        """
        term = self._new(
            after=head,
            event=TermEvent.CLAIM,
            system_identifier=system_identifier,
            writer=writer,
            data_directory=data_directory,
            forked_from=forked_from,
            claimed_by=claimed_by,
        )
        return self._append(term)

    def append(self, head: Term, event: TermEvent) -> Term:
        """Say something within ``head``'s epoch. Raises TermTaken as :meth:`claim_next` does."""
        if event is TermEvent.CLAIM:
            raise ValueError("a claim needs to say for whom: use claim_next")
        term = self._new(
            after=head,
            event=event,
            system_identifier=head.system_identifier,
            writer=head.writer,
            data_directory=head.data_directory,
            forked_from=None,
        )
        return self._append(term)

    def _append(self, term: Term) -> Term:
        try:
            self._write(term)
        except ObjectExists:
            winner = self.read(term.number)
            raise TermTaken(
                f"term {term.number} of cluster {self._cluster!r} was taken by "
                f"{winner.host}:{winner.data_directory} ({winner.event}, by {winner.claimed_by})",
                hint="look at the cluster's state again (`seawall list`) and decide anew",
                cluster=self._cluster,
                term=term.number,
            ) from None
        return term

    def _write(self, term: Term) -> None:
        self._repository.write_object(term_key(self._cluster, term.number), ObjectKind.TERM, _encode(term))

    def _exists(self, number: int) -> bool:
        return self._repository.store.stat(term_key(self._cluster, number)) is not None

    def _new(
        self,
        *,
        after: Term | None,
        event: TermEvent,
        system_identifier: int,
        writer: str,
        data_directory: str,
        forked_from: ForkPoint | None,
        claimed_by: str | None = None,
    ) -> Term:
        number = after.number + 1 if after else 1
        epoch = after.epoch if after else 0
        claim, previous = (after.claim, after.previous_claim) if after else (0, 0)
        if event is TermEvent.CLAIM:
            epoch, claim, previous = epoch + 1, number, claim
        return Term(
            number=number,
            event=event,
            epoch=epoch,
            system_identifier=system_identifier,
            writer=writer,
            data_directory=data_directory,
            host=os.uname().nodename,
            forked_from=forked_from,
            claimed_by=claimed_by or _user(),
            at=_in_milliseconds(self._repository.clock.now()),
            claim=claim,
            previous_claim=previous,
        )


def _in_milliseconds(at: datetime) -> datetime:
    """Return what a stored time reads back as, so that a written term equals itself read."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _user() -> str:
    import getpass  # not needed to read terms, as each `wal push` does

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "unknown"


def _encode(term: Term) -> bytes:
    fork = term.forked_from
    fields: Fields = {
        "at": render_time(term.at),
        "claim": term.claim,
        "claimed_by": term.claimed_by,
        "data_directory": term.data_directory,
        "epoch": term.epoch,
        "event": term.event.value,
        "forked_from": None
        if fork is None
        else {"lsn": str(fork.lsn), "same_timeline": fork.is_same_timeline, "timeline": fork.timeline},
        "host": term.host,
        "number": term.number,
        "previous_claim": term.previous_claim,
        "system_identifier": str(term.system_identifier),
        "writer": term.writer,
    }
    return encode_record(fields)


def _decode(data: bytes, key: str) -> Term:
    fields = decode_record(data, key)
    try:
        event = TermEvent(text_field(fields, "event", key))
    except ValueError:
        raise ControlDamaged(f"{key} holds an unknown event", object=key) from None
    return Term(
        number=count_field(fields, "number", key),
        event=event,
        epoch=count_field(fields, "epoch", key),
        system_identifier=decimal_field(fields, "system_identifier", key),
        writer=text_field(fields, "writer", key),
        data_directory=text_field(fields, "data_directory", key),
        host=text_field(fields, "host", key),
        forked_from=_decode_fork(fields.get("forked_from"), key),
        claimed_by=text_field(fields, "claimed_by", key),
        at=time_field(fields, "at", key),
        claim=count_field(fields, "claim", key),
        previous_claim=count_field(fields, "previous_claim", key),
    )


def _decode_fork(value: object, key: str) -> ForkPoint | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ControlDamaged(f"{key} holds no fork point", object=key)
    try:
        lsn = Lsn.parse(text_field(value, "lsn", key))
    except ValueError:
        raise ControlDamaged(f"{key} holds no LSN of its fork", object=key) from None
    return ForkPoint(count_field(value, "timeline", key), lsn, value.get("same_timeline") is True)
