"""Ask an S3 bucket whether it locks objects, and whether it deletes some by itself (GetObjectLockConfiguration,
GetBucketVersioning, GetBucketLifecycleConfiguration).

The store's own client doesn't have these calls, so this is the one place where storage speaks through boto3: an
optional part (``seawall[aws]``), imported when the question is put and not before. The bucket, endpoint, region and
account are those of the store; without an account boto3 finds one by its own chain, which knows more places
than the store's client does (profiles, single sign-on).

The answer is for people and for `seawall check`. So nothing here raises for a bucket that can't be asked: the
answer is then UNKNOWN, with the reason in our words. What boto3 says is not repeated, as it may hold names and
parts of an account.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Mapping
from typing import Any

from seawall.model.units import format_duration
from seawall.storage.bucket.client import Bucket, is_plain_http
from seawall.storage.errors import StoreUrlInvalid
from seawall.storage.protocol import LockState, ObjectLock
from seawall.storage.retry import RetryPolicy

_DAY_S = 86_400
_DAYS_OF_YEAR = 365
_TRIES = 3
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_NO_LIFECYCLE = "NoSuchLifecycleConfiguration"
_NOT_LOCKED = "ObjectLockConfigurationNotFoundError"
_DENIED = ("AccessDenied", "AllAccessDisabled", "Forbidden")
_NO_ACCOUNT = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")
_NOT_KNOWN = ("NotImplemented", "MethodNotAllowed", "UnsupportedOperation")
_ASK_FOR_LOCK = "make a new bucket with object lock and a default retention, or take `lock:` out of the plan"


def ask_object_lock(bucket: Bucket, credentials: Mapping[str, str] | None, policy: RetryPolicy) -> ObjectLock:
    """Return what the bucket says of its object lock, within the policy's deadline."""
    if bucket.scheme != "s3":
        return _unknown(
            f"{bucket.scheme}:// has retention policies of its own, which Seawall can't ask for",
            "look at the bucket's retention policy",
        )
    try:
        import boto3 as _  # noqa: F401 the thread below must not be what finds it missing
    except ImportError:
        return _unknown("boto3 is not installed", "pip install boto3, where Seawall is (its extra `aws`)")
    answers: queue.SimpleQueue[ObjectLock | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_ask(bucket, credentials, policy))
        except Exception as error:  # noqa: BLE001 a thread's top: raised again below
            answers.put(error)

    # boto3 bounds single reads only, and finding an account may run programs that never end.
    threading.Thread(target=ask, name=f"object lock of {bucket.name}", daemon=True).start()
    try:
        answer = answers.get(timeout=policy.deadline_s)
    except queue.Empty:
        return _unanswered(f"there was no answer within {format_duration(policy.deadline_s)}")
    if isinstance(answer, Exception):
        raise answer
    return answer


def _ask(bucket: Bucket, credentials: Mapping[str, str] | None, policy: RetryPolicy) -> ObjectLock:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with contextlib.closing(_make_client(bucket, credentials, policy)) as client:
            try:
                found = client.get_object_lock_configuration(Bucket=bucket.name)
            except ClientError as error:
                if _code_of(error) != _NOT_LOCKED:
                    raise
                found = {}
            answer = _answer(found.get("ObjectLockConfiguration", {}), _is_versioned(client, bucket))
            return answer._replace(expiring=_expiring(client, bucket))
    except ClientError as error:
        return _refused(bucket, error)
    except StoreUrlInvalid as error:
        return _unknown(error.message, error.hint)
    except (BotoCoreError, ValueError) as error:
        return _unasked(error)


def _make_client(bucket: Bucket, credentials: Mapping[str, str] | None, policy: RetryPolicy) -> Any:
    """Return boto3's client for the same server and account that the store's client uses."""
    import boto3
    from botocore.config import Config

    endpoint = bucket.endpoint or _from_environment(_ENDPOINT_VARIABLES)
    is_plain_http(bucket._replace(endpoint=endpoint))
    session = boto3.session.Session(
        aws_access_key_id=credentials["key_id"] if credentials else None,
        aws_secret_access_key=credentials["secret"] if credentials else None,
        aws_session_token=credentials.get("token") if credentials else None,
        region_name=bucket.region or _from_environment(_REGION_VARIABLES) or "us-east-1",
    )
    config = Config(
        connect_timeout=min(policy.connect_s, policy.attempt_s),
        read_timeout=min(policy.attempt_s, policy.deadline_s),
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        s3={"addressing_style": "path" if endpoint else "auto"},
        ignore_configured_endpoint_urls=True,  # of boto3's own files, which the store's client doesn't read
    )
    return session.client("s3", endpoint_url=endpoint, config=config)


