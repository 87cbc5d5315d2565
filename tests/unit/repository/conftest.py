"""Stores and repositories for the tests of the format."""

from __future__ import annotations

import pytest

from seawall.model.clock import SystemClock
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from tests.unit.repository.tiny_store import TinyStore


@pytest.fixture
def store() -> TinyStore:
    return TinyStore()


@pytest.fixture
def key_file() -> KeyFile:
    return KeyFile("shop", b"k" * 40)


@pytest.fixture(params=["encrypted", "plain"])
def repository(request: pytest.FixtureRequest, store: TinyStore, key_file: KeyFile) -> Repository:
    """A new repository, once encrypted and once not."""
    encrypted = request.param == "encrypted"
    return Repository.create(store, [key_file] if encrypted else [], clock=SystemClock(), encrypted=encrypted)
