"""What a store can answer, translated from every client library at its adapter."""

from __future__ import annotations

from seawall.model.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable


class StoreUrlInvalid(InvalidInput, code="store-url-invalid", status=14):
    """A repository URL can't be understood."""


class ObjectMissing(NotFound, code="object-missing", status=30):
    """The store has no object at this key."""

    default_hint = "seawall verify"


class StoreMissing(NotFound, code="store-missing", status=31):
    """The store itself (folder, bucket) does not exist."""


class ObjectExists(Conflict, code="object-exists", status=40):
    """The key was created before, by somebody else or by an earlier try."""

    default_hint = "nothing was changed; objects are never overwritten"


class StoreUnavailable(Unavailable, code="store-unavailable", status=50):
    """The store did not answer in time, or answered that it can't now."""


class StoreFull(Refused, code="store-full", status=70):
    """No space or quota left in the store."""


class StoreRefused(Refused, code="store-refused", status=71):
    """The store denies it: permissions, credentials, or an object lock."""


class StoreUnsafe(Refused, code="store-unsafe", status=72):
    """The probe found that the store can't keep the create-only promise."""
