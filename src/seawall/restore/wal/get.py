"""``restore_command`` of a planned restore: one file from the archive, or an honest answer why not.

The exit status decides between data and its loss (postgres_facts, "restore_command exit codes"): 1 says "the
WAL ends here", and PostgreSQL then ends recovery and may promote. So 1 is given only for what the archive
was *proven* not to hold; a store that does not answer, damage, and a segment missing below the proven end are
errors, which the caller turns into 126, and PostgreSQL stops instead of coming up with a hole.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seawall.model.errors import SeawallError
from seawall.model.wal_name import SegmentName, WalFileKind, classify
from seawall.postgres.wal_program import wal_words
from seawall.restore.beside import HISTORIES_NAME, SPOOL_NAME
from seawall.restore.errors import WalMissing
from seawall.restore.planning.spec import RestoreSpec, WalFolder
from seawall.restore.wal.ready import serve_history, serve_ready
from seawall.restore.wal.spool import Spool

if TYPE_CHECKING:
    from seawall.repository.wal.archive import WalArchive

FOUND = 0
ABSENT = 1
PROVEN_ABSENT = 74
"""What :func:`planned_command` is told instead of :data:`ABSENT`: no interpreter, shell or crash ends with it."""
AHEAD_SEGMENTS = 8
"""How many further segments one call fetches: the start-up of a process is then paid once for eight."""

Fetch = Callable[[int, str], bytes]
"""Fetch (epoch, name) from the first repository that gives it; raises WalNotFound, Unavailable and kin."""


def planned_command(seawall_command: str, spec: str) -> str:
    """Return the ``restore_command`` of a planned restore; ``spec`` is quoted for it already.

    A Python that can't start (a virtual environment that is gone, an import that fails, a last flush to a full
    disk) ends with 1 or 120, and PostgreSQL would take that for the end of the WAL and promote. So "not there"
    comes as a status of its own, and all others that are not success become 126; what is above passes.
    """
    program = shlex.join(wal_words(seawall_command)).replace("%", "%%")
    get = f"{program} get --restore {spec} --absent-status {PROVEN_ABSENT} %f %p"
    return (
        f"{get}; s=$?; case $s in 0) exit 0;; {PROVEN_ABSENT}) exit {ABSENT};; esac; "
        "[ $s -gt 125 ] && exit $s; exit 126"
    )


def first_that_gives(sources: Sequence[Callable[[], WalArchive]]) -> Fetch:
    """Return a fetch that asks the next archive on any error; each is opened when it is first asked.

    Each repository counts its own epochs, so what was proven holds for the first alone; the others are asked
    for what counts in them.
    """
    opened: dict[int, WalArchive] = {}

    def fetch(epoch: int, name: str) -> bytes:
        first_error: SeawallError | None = None
        for number, open_archive in enumerate(sources):
            try:
                if number not in opened:
                    opened[number] = open_archive()
                return opened[number].fetch(name, epoch=epoch if number == 0 else None)
            except SeawallError as error:
                first_error = first_error or error
        if first_error is None:
            raise ValueError("a restore reads from one archive at least")
        raise first_error

    return fetch


def with_partial(fetch: Fetch, path: Sequence[WalFolder], segment_bytes: int) -> Fetch:
    """Return a fetch that serves the ``.partial`` at the end of ``path`` under its segment's plain name.

    A whole segment that was archived meanwhile, or is in another repository, goes before it. A ``.partial``
    that is shorter than a segment is filled with zeros: the server takes a file of any other size for damage.
    """
    if not path or not path[-1].is_partial:
        return fetch
    unfinished = str(SegmentName(path[-1].timeline, path[-1].first, segment_bytes))

    def fetch_with_partial(epoch: int, name: str) -> bytes:
        if name != unfinished:
            return fetch(epoch, name)
        try:
            return fetch(epoch, name)
        except SeawallError as error:
            if error.code != "wal-not-found":
                raise
        return fetch(epoch, f"{name}.partial").ljust(segment_bytes, b"\0")

    return fetch_with_partial


def get_planned(
    spec: RestoreSpec, work: Path, name: str, destination: Path, open_archives: Callable[[], Fetch]
) -> int:
    """Put the WAL file ``name`` at ``destination``; return :data:`FOUND` or :data:`ABSENT`. ``work`` is the folder
    beside the restored directory.

    Raises:
        WalMissing: below the proven end of the archive, so its absence is damage.
        SeawallError: it could not be fetched; never to be taken for the end of the WAL.
    """
    kind = classify(name)
    if kind is WalFileKind.HISTORY:
        found = serve_history(os.fspath(work), name, os.fspath(destination))
        if found is None:
            raise WalMissing(
                f"{work / HISTORIES_NAME} is gone, so nobody knows whether {name} exists",
                hint="run the restore again",
                segment=name,
            )
        return FOUND if found else ABSENT
    if kind is not WalFileKind.SEGMENT:
        return ABSENT
    if serve_ready(os.fspath(work), name, os.fspath(destination)):
        return FOUND
    segment = SegmentName.parse(name, spec.wal_segment_bytes)
    epoch = spec.epoch_of(segment)
    if epoch is None:
        return ABSENT
    fetch = with_partial(open_archives(), spec.path, spec.wal_segment_bytes)
    content = _fetch_proven(fetch, epoch, name)
    destination.write_bytes(content)
    _fetch_ahead(spec, Spool(work / SPOOL_NAME), segment, fetch)
    return FOUND


def get_for_standby(
    name: str,
    destination: Path,
    sources: Sequence[tuple[str, Callable[[], WalArchive]]],
    *,
    complain: Callable[[str], None],
) -> int:
    """Put ``name`` at ``destination`` for a server under ``standby.signal``; return :data:`FOUND` or :data:`ABSENT`.

    A standby asks again after any non-zero status, but a status of 126 or more would end it, and with it the
    hot standby that people read from (reproduced: a restart of the primary during an outage of the store). So
    every failure is told on standard error and answered with 1. What is missing is looked for in the archive
    before such a server is promoted, not here.
    """
    for source, open_archive in sources:
        try:
            content = open_archive().fetch(name)
        except SeawallError as error:
            if error.code != "wal-not-found":
                complain(f"seawall: {name} could not be fetched from {source}: {error.message}")
            continue
        destination.write_bytes(content)
        return FOUND
    return ABSENT


def _fetch_proven(fetch: Fetch, epoch: int, name: str) -> bytes:
    try:
        return fetch(epoch, name)
    except SeawallError as error:
        if error.code != "wal-not-found":
            raise
        raise WalMissing(
            f"WAL segment {name} was in the archive when this restore was planned, and is not there now",
            hint="find out who deletes from the repository: seawall verify; then restore to a moment before it",
            segment=name,
        ) from error


def _fetch_ahead(spec: RestoreSpec, spool: Spool, segment: SegmentName, fetch: Fetch) -> None:
    """Fill the spool with what will be asked for next. A failure here is left to the call that needs it."""
    from concurrent.futures import ThreadPoolExecutor

    following = segment
    wanted: list[tuple[int, str]] = []
    for _ in range(min(AHEAD_SEGMENTS, spec.ahead) - 1):
        following = following.next()
        epoch = spec.epoch_of(following)
        if epoch is None:
            break
        if not spool.has(str(following)):
            wanted.append((epoch, str(following)))
    if not wanted:
        return
    with ThreadPoolExecutor(2) as pool:
        for name, future in [(name, pool.submit(fetch, epoch, name)) for epoch, name in wanted]:
            try:
                spool.put(name, future.result())
            except (SeawallError, OSError):
                return  # not lost: PostgreSQL will ask for it, and then the error counts
