"""A standby's restore_command: what is there is given, every failure is told and answered with 1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from seawall.repository.wal.errors import WalNotFound
from seawall.restore.wal.get import ABSENT, FOUND, get_for_standby
from seawall.storage.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from seawall.repository.wal.archive import WalArchive

SEGMENT = "000000010000000000000007"


class FakeArchive:
    """An archive of given files, or one whose store is out."""

    def __init__(self, files: dict[str, bytes] | None) -> None:
        self._files = files

    def fetch(self, name: str, *, epoch: int | None = None) -> bytes:
        if self._files is None:
            raise StoreUnavailable("the store does not answer", hint="wait")
        if name not in self._files:
            raise WalNotFound(f"{name} is not there", hint="none")
        return self._files[name]


def source(name: str, files: dict[str, bytes] | None) -> tuple[str, Callable[[], WalArchive]]:
    return name, lambda: cast("WalArchive", FakeArchive(files))


def test_the_first_source_that_has_it_is_taken(tmp_path: Path) -> None:
    said: list[str] = []
    sources = [source("near", {}), source("far", {SEGMENT: b"wal"})]
    assert get_for_standby(SEGMENT, tmp_path / "wal", sources, complain=said.append) == FOUND
    assert (tmp_path / "wal").read_bytes() == b"wal"
    assert said == []


def test_absence_is_silent(tmp_path: Path) -> None:
    said: list[str] = []
    assert get_for_standby(SEGMENT, tmp_path / "wal", [source("near", {})], complain=said.append) == ABSENT
    assert not (tmp_path / "wal").exists()
    assert said == []


def test_a_store_that_is_out_is_told_and_reads_as_absence(tmp_path: Path) -> None:
    said: list[str] = []
    assert get_for_standby(SEGMENT, tmp_path / "wal", [source("far", None)], complain=said.append) == ABSENT
    assert len(said) == 1
    assert "far" in said[0]


def test_another_source_is_asked_when_the_first_is_out(tmp_path: Path) -> None:
    said: list[str] = []
    sources = [source("near", None), source("far", {SEGMENT: b"wal"})]
    assert get_for_standby(SEGMENT, tmp_path / "wal", sources, complain=said.append) == FOUND
    assert len(said) == 1


def test_a_source_that_does_not_open_is_told(tmp_path: Path) -> None:
    def refuse() -> WalArchive:
        raise StoreUnavailable("connection refused", hint="wait")

    said: list[str] = []
    assert get_for_standby(SEGMENT, tmp_path / "wal", [("far", refuse)], complain=said.append) == ABSENT
    assert "connection refused" in said[0]
