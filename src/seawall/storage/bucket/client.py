"""The edge to the client of buckets: how it is made, and what its errors mean here.

Everything gets a timeout; credentials come from the caller or the environment. The client has few exception
types and puts the server's answer into the text, so the HTTP status and the error code are read from there; a
missing object is the builtin FileNotFoundError.

S3 and its like are tested; Google Cloud Storage and Azure are constructed the same way and are untested.
Credentials are handed to the client as values and are in no message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, S3Store

from seawall.model.errors import SeawallError
from seawall.storage.errors import (
    ObjectExists,
    ObjectMissing,
    StoreFull,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
    StoreUrlInvalid,
)
from seawall.storage.retry import RetryPolicy

Client: TypeAlias = S3Store | GCSStore | AzureStore

_STREAM_TRIES = 1000
"""For parts of a stream, which the client repeats by itself: the deadline bounds them, not their number. Ten
were used up in three seconds, and an upload of hours with them."""
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Bucket(NamedTuple):
    """Where a remote store is. ``scheme`` is s3, gs or az."""

    scheme: str
    name: str
    prefix: str = ""
    region: str | None = None
    endpoint: str | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.name}" + (f"/{self.prefix}" if self.prefix else "")


def make_client(
    bucket: Bucket, credentials: Mapping[str, str] | None, policy: RetryPolicy, *, repeats: bool
) -> Client:
    """Return a client; with ``repeats`` it tries requests again by itself, within the policy's deadline.

    Raises:
        StoreUrlInvalid: the endpoint would carry requests unprotected over a network.
    """
    general: dict[str, Any] = {
        "prefix": bucket.prefix or None,
        "client_options": {
            "timeout": timedelta(seconds=policy.attempt_s),
            "connect_timeout": timedelta(seconds=min(policy.connect_s, policy.attempt_s)),
            "allow_http": is_plain_http(bucket),
        },
        "retry_config": {
            "max_retries": _STREAM_TRIES if repeats else 0,
            "retry_timeout": timedelta(seconds=policy.deadline_s),
            "backoff": {
                "init_backoff": timedelta(seconds=policy.first_backoff_s),
                "max_backoff": timedelta(seconds=policy.max_backoff_s),
                "base": 2,
            },
        },
    }
    account = dict(credentials or {})
    try:
        return _construct(bucket, account, general)
    except BaseError:
        # Its text may repeat a part of the credentials.
        raise StoreUrlInvalid(
            f"the settings for {bucket.url} can't be used: credentials, endpoint or region are malformed",
            hint="check `credentials:`, `endpoint:` and `region:`, and the cloud's variables in the environment",
        ) from None


def _construct(bucket: Bucket, account: dict[str, str], general: dict[str, Any]) -> Client:
    if bucket.scheme == "s3":
        return _s3(bucket, account, general)
    if bucket.scheme == "gs":
        if account:
            general["service_account_key"] = account["secret"]
        return GCSStore(bucket.name, **general)
    if bucket.endpoint:
        general["endpoint"] = bucket.endpoint
    if account:
        general |= {"account_name": account["key_id"], "account_key": account["secret"]}
    return AzureStore(bucket.name, **general)


def _s3(bucket: Bucket, account: dict[str, str], general: dict[str, Any]) -> S3Store:
    if bucket.endpoint:
        general["endpoint"] = bucket.endpoint
    if bucket.region:
        general["region"] = bucket.region
    elif bucket.endpoint:
        general["region"] = "us-east-1"  # what servers outside AWS expect
    if account:
        # A provider instead of settings: a session token in the environment must not join a plan's key.
        given = {
            "access_key_id": account["key_id"],
            "secret_access_key": account["secret"],
            "token": account.get("token"),
            "expires_at": None,
        }
        general["credential_provider"] = lambda: given
    return S3Store(bucket.name, **general)


def is_plain_http(bucket: Bucket) -> bool:
    """Say whether requests go without TLS. Raises StoreUrlInvalid where they would cross a network so."""
    if bucket.endpoint is None or not bucket.endpoint.startswith("http://"):
        return False
    if urlsplit(bucket.endpoint).hostname not in _LOOPBACK:
        raise StoreUrlInvalid(
            f"the endpoint {bucket.endpoint} has no TLS and is not on this machine",
            hint="use https://; plain http:// is for loopback only",
        )
    return True


def check_account(scheme: str, credentials: Mapping[str, str] | None) -> None:
    """Raise StoreUrlInvalid if the credentials lack a part, without repeating any."""
    if credentials is None:
        return
    wanted = ("secret",) if scheme == "gs" else ("key_id", "secret")
    lacking = [name for name in wanted if not credentials.get(name)]
    if lacking:
        raise StoreUrlInvalid(
            f"the credentials for {scheme}:// lack {' and '.join(lacking)}",
            hint="credentials: {key_id: env:…, secret: file:…} in the plan",
        )
    if scheme == "gs":
        try:
            json.loads(credentials["secret"])
        except ValueError:
            raise StoreUrlInvalid(
                "the credentials' secret for gs:// is not the JSON of a service account's key",
                hint="secret: file:/etc/seawall/service-account.json",
            ) from None


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
