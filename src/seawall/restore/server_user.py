"""Can the restored server's user do its part? Tried as that user, before a byte is copied.

Root restores for somebody else, whose server then calls ``restore_command``: it has to be able to start this
Seawall, read the keys and, on a disk, the repository. Modes, ACLs, security modules and mount options all have a
say in that, so it is done for a trial instead of being worked out. Otherwise recovery would end with status 126
after everything was copied.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seawall.model.errors import SeawallError
from seawall.plan.secrets import SecretReference, resolve
from seawall.postgres.server.user import RunAs
from seawall.postgres.wal_program import wal_words
from seawall.repository.layout import HEADER_KEY
from seawall.restore.errors import TargetNotReady
from seawall.restore.other_user import NoAnswer, answer_with, call_as, last_line, user_name
from seawall.restore.planning.request import OpenedRepository
from seawall.restore.planning.spec import RepositoryAddress
from seawall.storage.errors import ObjectMissing
from seawall.storage.urls import open_store

_TRIAL_TIMEOUT_S = 60.0
_PASSPHRASE = "passphrase:"
_FILE_STORE = "file://"
_FIRST_CLOSED = (
    'for place do [ -x "$place" ] && { [ -d "$place" ] || [ -r "$place" ]; } '
    '|| { echo "$place"; exit; }; done'
)
"""A shell's search for the first folder that can't be entered, or program that can't be read and executed."""


def check_server_user(
    user: RunAs, seawall_command: str, sources: Sequence[OpenedRepository], environment: Mapping[str, str]
) -> list[str]:
    """Check what ``restore_command`` will need; return notes on repositories that only help out.

    ``environment`` is what the server will hand to its ``restore_command``. The first source must be usable.

    Raises:
        TargetNotReady: names the path or secret that is closed to that user. Nothing was changed.
    """
    name = user_name(user.uid)
    _check_command(user, name, seawall_command, environment)
    try:
        problems = call_as(
            user,
            __name__,
            [asdict(source.address) for source in sources],
            environment,
            timeout_s=_TRIAL_TIMEOUT_S,
        )
    except NoAnswer as error:
        raise _not_runnable(name, seawall_command, str(error)) from error
    notes = []
    for source, problem in zip(sources, problems, strict=True):
        if problem is None:
            continue
        if source is sources[0]:
            raise TargetNotReady(
                f"{name}, as whom the restored server will run, can't read repository {source.name}: {problem[0]}",
                hint=f"{problem[1]}; its restore_command runs as {name}, not as root",
                user=name,
                repository=source.name,
            )
        notes.append(
            f"{name}, the server's user, can't read repository {source.name}, if it is needed: {problem[0]}"
        )
    return notes


def _check_command(user: RunAs, name: str, seawall_command: str, environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            user.command(["/bin/sh", "-c", f"{seawall_command} --version"]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env=dict(environment),
            timeout=_TRIAL_TIMEOUT_S,
            check=False,
            **user.popen_kwargs(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_runnable(name, seawall_command, str(error)) from error
    if done.returncode != 0:
        closed = _first_closed(user, shlex.split(seawall_command)[0])
        raise _not_runnable(
            name, seawall_command, closed or last_line(done.stderr) or f"status {done.returncode}"
        )
    # What PostgreSQL calls may be a program of its own beside the one just tried.
    closed = _first_closed(user, wal_words(seawall_command)[0])
    if closed:
        raise _not_runnable(name, seawall_command, closed)


def _not_runnable(name: str, seawall_command: str, why: str) -> TargetNotReady:
    return TargetNotReady(
        f"{name}, as whom the restored server will run, can't run this Seawall, and so can't fetch WAL: {why}",
        hint=f"install Seawall where {name} can run it (a virtual environment below /opt, say) and restore with "
        f"that one; to try: runuser -u {name} -- {seawall_command} --version",
        user=name,
        command=seawall_command,
    )


def _first_closed(user: RunAs, program: str) -> str | None:
    """Say what is the first thing on the way to ``program`` that ``user`` can't get through, tried as that user."""
    places = list(dict.fromkeys(_way_to(Path(program))))
    try:
        done = subprocess.run(
            user.command(["/bin/sh", "-c", _FIRST_CLOSED, "sh", *places]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            timeout=_TRIAL_TIMEOUT_S,
            check=False,
            **user.popen_kwargs(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    closed = os.fsdecode(done.stdout).removesuffix("\n")
    return _described(closed) if closed else None


def _way_to(program: Path, depth: int = 16) -> Iterator[str]:
    """Yield every folder and file that the kernel goes through to execute ``program``: links, interpreters."""
    if depth == 0:
        return
    for place in (*reversed(program.absolute().parents), program.absolute()):
        if place.is_symlink():
            yield from _way_to(place.parent / os.readlink(place), depth - 1)
        else:
            yield str(place)
    if program.is_file():
        with open(program, "rb") as file:
            first = file.readline(512)
        if first.startswith(b"#!") and (words := first[2:].split()):
            yield from _way_to(Path(os.fsdecode(words[0])), depth - 1)


def _described(place: str) -> str:
    try:
        status = os.stat(place)
    except OSError as error:
        return f"{place}: {error.strerror}"
    owner = f"{user_name(status.st_uid)}'s, {stat.filemode(status.st_mode)}"
    act = "entered" if stat.S_ISDIR(status.st_mode) else "read and executed"
    return f"{place} can't be {act} by it ({owner})"


def _try_sources(addresses: list[dict[str, Any]]) -> list[tuple[str, str] | None]:
    """As the server's user: return for each repository what is wrong, and the remedy; None where nothing is."""
    return [_try(RepositoryAddress(**{**item, "keys": tuple(item["keys"])})) for item in addresses]


def _try(address: RepositoryAddress) -> tuple[str, str] | None:
    references = [*address.keys, *(address.credentials or {}).values()]
    try:
        for text in references:
            resolve(SecretReference.parse(text.removeprefix(_PASSPHRASE)))
        if address.url.startswith(_FILE_STORE):
            open_store(address.url).get(HEADER_KEY)
    except ObjectMissing as error:
        # To somebody who may not look into the folder, what is there looks missing.
        return error.message, f"let that user read all of it: ls -ld {address.url.removeprefix(_FILE_STORE)}"
    except SeawallError as error:
        return error.message, error.hint
    return None


if __name__ == "__main__":
    answer_with(_try_sources)
