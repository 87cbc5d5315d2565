"""Leases: proof that a writer or reader of a backup was alive a moment ago, which nobody has to clear.

A holder creates ``leases/NAME/ID/000001`` before it touches anything, then the next number at each beat, and
deletes its own previous one. Several holders (readers of one backup) interleave in one sequence. A lease
ends by deletion, or when its lifetime has passed since its newest entry was *stored*: both ends of that
are the store's clock (the entry's modified time and that of a probe object written just then), so that no
machine's wall clock can kill a running backup.

Expiry makes nothing safe by itself: a suspended writer may wake up. Whoever acts on an expired writer's lease
takes the backup's commit key first (:mod:`seawall.repository.collect`).
"""

from __future__ import annotations

import enum
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType

from seawall.model.clock import Clock
from seawall.model.errors import SeawallError, Unavailable
from seawall.repository.errors import ControlDamaged, FrameDamaged
from seawall.repository.format.control_json import Fields, text_field
from seawall.repository.format.frames import ObjectKind
from seawall.repository.format.records import (
    count_field,
    decode_record,
    encode_record,
    render_time,
    time_field,
)
from seawall.repository.layout import LEASES_PREFIX, is_backup_id, lease_key, lease_prefix
from seawall.repository.repository import Repository
from seawall.storage.errors import ObjectExists, ObjectMissing
from seawall.storage.protocol import ObjectInfo, ObjectStore

DEFAULT_LIFETIME_S = 900
MAX_LIFETIME_S = 86_400
"""Longest lifetime; also that of an entry which can't be read, so that damage ends no lease early."""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How often a holder shows that it lives, and how long others must wait after its last sign."""

    beat_s: float = 60.0
    lifetime_s: int = DEFAULT_LIFETIME_S


class LeaseRole(enum.StrEnum):
    """A writer's lease guards an uncommitted backup, a reader's a committed one."""

    WRITER = "writer"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class LeaseEntry:
    """One heartbeat as others see it. ``holder`` is for people; None where the entry can't be read."""

    key: str
    cluster: str
    backup_id: str
    stored_at: datetime
    role: LeaseRole | None
    holder: str | None
    lifetime_s: int

    def is_live(self, store_now: datetime) -> bool:
        """Say whether the holder may be alive at ``store_now``, a time of the store's clock."""
        return store_now < self.stored_at + timedelta(seconds=self.lifetime_s)


class Lease:
    """A lease that this process holds. Belongs to one thread at a time (:class:`Heartbeat` takes it over)."""

    def __init__(
        self, repository: Repository, cluster: str, backup_id: str, *, role: LeaseRole, lifetime_s: int
    ) -> None:
        """Use :meth:`acquire`."""
        self.cluster = cluster
        self.backup_id = backup_id
        self.role = role
        self.lifetime_s = lifetime_s
        self._repository = repository
        self._holder = f"{os.uname().nodename}:{os.getpid()}:{os.urandom(4).hex()}"
        self.number = 0
        """The number of this holder's newest entry."""

    @classmethod
    def acquire(
        cls,
        repository: Repository,
        cluster: str,
        backup_id: str,
        *,
        role: LeaseRole,
        lifetime_s: int = DEFAULT_LIFETIME_S,
    ) -> Lease:
        """Create the first entry durably.

        Raises:
            ObjectExists: for a writer, if anybody holds or held a lease on this backup.
        Crash: the entry stays until it has expired; then the next collection deletes it.
        """
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            raise ValueError(f"a lease lives from 1 to {MAX_LIFETIME_S} seconds")
        lease = cls(repository, cluster, backup_id, role=role, lifetime_s=lifetime_s)
        number = lease._first_free_number()
        if role is LeaseRole.WRITER and (number > 1 or not lease._create(1)):
            raise ObjectExists(
                f"somebody else writes a backup with the id {backup_id}",
                hint="start the backup again; it will have an id of its own",
            )
        if role is LeaseRole.WRITER:
            lease.number = 1
        else:
            lease._renew_from(number)
        return lease

    def renew(self) -> None:
        """Create the next entry, then delete this holder's previous one: there is always at least one."""
        self._renew_from(self.number + 1)

    def release(self) -> None:
        """End the lease by deleting its entry; harmless when repeated."""
        if self.number:
            self._repository.store.delete(self._key(self.number))
            self.number = 0

    def _renew_from(self, number: int) -> None:
        while not self._create(number):
            number += 1  # another holder on this backup took that number
        previous, self.number = self.number, number
        if previous:
            self._repository.store.delete(self._key(previous))

    def _first_free_number(self) -> int:
        entries = self._repository.store.children(lease_prefix(self.cluster, self.backup_id))
        return max((int(name) for name in entries if name.isdigit()), default=0) + 1

    def _create(self, number: int) -> bool:
        """Create entry ``number``; return False if it is another holder's."""
        fields: Fields = {
            "at": render_time(self._repository.clock.now()),
            "backup": self.backup_id,
            "holder": self._holder,
            "lifetime_s": self.lifetime_s,
            "role": self.role.value,
        }
        key = self._key(number)
        try:
            self._repository.write_object(key, ObjectKind.LEASE, encode_record(fields))
        except ObjectExists:
            # Ours, if an earlier beat's answer was lost for good.
            return self._holds(key)
        return True

    def _holds(self, key: str) -> bool:
        try:
            return read_lease(self._repository, key)[1] == self._holder
        except (ObjectMissing, FrameDamaged, ControlDamaged):
            return False

    def _key(self, number: int) -> str:
        return lease_key(self.cluster, self.backup_id, number)


