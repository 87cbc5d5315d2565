"""``archive_command``: one file, durable in every required repository, or a non-zero exit status.

PostgreSQL removes its only copy after a zero, so zero is said only when the bytes are durable where the
plan requires it. What is pushed is checked first: a segment of another system, of another position, or of
zeros would be found out only on the day of the recovery.
"""

from __future__ import annotations

import io
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seawall.backup.errors import AllRepositoriesFailed, WalPathInvalid
from seawall.model.errors import SeawallError
from seawall.model.wal_name import WalFileKind, classify

if TYPE_CHECKING:
    from seawall.backup.wal.binding import Binding
    from seawall.repository.repository import Repository
    from seawall.repository.wal.archive import WalArchive
    from seawall.repository.wal.pieces import WalPieces, Workspace

DIVERGED = "diverged"
"""The outcome of a push by a superseded writer: durable, and apart from the lineage."""
_SYSTEM_IDENTIFIER_BYTES = 8


class PushTarget(NamedTuple):
    """One repository of the plan; ``ack`` is ``required``, ``any`` or ``none``."""

    name: str
    ack: str
    open: Callable[[], Repository]


class PushResult(NamedTuple):
    """What each repository answered: an outcome's word, or the error."""

    stored: dict[str, str]
    failed: dict[str, SeawallError]


class WalPusher:
    """Pushes files of one cluster: opens each repository once, and may be shared by threads."""

    def __init__(
        self,
        *,
        cluster: str,
        data_directory: Path,
        state_directory: Path,
        targets: Sequence[PushTarget],
        compression_level: int = 1,
    ) -> None:
        """Nothing is opened or read before the first push."""
        self.data_directory = data_directory
        self._cluster = cluster
        self._state_directory = state_directory
        self._targets = targets
        self._level = compression_level
        self._opening = threading.Lock()
        self._opened: dict[str, _Opened | SeawallError] = {}

    def push(self, path: Path, workspace: Workspace | None = None) -> PushResult:
        """Archive the file at ``path`` (relative to the data directory, as ``%p`` is). A ``workspace`` is given by
        one of several workers, which keep the processors busy by themselves.

        Raises:
            WalPathInvalid, WalSegmentInvalid, WrongServer, WriterNotBound, WalDiffers: nothing was stored by
                this call where it says so; PostgreSQL keeps the file and tries again.
            AllRepositoriesFailed and kin: a required repository does not have it yet.
        Crash: each repository has the whole file or none of it; the next try completes the rest.
        """
        name = path.name
        kind = classify(name)
        if kind is None:
            raise WalPathInvalid(
                f"{name!r} is no WAL file that PostgreSQL archives",
                hint="archive_command = 'seawall wal push %p' (with %p, not %f)",
            )
        if kind is WalFileKind.SEGMENT:
            _refuse_unfinished(self.data_directory / path)
        raw = _read(self.data_directory / path, workspace)
        # From here on a thread compresses, while this one imports what is left and asks the repositories.
        from seawall.repository.format.codec import CompressionPolicy
        from seawall.repository.wal.pieces import WalPieces

        pieces = WalPieces(
            raw, CompressionPolicy(level=self._level), in_background=workspace is None, workspace=workspace
        )
        system_identifier = read_system_identifier(self.data_directory)
        if kind in (WalFileKind.SEGMENT, WalFileKind.PARTIAL):
            from seawall.postgres.files.wal_file import check_segment

            check_segment(name, raw, len(raw), system_identifier=system_identifier)
        result = PushResult({}, {})
        for target in self._targets:
            try:
                opened = self._open(target, system_identifier)
                result.stored[target.name] = opened.push(name, raw, pieces)
            except SeawallError as error:
                result.failed[target.name] = error
        check_acknowledged(name, result, self._targets)
        return result

    def _open(self, target: PushTarget, system_identifier: int) -> _Opened:
        """Open a repository once; one that can't be opened isn't asked again by this process."""
        with self._opening:
            known = self._opened.get(target.name)
            if known is None:
                try:
                    known = self._open_and_bind(target, system_identifier)
                except SeawallError as error:
                    known = error
                self._opened[target.name] = known
        if isinstance(known, SeawallError):
            raise known
        return known

    def _open_and_bind(self, target: PushTarget, system_identifier: int) -> _Opened:
        from seawall.backup.wal.binding import bind
        from seawall.repository.wal.archive import WalArchive
        from seawall.repository.wal.writers import writer_fingerprint

        repository = target.open()
        binding = bind(
            repository,
            cluster=self._cluster,
            system_identifier=system_identifier,
            fingerprint=writer_fingerprint(self._state_directory, self.data_directory),
            data_directory=self.data_directory,
        )
        return _Opened(WalArchive(repository, self._cluster, system_identifier), binding)


