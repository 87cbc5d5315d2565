"""From a repository's URL to its store.

==========================  ==============================================================================
``file:///folder``          a folder on this machine
``s3://bucket/prefix``      Amazon S3 and what speaks its protocol
``gs://bucket/prefix``      Google Cloud Storage (constructed the same way; untested)
``az://container/prefix``   Azure Blob Storage (constructed the same way; untested)
``memory:``                 nothing that survives the process
==========================  ==============================================================================

``?endpoint=http://host:port`` and ``?region=`` may follow a bucket, for servers other than the cloud's own;
:class:`StoreOptions` says the same where a plan has fields for them, and wins. A URL never holds a secret: one
that does is refused, and is not repeated in the message.

`wal push` comes through here once per segment, so nothing is imported before the URL asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from seawall.storage.errors import StoreUrlInvalid
from seawall.storage.protocol import ObjectStore, is_key

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from seawall.model.clock import Clock
    from seawall.storage.retry import RetryPolicy

_FORMS = "file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
_CLOUDS = ("s3", "gs", "az")
_PARAMETERS = ("endpoint", "region")


class StoreOptions(NamedTuple):
    """What a URL doesn't say.

    ``credentials`` are ``key_id``, ``secret`` and perhaps ``token``: the access key of S3; the account's name
    and key of Azure; for GCS ``secret`` alone, the JSON of a service account. Without them the cloud's usual
    environment variables and instance roles count. ``retry`` bounds every operation in time.
    """

    region: str | None = None
    endpoint: str | None = None
    credentials: Mapping[str, str] | None = None
    retry: RetryPolicy | None = None
    clock: Clock | None = None

    def __repr__(self) -> str:
        account = "given" if self.credentials else "from the environment"
        return f"StoreOptions(region={self.region!r}, endpoint={self.endpoint!r}, credentials {account})"


def open_store(url: str, options: StoreOptions | None = None) -> ObjectStore:
    """Return the store at ``url``. Nothing is read or sent yet. Raises StoreUrlInvalid."""
    options = options or StoreOptions()
    if url == "memory:":
        from seawall.storage.memory import MemoryStore

        return MemoryStore(options.clock)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise StoreUrlInvalid("a repository URL can't be read", hint=f"write it as {_FORMS}") from error
    if parts.username is not None or parts.password is not None:
        raise StoreUrlInvalid(
            f"the {parts.scheme}:// URL of a repository holds a name or password",
            hint="take it out: credentials come from the plan's `credentials:` or from the environment",
        )
    if parts.scheme == "file":
        return _open_folder(url, parts)
    if parts.scheme in _CLOUDS:
        return _open_bucket(url, parts, options)
    raise StoreUrlInvalid(f"{url!r} is not the URL of a repository", hint=f"write it as {_FORMS}")


def _open_folder(url: str, parts: SplitResult) -> ObjectStore:
    from seawall.storage.posix import PosixStore

    folder = unquote(parts.path)
    if parts.netloc or not folder.startswith("/"):
        raise StoreUrlInvalid(
            f"{url!r} names no folder of this machine",
            hint=f"three slashes and an absolute path: file:///{(parts.netloc + parts.path).lstrip('/')}",
        )
    if parts.query or parts.fragment or "\0" in folder:
        raise StoreUrlInvalid(
            f"{url!r} has a part that a folder's URL doesn't have",
            hint="write ? as %3F and # as %23 if the folder's name has them",
        )
    if not folder.strip("/"):
        raise StoreUrlInvalid(f"{url!r} is the whole machine", hint="name a folder: file:///var/lib/seawall")
    return PosixStore(folder)


def _open_bucket(url: str, parts: SplitResult, options: StoreOptions) -> ObjectStore:
    prefix = unquote(parts.path).strip("/")
    if not parts.hostname or parts.netloc != parts.hostname or parts.fragment:
        raise StoreUrlInvalid(
            f"{url!r} names no bucket",
            hint=f"{parts.scheme}://bucket/prefix; a server's address goes into ?endpoint=https://host:port",
        )
    if prefix and not is_key(prefix):
        raise StoreUrlInvalid(
            f"the prefix {prefix!r} of {url!r} can't be used",
            hint="a prefix has letters, digits and . _ - between its slashes",
        )
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in parameters:
        if name not in _PARAMETERS:
            raise StoreUrlInvalid(
                f"a repository URL has no parameter {name!r}", hint="it may have " + " and ".join(_PARAMETERS)
            )
    endpoint = options.endpoint or parameters.get("endpoint")
    if endpoint is not None and not endpoint.startswith(("https://", "http://")):
        raise StoreUrlInvalid(
            f"the endpoint {endpoint!r} is no address", hint=f"https://{endpoint}, or http:// without TLS"
        )
    from seawall.storage.bucket.client import Bucket
    from seawall.storage.bucket.store import open_bucket

    bucket = Bucket(
        scheme=parts.scheme,
        name=parts.hostname,
        prefix=prefix,
        region=options.region or parameters.get("region"),
        endpoint=endpoint,
    )
    return open_bucket(bucket, options.credentials, retry=options.retry, clock=options.clock)