class Heartbeat:
    """A lease kept alive by a thread of its own until :meth:`stop`; a context manager.

    A beat that fails is tried again at the next one: the lifetime has room for several.
    """

    def __init__(self, lease: Lease, *, clock: Clock, beat_s: float) -> None:
        """Use :meth:`start`."""
        self.lease = lease
        self.failure: SeawallError | None = None
        """Why the newest beat failed; None after a success."""
        self._bug: BaseException | None = None
        self._clock = clock
        self._beat_s = beat_s
        self._proven_at = clock.monotonic()
        self._stopped = threading.Event()
        name = f"lease of {lease.backup_id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @classmethod
    def start(
        cls,
        repository: Repository,
        *,
        cluster: str,
        backup_id: str,
        role: LeaseRole = LeaseRole.WRITER,
        policy: LeasePolicy | None = None,
    ) -> Heartbeat:
        """Take a lease durably, then renew it until stopped.

        Raises:
            ObjectExists: for a writer, if anybody holds or held a lease on this backup.
        Crash: others count the holder as dead once the lifetime has passed; nobody has to clean up.
        """
        chosen = policy or LeasePolicy()
        lease = Lease.acquire(repository, cluster, backup_id, role=role, lifetime_s=chosen.lifetime_s)
        heartbeat = cls(lease, clock=repository.clock, beat_s=chosen.beat_s)
        heartbeat._thread.start()
        return heartbeat

    @property
    def is_lapsed(self) -> bool:
        """Say whether the last success is so long ago that others may count the holder as dead.

        Not an end by itself: a backup's commit key decides who was first.
        """
        return self._clock.monotonic() - self._proven_at >= self.lease.lifetime_s

    def check(self) -> None:
        """Raise what ended the thread, if it ended by itself: a bug, since failed beats are retried."""
        if self._bug is not None:
            raise self._bug

    def beat(self) -> None:
        """Renew once; a failure is kept in ``failure``."""
        # Counted from before sending: the store's stamp on the entry can't be earlier than this.
        started = self._clock.monotonic()
        try:
            self.lease.renew()
        except SeawallError as error:
            self.failure = error
            return
        self._proven_at, self.failure = started, None

    def stop(self) -> None:
        """End the thread, then the lease; harmless when repeated.

        A store that can't delete the entry now is no error: the entry expires.
        """
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            self.lease.release()
        except Unavailable as error:
            self.failure = error

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._beat_s):
                self.beat()
        except Exception as error:  # noqa: BLE001 - a thread's top: check() raises it where it is seen
            self._bug = error

    def __enter__(self) -> Heartbeat:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def observe_store_time(store: ObjectStore) -> datetime:
    """Return the store's clock, read off a probe object that is written and deleted."""
    key = f"probe/{os.urandom(16).hex()}"
    store.put(key, b"what time is it")
    try:
        info = store.stat(key)
    finally:
        store.delete(key)
    if info is None:
        raise ObjectMissing(
            f"{key} vanished from {store.url} right after it was written",
            hint="look for a lifecycle rule or another program that deletes from this store",
        )
    return info.modified


def observe_leases(repository: Repository, cluster: str | None = None) -> Iterator[LeaseEntry]:
    """Yield every lease entry, of one cluster or all; an unreadable one counts as live for a day."""
    prefix = f"{LEASES_PREFIX}{cluster}/" if cluster else LEASES_PREFIX
    for info in repository.store.scan(prefix):
        parts = info.key.removeprefix(LEASES_PREFIX).split("/")
        if len(parts) == 3 and is_backup_id(parts[1]):
            try:
                yield _observe(repository, info, parts[0], parts[1])
            except ObjectMissing:
                continue  # its holder beat in the meantime


def live_backups(entries: Iterable[LeaseEntry], store_now: datetime) -> set[tuple[str, str]]:
    """Return (cluster, backup id) of everything that a live lease protects."""
    return {(entry.cluster, entry.backup_id) for entry in entries if entry.is_live(store_now)}


def _observe(repository: Repository, info: ObjectInfo, cluster: str, backup_id: str) -> LeaseEntry:
    try:
        role, holder, lifetime_s = read_lease(repository, info.key)
    except (FrameDamaged, ControlDamaged):
        return LeaseEntry(info.key, cluster, backup_id, info.modified, None, None, MAX_LIFETIME_S)
    return LeaseEntry(
        info.key, cluster, backup_id, info.modified, role, holder, min(lifetime_s, MAX_LIFETIME_S)
    )


def read_lease(repository: Repository, key: str) -> tuple[LeaseRole, str, int]:
    """Return role, holder and lifetime of one entry.

    Raises:
        ObjectMissing, FrameDamaged, ControlDamaged.
    """
    fields = decode_record(repository.read_object(key, ObjectKind.LEASE), key)
    time_field(fields, "at", key)
    try:
        role = LeaseRole(text_field(fields, "role", key))
    except ValueError:
        raise ControlDamaged(f"{key} holds an unknown role", object=key) from None
    return role, text_field(fields, "holder", key), count_field(fields, "lifetime_s", key)
