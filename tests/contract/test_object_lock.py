"""Buckets with and without object lock on a real S3 server: what they say, and what Seawall makes of it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from seawall.storage.protocol import LockState, ObjectStore
from seawall.storage.retry import RetryPolicy
from seawall.storage.urls import StoreOptions, open_store
from tests.support.recovery import Outcome, seawall
from tests.support.s3_server import KEY_ID, QUICK, SECRET, S3Address
from tests.support.tcp_proxy import Mode, TcpProxy

DAY_S = 86_400
HASTY = RetryPolicy(deadline_s=1.5, attempt_s=0.5, connect_s=0.5)


@pytest.fixture(scope="module")
def administrator(s3_server: S3Address) -> Iterator[Any]:
    """Whoever makes buckets: not Seawall."""
    client = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )
    with closing(client):
        yield client


def make_bucket(administrator: Any, *, lock: bool = True, days: int = 0, mode: str = "GOVERNANCE") -> str:
    name = f"held-{secrets.token_hex(6)}"
    administrator.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
    if days:
        rule = {"DefaultRetention": {"Mode": mode, "Days": days}}
        administrator.put_object_lock_configuration(
            Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
    return name


def opened(
    server: S3Address, bucket: str, *, secret: str = SECRET, endpoint: str = "", retry: RetryPolicy = QUICK
) -> ObjectStore:
    account = {"key_id": KEY_ID, "secret": secret}
    return open_store(
        f"s3://{bucket}/shop",
        StoreOptions(endpoint=endpoint or server.endpoint, credentials=account, retry=retry),
    )


def test_a_lock_with_a_default_retention(s3_server: S3Address, administrator: Any) -> None:
    """The answer is worth something: the server does refuse what the lock promises to refuse."""
    bucket = make_bucket(administrator, days=30)
    store = opened(s3_server, bucket)
    lock = store.object_lock()
    assert (lock.state, lock.mode, lock.retention_s) == (LockState.YES, "GOVERNANCE", 30 * DAY_S)
    assert lock.is_versioned and not lock.reason
    store.put("kept", b"1")
    [version] = administrator.list_object_versions(Bucket=bucket, Prefix="shop/kept")["Versions"]
    with pytest.raises(ClientError, match="AccessDenied"):
        administrator.delete_object(Bucket=bucket, Key="shop/kept", VersionId=version["VersionId"])


def test_a_locked_bucket_keeps_the_promises_of_a_store(s3_server: S3Address, administrator: Any) -> None:
    store = opened(s3_server, make_bucket(administrator, days=1))
    abilities = store.probe()
    assert abilities.conditional_put and abilities.read_after_write and abilities.ordered_list
    assert abilities.details == () and list(store.scan("")) == []


def test_a_lock_without_a_default_retention_holds_nothing(s3_server: S3Address, administrator: Any) -> None:
    lock = opened(s3_server, make_bucket(administrator)).object_lock()
    assert (lock.state, lock.mode, lock.retention_s) == (LockState.YES, None, None)


def test_a_bucket_without_a_lock(s3_server: S3Address, administrator: Any) -> None:
    bucket = make_bucket(administrator, lock=False)
    lock = opened(s3_server, bucket).object_lock()
    assert lock.state is LockState.NO and lock.is_versioned is False and lock.reason and lock.remedy
    administrator.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    lock = opened(s3_server, bucket).object_lock()
    assert lock.state is LockState.NO and lock.is_versioned is True


def test_an_account_that_is_not_accepted(s3_server: S3Address, administrator: Any) -> None:
    wrong = "not-" + SECRET
    lock = opened(s3_server, make_bucket(administrator), secret=wrong).object_lock()
    assert lock.state is LockState.UNKNOWN and "account" in lock.reason and lock.remedy
    assert wrong not in repr(lock) and KEY_ID not in lock.reason + lock.remedy


def test_a_bucket_that_is_not_there(s3_server: S3Address) -> None:
    lock = opened(s3_server, "nowhere-" + secrets.token_hex(4)).object_lock()
    assert lock.state is LockState.UNKNOWN and "no bucket" in lock.reason


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.STALL])
def test_a_network_that_fails(s3_server: S3Address, administrator: Any, mode: Mode) -> None:
    bucket = make_bucket(administrator, days=1)
    with TcpProxy(s3_server.port) as proxy:
        store = opened(s3_server, bucket, endpoint=proxy.endpoint, retry=HASTY)
        proxy.set_mode(mode)
        began = time.monotonic()
        lock = store.object_lock()
        assert time.monotonic() - began < HASTY.deadline_s + 3.0
        assert lock.state is LockState.UNKNOWN and "answer" in lock.reason and lock.remedy
        proxy.set_mode(Mode.PASS)
        patient = opened(s3_server, bucket, endpoint=proxy.endpoint)
        assert patient.object_lock().state is LockState.YES


def test_other_clouds_can_not_be_asked() -> None:
    account = {"key_id": "shop", "secret": "c2VjcmV0IGtleQ=="}
    lock = open_store("az://bucket/x", StoreOptions(credentials=account)).object_lock()
    assert lock.state is LockState.UNKNOWN and "az://" in lock.reason


def test_without_boto3_the_answer_says_how_to_get_it() -> None:
    """In a process of its own, where boto3 can't be imported: as for everybody without the extra."""
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from seawall.storage.urls import StoreOptions, open_store\n"
        "account = {'key_id': 'a', 'secret': 'b'}\n"
        "store = open_store('s3://bucket/x', StoreOptions(credentials=account, endpoint='http://127.0.0.1:9'))\n"
        "lock = store.object_lock(); print(lock.state.value, lock.remedy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("unknown pip install boto3")