def _from_environment(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _is_versioned(client: Any, bucket: Bucket) -> bool | None:
    """Say whether the bucket keeps old versions; None where it may not be asked."""
    from botocore.exceptions import ClientError

    try:
        return bool(client.get_bucket_versioning(Bucket=bucket.name).get("Status") == "Enabled")
    except ClientError:
        return None


def _expiring(client: Any, bucket: Bucket) -> tuple[str, ...] | None:
    """Return the lifecycle rules that delete live objects of this store; None where it may not be asked."""
    from botocore.exceptions import ClientError

    try:
        rules = client.get_bucket_lifecycle_configuration(Bucket=bucket.name).get("Rules", [])
    except ClientError as error:
        return () if _code_of(error) == _NO_LIFECYCLE else None
    return tuple(
        f"rule {rule.get('ID') or number}: objects below {_prefix_of(rule) or 'the whole bucket'} {expiry}"
        for number, rule in enumerate(rules, 1)
        if (expiry := _expiry_of(rule)) and _overlap(_prefix_of(rule), bucket.prefix)
    )


def _expiry_of(rule: Mapping[str, Any]) -> str:
    """Say when a rule deletes live objects, "" if it doesn't: old versions and unfinished uploads are no loss."""
    expiration = rule.get("Expiration", {})
    if rule.get("Status") != "Enabled":
        return ""
    if expiration.get("Days"):
        return f"expire after {expiration['Days']} days"
    return f"expire on {expiration['Date']:%Y-%m-%d}" if expiration.get("Date") else ""


def _prefix_of(rule: Mapping[str, Any]) -> str:
    chosen = rule.get("Filter", {})
    return str(rule.get("Prefix") or chosen.get("Prefix") or chosen.get("And", {}).get("Prefix") or "")


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _answer(configuration: Mapping[str, Any], is_versioned: bool | None) -> ObjectLock:
    """Judge a bucket's configuration: the default rule counts, since Seawall locks no object by itself."""
    if configuration.get("ObjectLockEnabled") != "Enabled":
        return ObjectLock(
            LockState.NO,
            "the bucket has none",
            _ASK_FOR_LOCK,
            is_versioned=is_versioned,
        )
    if is_versioned is False:
        return ObjectLock(
            LockState.NO,
            "the bucket's versioning is off, and without it its lock holds nothing",
            "turn the bucket's versioning on",
            is_versioned=False,
        )
    rule = configuration.get("Rule", {}).get("DefaultRetention", {})
    days = rule.get("Days") or _DAYS_OF_YEAR * rule.get("Years", 0)
    return ObjectLock(
        LockState.YES,
        mode=rule.get("Mode"),
        retention_s=days * _DAY_S or None,
        is_versioned=is_versioned,
    )


def _refused(bucket: Bucket, error: Any) -> ObjectLock:
    code = _code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = " ".join(part for part in (str(status or ""), code) if part)
    if code == "NoSuchBucket":
        return _unknown(f"there is no bucket {bucket.name}", "check the URL, or create the bucket")
    if code in _NO_ACCOUNT:
        return _unknown(f"the store does not accept the account ({said})", "check `credentials:`")
    if code in _DENIED or status in (401, 403):
        return _unknown(
            f"these credentials may not ask for it ({said})",
            "allow them s3:GetBucketObjectLockConfiguration, s3:GetBucketVersioning and s3:GetLifecycleConfiguration",
        )
    if code in _NOT_KNOWN or status in (405, 501):
        return _unknown(f"the store does not know the question ({said})", "ask its operator")
    return _unanswered(f"the store can't answer now ({said})")


def _unasked(error: Exception) -> ObjectLock:
    """Say in our words why no answer came at all; ``error`` is boto3's own."""
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
        return _unknown(
            f"boto3 finds no account ({kind})", "name `credentials:` in the plan, or set AWS's variables"
        )
    return _unanswered(f"the store does not answer ({kind})")


def _unanswered(reason: str) -> ObjectLock:
    return _unknown(reason, "check network, endpoint and region, then: seawall check")


def _unknown(reason: str, remedy: str) -> ObjectLock:
    return ObjectLock(LockState.UNKNOWN, reason, remedy)


def _code_of(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
