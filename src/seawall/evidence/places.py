"""Where a ledger is: in a repository's store, in a folder of its own, or in a copy of either.

Reading needs no key of the repository, and no more than the entries themselves: a folder that holds nothing but
``000001.json`` and its successors is a ledger to verify.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from seawall.evidence.errors import LedgerMissing
from seawall.repository.format.control_json import parse_control, text_field
from seawall.repository.layout import EVIDENCE_PREFIX, HEADER_KEY, evidence_name, ledger_prefix
from seawall.storage.errors import ObjectMissing
from seawall.storage.posix import PosixStore
from seawall.storage.protocol import ObjectStore
from seawall.storage.urls import StoreOptions, open_store

DEFAULT_LEDGER = "main"

_ENTRY_NAME = re.compile(r"(\d+)\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """A ledger's folder in a store; ``prefix`` is empty or ends in ``/``."""

    store: ObjectStore
    prefix: str
    name: str = DEFAULT_LEDGER

    @property
    def url(self) -> str:
        return f"{self.store.url.rstrip('/')}/{self.prefix}".rstrip("/")

    def key(self, number: int) -> str:
        """Return the key of one entry."""
        return self.prefix + evidence_name(number)

    def repository_id(self) -> str | None:
        """Return the id of the repository that the ledger is in, None in a plain folder. Raises ControlDamaged."""
        try:
            return text_field(parse_control(self.store.get(HEADER_KEY), HEADER_KEY), "repository", HEADER_KEY)
        except ObjectMissing:
            return None


def entry_number(name: str) -> int | None:
    """Return the number that an entry's file name means, None for what is none; other spellings mean it, too."""
    match = _ENTRY_NAME.fullmatch(name)
    return int(match[1]) if match else None


def store_at(where: str, options: StoreOptions | None = None) -> ObjectStore:
    """Return the store at a URL or folder. Raises StoreUrlInvalid."""
    return open_store(where, options) if "://" in where else PosixStore(os.path.abspath(where))


def place_in(store: ObjectStore, name: str | None = None) -> LedgerPlace:
    """Return where a ledger of that name is, or is to be, in a repository's store or a folder of ledgers."""
    chosen = name or DEFAULT_LEDGER
    return LedgerPlace(store, ledger_prefix(chosen), chosen)


def find_ledger(store: ObjectStore, name: str | None = None) -> LedgerPlace:
    """Return the ledger that is in ``store``, which may be a repository, a folder of ledgers or a copy of one.

    Raises:
        LedgerMissing: there is none, none of that name, or several and no name was given.
    """
    if name is None and any(entry_number(child) is not None for child in store.children("")):
        return LedgerPlace(store, "", os.path.basename(store.url))
    found: dict[str, LedgerPlace] = {}
    # In a repository other folders are none of ours: a key slot may be called 12345678.json.
    for parent in (EVIDENCE_PREFIX, "") if store.stat(HEADER_KEY) is None else (EVIDENCE_PREFIX,):
        for child in store.children(parent):
            prefix = f"{parent}{child}/"
            if any(entry_number(each) is not None for each in store.children(prefix)):
                found.setdefault(child, LedgerPlace(store, prefix, child))
        if found:
            break
    if name is not None and name in found:
        return found[name]
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise LedgerMissing(f"there is no ledger in {store.url}", names=[])
    raise LedgerMissing(
        f"there is no ledger {name!r} in {store.url}"
        if name
        else f"there are several ledgers in {store.url}",
        hint="--name takes one of: " + ", ".join(sorted(found)),
        names=sorted(found),
    )
