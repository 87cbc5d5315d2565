"""The directory to restore into: empty, roomy enough, and never a live tablespace of the source."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from seawall.model.errors import SeawallError
from seawall.model.units import format_bytes
from seawall.postgres.files.relation_files import TABLESPACE_FOLDER, path_inside
from seawall.postgres.server.running import find_running_server
from seawall.repository.backups.record import BackupRecord, TablespaceRecord
from seawall.restore.beside import HISTORIES_NAME, LOG_NAME, SPEC_NAME, SPOOL_NAME, work_directory
from seawall.restore.directory.copy import Layout
from seawall.restore.directory.durable import write_durably
from seawall.restore.errors import (
    DirectoryNotEmpty,
    RestoreUnderWay,
    SpaceShort,
    TablespaceUnsafe,
    TargetInvalid,
    TargetUnwritable,
)

_MARK = "unfinished"
_HEADROOM = 1.05


@contextmanager
def exclusive(work: Path) -> Iterator[None]:
    """Hold the restore's lock; it ends with the process. A work folder that stays empty is removed again.

    Raises RestoreUnderWay.
    """
    lock = work / "lock"
    descriptor = _locked(work, lock)
    try:
        yield
    finally:
        if [entry.name for entry in work.iterdir()] == [lock.name]:
            lock.unlink()
            work.rmdir()
        os.close(descriptor)


def _locked(work: Path, lock: Path) -> int:
    import fcntl

    while True:
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_strangers(work)
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # its last holder is removing the folder
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise RestoreUnderWay(
                f"another restore works on {work.name.removesuffix('.seawall')}",
                hint="wait for it, or restore into another directory",
            ) from error
        except FileNotFoundError:
            pass  # its last holder removed the folder between our two looks: begin again
        os.close(descriptor)


def _refuse_strangers(work: Path) -> None:
    """Refuse a work folder that somebody else made or may write, as anybody can beside a target in /tmp.

    ``restore_command`` reads there where the WAL comes from, and by which command a key is fetched.
    """
    status = os.lstat(work)
    data_directory = work.with_name(work.name.removesuffix(".seawall"))
    trusted = {os.geteuid(), 0}
    trusted |= {place.stat().st_uid for place in (work.parent, data_directory) if place.exists()}
    if stat.S_ISDIR(status.st_mode) and status.st_uid in trusted and not status.st_mode & 0o022:
        return
    raise TargetUnwritable(
        f"{work} is not this user's alone, and a restore takes its instructions from there",
        hint=f"look at it (ls -ld {work}), remove it, and run the restore again",
    )


def clear_work(work: Path) -> None:
    """Put away what an earlier restore into the same place left beside it.

    Its spool may hold segments of another branch or cluster under the same names, and its log would be read
    as the new server's words.
    """
    for name in (SPOOL_NAME, HISTORIES_NAME):
        shutil.rmtree(work / name, ignore_errors=True)
    log = work / LOG_NAME
    if log.exists():
        os.replace(log, work / f"{LOG_NAME}.old")


def check_directory(data_directory: Path, *, moves_aside: bool) -> None:
    """Check that the directory may be written. Changes nothing.

    Raises:
        DirectoryNotEmpty: it holds something that no unfinished restore left there.
        TargetUnwritable: it can't be made.
    """
    if not data_directory.exists():
        _check_parent(data_directory)
        return
    if not data_directory.is_dir():
        raise DirectoryNotEmpty(f"{data_directory} is a file", hint="--into takes a directory")
    running = find_running_server(data_directory)
    if running is not None:
        raise DirectoryNotEmpty(
            f"a PostgreSQL server (process {running.pid}) runs in {data_directory}",
            hint="restore into another directory; or stop that server first",
        )
    if not any(data_directory.iterdir()) or moves_aside or _claimed_places(data_directory) is not None:
        return
    raise DirectoryNotEmpty(
        f"{data_directory} is not empty",
        hint="restore into an empty directory, or say --move-aside to keep what is there under another name",
    )


def _check_parent(data_directory: Path) -> None:
    above = next(place for place in data_directory.parents if os.path.lexists(place))
    if not above.is_dir():
        raise TargetUnwritable(
            f"{data_directory} can't be made: {above} is no directory", hint="--into takes a directory"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise TargetUnwritable(
            f"{data_directory} can't be made: this user may not write in {above}",
            hint=f"make it as an administrator and give it to this user, or restore elsewhere: ls -ld {above}",
        )


def explain_os_error(error: OSError, data_directory: Path) -> SeawallError:
    """Return what an error of the operating system at the target means to whoever restores there.

    Everything else that a restore touches has its own translation, so what arrives here is the target's.
    """
    place = error.filename if isinstance(error.filename, str) else str(data_directory)
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpaceShort(
            f"no space left at {place} while restoring into {data_directory}",
            hint=f"df -h {data_directory.parent}; make space, then run the same command again: it starts over",
        )
    return TargetUnwritable(
        f"{place} can't be written: {reason}",
        hint=f"check owner, modes and the disk (ls -ld {data_directory.parent}; dmesg), then run it again",
    )


def claim_directory(layout: Layout, *, moves_aside: bool, now: datetime) -> Path | None:
    """Make the directory ours and empty; return where its former content went, if anywhere.

    What an unfinished restore left is removed, in its tablespaces as well: no server ever ran on it, since it
    lacks ``pg_control``. Other content is moved aside as a whole, never deleted; a separate WAL folder behind
    a link isn't touched.
    """
    data_directory = layout.data_directory
    moved: Path | None = None
    claimed = _claimed_places(data_directory)
    if claimed is not None:
        for place in claimed:
            if place.is_dir():
                _empty(place)
        if data_directory.exists():
            _empty(data_directory)
    elif data_directory.exists() and any(data_directory.iterdir()) and moves_aside:
        moved = data_directory.with_name(f"{data_directory.name}.before-{now:%Y%m%dT%H%M%SZ}")
        os.rename(data_directory, moved)
    places = [str(place) for place in layout.tablespaces.values()]
    write_durably(work_directory(data_directory) / _MARK, json.dumps(places).encode())
    data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return moved


def give_up(layout: Layout, moved: Path | None) -> None:
    """Take back what :func:`claim_directory` and the copy did: the moment turned out to be unreachable."""
    for place in (layout.data_directory, *layout.tablespaces.values()):
        if place.is_dir():
            _empty(place)
    shutil.rmtree(layout.config_directory, ignore_errors=True)
    shutil.rmtree(work_directory(layout.data_directory) / SPOOL_NAME, ignore_errors=True)
    if moved is not None:
        layout.data_directory.rmdir()
        os.rename(moved, layout.data_directory)
    for name in (_MARK, SPEC_NAME):
        (work_directory(layout.data_directory) / name).unlink(missing_ok=True)


def finish_directory(data_directory: Path) -> None:
    """Say that the copy is whole: from here on the directory counts as somebody's data."""
    (work_directory(data_directory) / _MARK).unlink(missing_ok=True)