PLAN = """\
version: 1
service: shop
timezone: Europe/Berlin
state: {folder}/state
objectives: {{rto: 15m, rpo: 5m, detection: 3m}}
sites:
  west: {{hosts: {{db1: {{}}}}}}
  central: {{hosts: {{db2: {{}}}}}}
repositories:
  far:
    {{site: central, host: db2, url: "s3://{bucket}/shop", endpoint: "{endpoint}", region: us-east-1,
     credentials: {{key_id: "file:{folder}/key-id", secret: "file:{folder}/secret"}}, encryption: none, lock: {lock}}}
clusters:
  main:
    primary: {{host: db1, dsn: "postgresql:///postgres?host={folder}", data: {folder}/data}}
    wal: {{archive_timeout: 1m}}
"""


def write_plan(folder: Path, endpoint: str, bucket: str, lock: str) -> Path:
    for name, text in (("key-id", KEY_ID), ("secret", SECRET)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    plan = folder / "plan.yaml"
    plan.write_text(PLAN.format(folder=folder, endpoint=endpoint, bucket=bucket, lock=lock))
    return plan


def finding(outcome: Outcome) -> dict[str, str]:
    """Return what ``check`` found about the lock."""
    findings = outcome.document["findings"]
    found = [item for item in findings if item["subject"] == "far" and "lock" in item["text"]]
    assert len(found) == 1, outcome
    return dict(found[0])


def test_init_list_and_check_show_the_lock(s3_server: S3Address, administrator: Any, tmp_path: Path) -> None:
    plan = write_plan(tmp_path, s3_server.endpoint, make_bucket(administrator, days=30), "30d")
    made = seawall("repository", "init", "--json", "--plan", plan).succeeded().document
    expected = {
        "state": "yes",
        "mode": "GOVERNANCE",
        "retention_s": 30 * DAY_S,
        "versioned": True,
        "reason": None,
        "remedy": None,
    }
    assert made["created"]["far"]["object_lock"] == expected
    listed = seawall("repository", "list", "--json", "--plan", plan).succeeded()
    assert listed.document["repositories"]["far"]["object_lock"] == expected
    assert "GOVERNANCE, 30 d" in seawall("repository", "list", "--plan", plan).succeeded().out
    checked = seawall("check", "--json", "--plan", plan)
    assert finding(checked)["verdict"] == "ok"
    everything = json.dumps([made, listed.document, checked.document]) + listed.err + checked.err
    assert SECRET not in everything


@pytest.mark.parametrize(
    ("has_lock", "days", "says", "remedy"),
    [
        (False, 0, "no object lock", "new bucket"),
        (True, 0, "holds nothing", '"Days": 30'),
        (True, 7, "7 d", '"Days": 30'),
    ],
)
def test_a_declared_lock_that_the_bucket_does_not_keep_fails_the_check(
    s3_server: S3Address,
    administrator: Any,
    tmp_path: Path,
    has_lock: bool,
    days: int,
    says: str,
    remedy: str,
) -> None:
    bucket = make_bucket(administrator, lock=has_lock, days=days)
    plan = write_plan(tmp_path, s3_server.endpoint, bucket, "30d")
    seawall("repository", "init", "--plan", plan).succeeded()
    found = finding(seawall("check", "--json", "--plan", plan))
    assert found["verdict"] == "failed"
    assert says in found["text"] and remedy in found["remedy"]


def test_the_remedy_for_a_short_lock_heals_it(
    s3_server: S3Address, administrator: Any, tmp_path: Path
) -> None:
    """The configuration in the command is one that a server takes, and that check is content with."""
    bucket = make_bucket(administrator, days=7)
    plan = write_plan(tmp_path, s3_server.endpoint, bucket, "30d")
    seawall("repository", "init", "--plan", plan).succeeded()
    remedy = finding(seawall("check", "--json", "--plan", plan))["remedy"]
    assert f"--endpoint-url {s3_server.endpoint} --bucket {bucket} " in remedy
    configuration = json.loads(remedy.partition("configuration '")[2].rstrip("'"))
    administrator.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)
    assert finding(seawall("check", "--json", "--plan", plan))["verdict"] == "ok"


def test_rules_that_delete_live_objects_are_told(s3_server: S3Address, administrator: Any) -> None:
    bucket = make_bucket(administrator, lock=False)
    store = opened(s3_server, bucket)
    assert store.object_lock().expiring == ()
    administrator.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}},
                {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}},
                {
                    "ID": "other",
                    "Status": "Enabled",
                    "Filter": {"Prefix": "logs/"},
                    "Expiration": {"Days": 3},
                },
            ]
        },
    )
    (found,) = store.object_lock().expiring or ()
    assert "30 days" in found and "the whole bucket" in found
