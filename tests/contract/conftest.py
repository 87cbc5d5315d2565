"""Every implementation of ObjectStore, as the fixture ``store``."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.storage.memory import MemoryStore
from seawall.storage.posix import PosixStore
from seawall.storage.protocol import ObjectStore


@pytest.fixture(params=["memory", "posix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "memory":
        return MemoryStore()
    return PosixStore(tmp_path)
