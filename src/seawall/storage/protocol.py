"""The contract between the repository and the place where its bytes live.

An :class:`ObjectStore` is a flat, durable map from keys to immutable byte strings. Everything above
relies on exactly these promises, and one contract suite runs against every implementation:

* **Create only.** ``put`` and a writer's ``commit`` create the key or raise :class:`ObjectExists`;
  of many concurrent writers of one key exactly one succeeds. Nothing is ever overwritten. One limit: on
  remote stores a *streamed* object larger than one part (8 MiB) is only checked for existence before its
  upload completes, so two racers may both succeed there; only objects with unguessable names (packs,
  manifests) may be streamed that large.
* **Durable on return.** When ``put``, ``commit`` or ``delete`` returns, its effect survives power loss. Until
  then the key does not exist for anybody: no reader ever sees half an object.
* **Read after write.** A key that was created is visible to every later ``get`` and ``scan``.
* **Bounded.** Every call ends within the store's deadline, in a result or in :class:`Unavailable`. After
  ``Unavailable`` from ``put`` or ``commit`` the object exists whole or not at all, and which is unknown.

Keys are relative paths of ``[A-Za-z0-9._-]`` components joined by ``/``, at most 512 characters,
no component ``.``, ``..``, ``.tmp`` or empty (:func:`check_key`), and no key is the folder of another. Buffers
that are passed in may be reused by the caller as soon as the call returns. A missing store (folder unmounted,
bucket gone) raises :class:`StoreMissing`, so that it never looks like an empty one.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import NamedTuple, Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""What can be written without a copy; ``collections.abc.Buffer`` needs Python 3.12."""

_KEY = re.compile(r"(?!.*(?:^|/)\.(?:\.|tmp)?(?:/|$))[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")


def is_key(text: str) -> bool:
    """Say whether ``text`` is a valid object key."""
    return len(text) <= 512 and _KEY.fullmatch(text) is not None


def check_key(key: str) -> str:
    """Return ``key``. Raises ValueError if it is not a valid object key."""
    if not is_key(key):
        raise ValueError(f"not a valid object key: {key!r}")
    return key


def check_prefix(prefix: str) -> str:
    """Return ``prefix``. Raises ValueError unless it is empty or a valid key followed by ``/``."""
    if prefix:
        if not prefix.endswith("/"):
            raise ValueError(f"not a valid prefix, it must end in '/': {prefix!r}")
        check_key(prefix[:-1])
    return prefix


class ObjectInfo(NamedTuple):
    """What a listing tells: ``modified`` is the *store's* clock, aware, UTC."""

    key: str
    size_bytes: int
    modified: datetime


class Abilities(NamedTuple):
    """What a probe found that the store can do (design rule 1). ``details`` says why not, per ability."""

    conditional_put: bool
    read_after_write: bool
    ordered_list: bool
    details: tuple[str, ...] = ()


class LockState(enum.Enum):
    """Whether a store locks objects. UNKNOWN is never taken for either answer."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class ObjectLock(NamedTuple):
    """What a store says of its object lock: whether it refuses deletions by those who hold its credentials.

    YES alone keeps nothing: an object is held for ``retention_s`` after it was written, by the bucket's own rule,
    and not at all where that is None. ``mode`` is S3's: nobody shortens COMPLIANCE, a special permission bypasses
    GOVERNANCE. ``reason`` says why it is NO or UNKNOWN, ``remedy`` what to do about it. ``expiring`` are the bucket's
    own rules that delete live objects of this store by their age, in words; None where it can't be asked.
    """

    state: LockState
    reason: str = ""
    remedy: str = ""
    mode: str | None = None
    retention_s: int | None = None
    is_versioned: bool | None = None
    expiring: tuple[str, ...] | None = None


class ObjectWriter(Protocol):
    """One object being written in pieces; nothing is visible until ``commit`` returns.

    As a context manager it aborts unless committed. After an error it can only be aborted.
    """

    def write(self, data: Buffer) -> None:
        """Append ``data``; the buffer may be reused on return."""
        ...

    def commit(self) -> None:
        """Make the object durable and visible. Raises ObjectExists if the key exists."""
        ...

    def abort(self) -> None:
        """Drop what was written; harmless after commit."""
        ...

    def __enter__(self) -> ObjectWriter: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ObjectStore(Protocol):
    """See the module docstring for the promises that every method keeps. Safe to share by threads."""

    @property
    def url(self) -> str:
        """Where this is, for messages; never holds a secret."""
        ...

    def put(self, key: str, data: Buffer) -> None:
        """Create ``key``. Raises ObjectExists, Unavailable, StoreRefused, StoreFull, StoreMissing."""
        ...

    def open_writer(self, key: str) -> ObjectWriter:
        """Start a streamed create of ``key``; memory stays bounded whatever the object's size."""
        ...

    def get(self, key: str) -> bytes:
        """Return the whole object. Raises ObjectMissing, StoreMissing, Unavailable."""
        ...

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``, fewer at the object's end (possibly none)."""
        ...

    def stat(self, key: str) -> ObjectInfo | None:
        """Return the object's facts, or None if there is none."""
        ...

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with ``prefix`` (which ends in ``/`` or is empty),
        in ascending order of key as bytes, without holding the listing in memory where the store allows.

        An object created or deleted meanwhile may be seen or not; every other one is seen once."""
        ...

    def children(self, prefix: str) -> list[str]:
        """Return the sorted names directly below ``prefix`` (objects and folders, no ``/``)."""
        ...

    def delete(self, key: str) -> None:
        """Remove ``key``; a missing key is no error. Raises StoreRefused where a lock holds it."""
        ...

    def probe(self) -> Abilities:
        """Try out, with throw-away keys under ``probe/``, what the store can do; a missing folder is made.

        What can't be tried out is asked: :meth:`object_lock`."""
        ...

    def object_lock(self) -> ObjectLock:
        """Ask the store whether it locks objects, changing nothing; trouble on the way is an UNKNOWN."""
        ...

    def close(self) -> None: ...
