"""What the client of remote stores reports, in this package's words.

The client has few exception types and puts the server's answer into the text, so the HTTP status and the
error code are read from there. A missing object is the builtin FileNotFoundError.
"""

from __future__ import annotations

import re

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from seawall.model.errors import SeawallError
from seawall.storage.errors import (
    ObjectExists,
    ObjectMissing,
    StoreFull,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)

CLIENT_ERRORS = (BaseError, OSError)
"""Everything that a call of the client may raise for reasons outside this process."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_FULL = ("QuotaExceeded", "StorageFull", "XMinioStorageFull", "InsufficientCapacity")
_PASSING = (408, 409, 425, 429)


def status_of(error: BaseException) -> int:
    """Return the HTTP status that the server answered, 0 if it did not answer."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0


def translate(error: BaseException, url: str, key: str) -> SeawallError:
    """Return what ``error``, met at ``key`` (or a prefix), means."""
    status, code = status_of(error), _code_of(error)
    if code == "NoSuchBucket":
        return StoreMissing(f"{url}: there is no such bucket", hint="check the URL, or create the bucket")
    if isinstance(error, FileNotFoundError) or status == 404:
        return ObjectMissing(f"{key} is not in {url}")
    if isinstance(error, AlreadyExistsError | PreconditionError) and status != 409:
        return ObjectExists(f"{key} exists in {url}")
    said = " ".join(part for part in (str(status or ""), code) if part) or _first_line(error)
    if status == 507 or code in _FULL:
        return StoreFull(f"{url} has no space left ({said})", hint="raise the quota or add space")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in (401, 403):
        return StoreRefused(f"{url} refuses {key or 'it'} ({said})", hint=_remedy(code))
    if 300 <= status < 500 and status not in _PASSING:
        return StoreRefused(f"{url} does not accept the request ({said})", hint=_remedy(code))
    return StoreUnavailable(
        f"{url} can't be reached or fails ({said})",
        hint="check network, endpoint, region and credentials; what was stored stays as it is",
    )


def _code_of(error: BaseException) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _remedy(code: str) -> str:
    if code == "RequestTimeTooSkewed":
        return "set this machine's clock (timedatectl): requests are signed with the time"
    if code in ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"):
        return "give the bucket's region (`region:` in the plan, or AWS_REGION)"
    return "check the credentials and that they may read, write, list and delete there; an object lock refuses too"


def _first_line(error: BaseException) -> str:
    line = str(error).partition("\n")[0]
    return line.rpartition(" - ")[2][:200] or type(error).__name__