def _claimed_places(data_directory: Path) -> list[Path] | None:
    """Return the tablespace folders that an unfinished restore into the directory has written to; None if
    there is no unfinished restore.

    A claim alone proves nothing: a folder that was empty then may be a live server's by now. The copy links
    to a folder before it writes there, so what isn't linked is not its own.
    """
    mark = work_directory(data_directory) / _MARK
    if (data_directory / "global" / "pg_control").exists():
        return None
    try:
        places = [Path(place) for place in json.loads(mark.read_bytes())]
    except (FileNotFoundError, ValueError):
        return None
    links = data_directory / TABLESPACE_FOLDER
    linked = {os.readlink(link) for link in links.iterdir() if link.is_symlink()} if links.is_dir() else set()
    return [place for place in places if str(place) in linked]


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def lay_out(
    record: BackupRecord,
    data_directory: Path,
    mapping: Mapping[str, Path],
    tablespaces_in: Path | None,
) -> Layout:
    """Decide where every part goes. Changes nothing.

    Raises:
        TablespaceUnsafe: a tablespace would go where something is, as a live server's.
        TargetInvalid: the mapping names a tablespace that the backup doesn't have.
    """
    known = {str(item.oid) for item in record.tablespaces} | {item.location for item in record.tablespaces}
    for name in mapping:
        if name not in known:
            raise TargetInvalid(
                f"the backup has no tablespace {name!r}",
                hint="--tablespace takes OLD=NEW, OLD being one of: " + (", ".join(sorted(known)) or "none"),
            )
    claimed = _claimed_places(data_directory) or []
    places: dict[int, Path] = {}
    for item in record.tablespaces:
        place = _place(item, record, data_directory, mapping, tablespaces_in)
        if place.exists() and any(place.iterdir()) and place not in claimed:
            raise TablespaceUnsafe(
                f"tablespace {item.oid} belongs at {place}, where there is something: "
                "it may be a live server's, and writing there would destroy it",
                hint=f"--tablespace {item.oid}=/another/folder, or --tablespaces-in /a/folder for all of them",
            )
        places[item.oid] = place
    beside = data_directory.with_name(data_directory.name + ".config")
    return Layout(data_directory, beside, places)


def _place(
    item: TablespaceRecord,
    record: BackupRecord,
    data_directory: Path,
    mapping: Mapping[str, Path],
    tablespaces_in: Path | None,
) -> Path:
    for name in (str(item.oid), item.location):
        if name in mapping:
            return mapping[name].absolute()
    if tablespaces_in is not None:
        return tablespaces_in.absolute() / str(item.oid)
    inside = path_inside(record.data_directory, item.location) if record.data_directory else None
    # A tablespace inside its data directory stays inside the restored one: its old place is the source's.
    return data_directory / inside if inside is not None else Path(item.location)


def check_space(layout: Layout, raw_bytes: int, wal_bytes: int) -> None:
    """Check that the data and the WAL to replay fit. Raises SpaceShort before anything is written."""
    place = layout.data_directory
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    needed = int((raw_bytes + wal_bytes) * _HEADROOM)
    if free < needed:
        raise SpaceShort(
            f"{place} has {format_bytes(free)} free; the restore needs {format_bytes(needed)} "
            f"({format_bytes(raw_bytes)} of files, {format_bytes(wal_bytes)} of WAL)",
            hint="restore to a larger file system (--into), or to an earlier moment, which needs less WAL",
            free_bytes=free,
            needed_bytes=needed,
        )