class _Opened(NamedTuple):
    """A repository's archive, and this writer's place in it."""

    archive: WalArchive
    binding: Binding

    def push(self, name: str, raw: memoryview, pieces: WalPieces) -> str:
        if self.binding.is_superseded:
            self.archive.push_diverged(self.binding.epoch, name, raw, pieces=pieces)
            return DIVERGED
        return self.archive.push(self.binding.epoch, name, raw, pieces=pieces).value


def check_acknowledged(name: str, result: PushResult, targets: Sequence[PushTarget]) -> None:
    """Raise unless every required repository has the file, and one of those with ``any`` if there are some."""
    for target in targets:
        if target.ack == "required" and target.name in result.failed:
            raise result.failed[target.name]
    any_of = [target.name for target in targets if target.ack == "any"]
    if any_of and not any(name in result.stored for name in any_of):
        raise result.failed[any_of[0]]
    if not result.stored:
        raise AllRepositoriesFailed(
            f"no repository has {name}: "
            + "; ".join(f"{target}: {error.message}" for target, error in result.failed.items()),
            hint="seawall check",
        )


def read_system_identifier(data_directory: Path) -> int:
    """Return the identifier in ``pg_control``'s first eight bytes (pg_control.h); they never change."""
    path = data_directory / "global" / "pg_control"
    try:
        with open(path, "rb") as control:
            head = control.read(_SYSTEM_IDENTIFIER_BYTES)
    except OSError as error:
        raise WalPathInvalid(
            f"{path} can't be read: {error.strerror}",
            hint="archive_command runs in the data directory; by hand, say --data-directory DIR",
        ) from error
    return int.from_bytes(head, "little")


def _refuse_unfinished(path: Path) -> None:
    """Refuse a segment that the server still writes: archived once, its whole form could never follow.

    ``archive_command`` is called for what has a ``.ready`` beside it; a person can name any file.
    """
    status = path.parent / "archive_status"
    if status.is_dir() and not any((status / f"{path.name}.{word}").exists() for word in ("ready", "done")):
        raise WalPathInvalid(
            f"the server has not finished {path.name}",
            hint="PostgreSQL pushes it once it is full; to have that now: SELECT pg_switch_wal()",
        )


def _read(path: Path, workspace: Workspace | None) -> memoryview:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WalPathInvalid(
            f"{path} can't be read: {error.strerror}",
            hint="archive_command = 'seawall wal push %p'; %p is relative to the data directory",
        ) from error
    with open(descriptor, "rb", buffering=0) as file:
        size = os.fstat(descriptor).st_size
        return read_all(file, fresh_memory(size) if workspace is None else workspace.raw(size))


def fresh_memory(size: int) -> memoryview:
    """Return ``size`` bytes of huge pages where there are."""
    if size == 0:
        return memoryview(b"")
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def read_all(file: io.FileIO, view: memoryview) -> memoryview:
    """Fill ``view`` from ``file``; return what there was."""
    got = 0
    while got < len(view) and (count := file.readinto(view[got:])):
        got += count
    return view[:got]
