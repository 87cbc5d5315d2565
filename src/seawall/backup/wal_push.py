"""``archive_command``: one file, durable in every required repository, or a non-zero exit status.

PostgreSQL removes its only copy after a zero, so zero is said only when the bytes are durable where the
plan requires it. What is pushed is checked first: a segment of another system, of another position, or of
zeros would be found out only on the day of the recovery.
"""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seawall.backup.errors import AllRepositoriesFailed, WalPathInvalid
from seawall.model.errors import SeawallError
from seawall.model.wal_name import WalFileKind, classify

if TYPE_CHECKING:
    from seawall.repository.repository import Repository

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


def push_wal(
    path: Path,
    *,
    cluster: str,
    data_directory: Path,
    state_directory: Path,
    targets: Sequence[PushTarget],
    compression_level: int = 1,
) -> PushResult:
    """Archive the file at ``path`` (relative to ``data_directory``, as ``%p`` is).

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
        _refuse_unfinished(data_directory / path)
    raw = _read(data_directory / path)
    # From here on a thread compresses, while this one imports what is left and asks the repositories.
    from seawall.repository.format.codec import CompressionPolicy
    from seawall.repository.wal.pieces import WalPieces

    policy = CompressionPolicy(level=compression_level)
    pieces = WalPieces(raw, policy)
    system_identifier = read_system_identifier(data_directory)
    if kind in (WalFileKind.SEGMENT, WalFileKind.PARTIAL):
        from seawall.postgres.files.wal_file import check_segment

        check_segment(name, raw, len(raw), system_identifier=system_identifier)
    from seawall.repository.wal.writers import writer_fingerprint

    fingerprint = writer_fingerprint(state_directory, data_directory)

    def push_into(repository: Repository) -> str:
        from seawall.backup.writer_binding import bind
        from seawall.repository.wal.archive import WalArchive

        binding = bind(
            repository,
            cluster=cluster,
            system_identifier=system_identifier,
            fingerprint=fingerprint,
            data_directory=data_directory,
        )
        archive = WalArchive(repository, cluster, system_identifier, policy=policy)
        if binding.is_superseded:
            archive.push_diverged(binding.epoch, name, raw, pieces=pieces)
            return DIVERGED
        return archive.push(binding.epoch, name, raw, pieces=pieces).value

    result = PushResult({}, {})
    for target in targets:
        try:
            result.stored[target.name] = push_into(target.open())
        except SeawallError as error:
            result.failed[target.name] = error
    check_acknowledged(name, result, targets)
    return result


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


def _read(path: Path) -> memoryview:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WalPathInvalid(
            f"{path} can't be read: {error.strerror}",
            hint="archive_command = 'seawall wal push %p'; %p is relative to the data directory",
        ) from error
    with open(descriptor, "rb", buffering=0) as file:
        return read_all(file, os.fstat(descriptor).st_size)


def read_all(file: io.FileIO, size: int) -> memoryview:
    """Return ``size`` bytes, or what there is of them, in fresh memory of huge pages where there are: at 16 MiB,
    ordinary pages cost more time than the read itself."""
    if size == 0:
        return memoryview(b"")
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    view, got = memoryview(memory), 0
    while got < size and (count := file.readinto(view[got:])):
        got += count
    return view[:got]
