"""Try out what a store can do, and refuse one that can't keep the create-only promise (design rule 1).

Believing is not enough: some S3-compatible servers ignore ``If-None-Match`` and answer 200, some file systems
have no hard links, some listings lag behind. So a probe does what the repository will do, with throw-away
objects below ``probe/``, and reports what it saw.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from seawall.model.errors import NotFound, Refused, SeawallError, Unavailable
from seawall.storage.errors import ObjectExists, StoreUnsafe
from seawall.storage.protocol import Abilities, ObjectStore

_RACERS = 8
_ORDERED = ("a-b", "a.b", "a/b/c", "a0", "aZ", "b")
"""In key order; a store that walks folders tends to list ``a/b/c`` too early."""


def probe_store(store: ObjectStore) -> Abilities:
    """Return what ``store`` can do.

    Credentials that may not delete are no fault; then the probe's objects stay, which it says.

    Raises:
        StoreMissing, StoreRefused, StoreFull, Unavailable: the store can't be used at all.
    """
    folder = f"probe/{os.urandom(8).hex()}/"
    details: list[str] = []
    written: list[str] = []
    try:
        is_visible = _try_reading(store, folder, written, details)
        is_conditional = _try_creating(store, folder, written, details)
        is_ordered = _try_listing(store, folder, written, details)
    finally:
        details += _clean_up(store, written)
    return Abilities(is_conditional, is_visible, is_ordered, tuple(details))


def require_safe(abilities: Abilities, url: str) -> None:
    """Return if a repository may be kept in a store with these abilities.

    Raises:
        StoreUnsafe: it can't keep rule 1; nothing but the probe's objects was ever written.
    """
    lacking = [
        name
        for name, is_there in (
            ("create-only puts", abilities.conditional_put),
            ("reads that see every finished write", abilities.read_after_write),
            ("listings in order of keys", abilities.ordered_list),
        )
        if not is_there
    ]
    if lacking:
        raise StoreUnsafe(
            f"the store at {url} lacks {' and '.join(lacking)}: {'; '.join(abilities.details)}",
            hint="use a store that has them, or name one that does for leases, terms and commits: "
            "`coordination: s3://other-bucket` in this repository's part of the plan",
            lacking=lacking,
        )


def _try_reading(store: ObjectStore, folder: str, written: list[str], details: list[str]) -> bool:
    key, data = f"{folder}read", os.urandom(64)
    written.append(key)
    store.put(key, data)
    faults = list(_reading_faults(store, folder, key, data))
    details += faults
    return not faults


def _reading_faults(store: ObjectStore, folder: str, key: str, data: bytes) -> Iterator[str]:
    try:
        if store.get(key) != data or store.get_range(key, 3, 5) != data[3:8]:
            yield "what was just written reads back as something else"
    except NotFound:
        yield "what was just written is not found"
    if store.stat(key) is None:
        yield "what was just written has no size and date yet"
    if key not in {info.key for info in store.scan(folder)}:
        yield "what was just written is not listed"


def _try_creating(store: ObjectStore, folder: str, written: list[str], details: list[str]) -> bool:
    """One after the other first, then all at once: some stores check before they write, not while."""
    key = f"{folder}read"
    before = store.get(key)
    try:
        store.put(key, os.urandom(64))
    except ObjectExists:
        pass  # as it must be
    else:
        details.append("a second put of the same key succeeded: If-None-Match is ignored")
        return False
    if store.get(key) != before:
        details.append("a put that was refused changed the object all the same")
        return False
    return _try_racing(store, folder, written, details)


def _try_racing(store: ObjectStore, folder: str, written: list[str], details: list[str]) -> bool:
    key = f"{folder}race"
    written.append(key)
    contents = [os.urandom(64) for _ in range(_RACERS)]
    outcomes: list[bytes | SeawallError] = []
    start = threading.Barrier(_RACERS)

    def race(data: bytes) -> None:
        start.wait()
        try:
            store.put(key, data)
        except SeawallError as error:
            outcomes.append(error)
        else:
            outcomes.append(data)

    threads = [threading.Thread(target=race, args=(data,), name="probe") for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        if isinstance(outcome, SeawallError) and not isinstance(outcome, ObjectExists):
            raise outcome
    winners = [outcome for outcome in outcomes if isinstance(outcome, bytes)]
    if len(winners) != 1:
        details.append(f"of {_RACERS} simultaneous puts of one key {len(winners)} succeeded")
        return False
    if store.get(key) != winners[0]:
        details.append("the put that lost a race is what was stored")
        return False
    return True


def _try_listing(store: ObjectStore, folder: str, written: list[str], details: list[str]) -> bool:
    keys = [f"{folder}list/{name}" for name in _ORDERED]
    for key in keys:
        written.append(key)
        store.put(key, b"list")
    try:
        listed = [info.key for info in store.scan(f"{folder}list/")]
    except StoreUnsafe as error:
        details.append(error.message)
        return False
    if listed != keys:
        details.append(
            "the listing is not in order of keys" if sorted(listed) == keys else "the listing lags"
        )
        return False
    return True


def _clean_up(store: ObjectStore, written: list[str]) -> list[str]:
    """Delete what was written; say what could not be. Trouble here says nothing about the store's promises."""
    for key in written:
        try:
            store.delete(key)
        except (Refused, Unavailable) as error:
            return [f"the probe's objects below probe/ stay: {error.message}"]
    return []
