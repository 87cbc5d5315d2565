"""``wal push`` and ``wal get`` as PostgreSQL calls them: no click, and nothing imported that isn't used.

PostgreSQL starts this once per segment. Options are few and parsed by hand; ``seawall wal push --help``
goes the ordinary way (:mod:`seawall.cli.wal`), which documents the same options.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seawall.cli.tell import tell
from seawall.cli.usage import UsageInvalid
from seawall.model.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from seawall.backup.wal.push import PushResult
    from seawall.plan.compiled import CompiledPlan, WalRepository
    from seawall.repository.repository import Repository
    from seawall.repository.wal.archive import WalArchive
    from seawall.restore.planning.spec import RepositoryAddress, RestoreSpec

STANDBY = "--standby"
_PUSH_OPTIONS = ("--plan", "--cluster", "--data-directory")
_SWITCH_INTERVAL_S = 0.0002
"""How long imports may keep the compressing thread from the GIL, which it wants for microseconds."""
_GET_OPTIONS = ("--restore", "--absent-status", "--plan", "--cluster", "--data-directory")


def run(verb: str, arguments: list[str]) -> int:
    """Run ``wal push`` or ``wal get``; return the exit status that PostgreSQL understands."""
    return _push(arguments) if verb == "push" else _get(arguments)


def _parse(
    arguments: list[str], known: tuple[str, ...], operands: int, usage: str
) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--json":
            continue
        name, equals, value = word.partition("=")
        if name in known:
            options[name] = value if equals else next(words, "")
        elif word.startswith("-"):
            raise UsageInvalid(f"no such option: {word}", hint=usage)
        else:
            rest.append(word)
    if len(rest) != operands:
        raise UsageInvalid(f"{operands} argument(s) are needed, {len(rest)} given", hint=usage)
    return options, rest


def _push(arguments: list[str]) -> int:
    usage = "archive_command = 'seawall wal push --plan /etc/seawall/plan.yaml --cluster main %p'"
    options, (path,) = _parse(arguments, _PUSH_OPTIONS, 1, usage)
    from seawall.backup.wal.acknowledgements import Acknowledgements
    from seawall.backup.wal.push import PushTarget, WalPusher
    from seawall.plan.compiled import load_compiled

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    notes = Acknowledgements(options.get("--plan"), options.get("--cluster"))
    plan = load_compiled(options.get("--plan"))
    name = _cluster_name(plan, options.get("--cluster"))
    cluster = plan.clusters[name]
    pusher = WalPusher(
        cluster=name,
        data_directory=Path(options.get("--data-directory") or os.getcwd()),
        state_directory=Path(plan.state),
        targets=[PushTarget(item.name, item.ack, _opener(item)) for item in cluster.repositories],
        compression_level=cluster.compression,
    )
    _tell_of(os.path.basename(path), pusher.push(Path(path)))
    from seawall.backup.wal.ahead import push_ahead, waiting_behind

    waiting = waiting_behind(pusher.data_directory, Path(path))
    if not waiting:
        return 0
    from seawall.cli.memory import keep_freed_memory

    keep_freed_memory()
    ahead = push_ahead(pusher, waiting, notes)
    for file, result in ahead.files.items():
        _tell_of(file, result)
    if ahead.stopped_by is not None:
        tell(f"seawall: what is ready behind {os.path.basename(path)} waits for its turn: {ahead.stopped_by}")
    return 0


def _tell_of(file: str, result: PushResult) -> None:
    """Say what is not as it should be, though the file is safe."""
    from seawall.backup.wal.push import DIVERGED

    for repository, error in result.failed.items():
        tell(f"seawall: {file} is not in {repository} yet: {error.message}")
    for repository, outcome in result.stored.items():
        if outcome == DIVERGED:
            tell(f"seawall: {file} was put aside in {repository}: another server is the primary there now")


def _cluster_name(plan: CompiledPlan, name: str | None) -> str:
    known: list[str] = list(plan.clusters)
    if name is None and len(known) == 1:
        return known[0]
    if name is None or name not in plan.clusters:
        raise UsageInvalid(
            f"the plan has no cluster {name!r}" if name else "the plan has several clusters",
            hint="--cluster takes one of: " + ", ".join(known),
        )
    return name


def _opener(item: WalRepository | RepositoryAddress) -> Callable[[], Repository]:
    def open_it() -> Repository:
        from seawall.app import open_described_store, parse_key_reference, resolve_keys
        from seawall.repository.repository import Repository

        store = open_described_store(
            item.url, item.region, item.endpoint, item.credentials, item.coordination
        )
        keys = resolve_keys([parse_key_reference(key) for key in item.keys])
        return Repository.open(store, keys, clock=SystemClock())

    return open_it


def _get(arguments: list[str]) -> int:
    usage = "wal get --restore FILE %f %p (seawall restore writes it), or wal get --standby --plan FILE %f %p"
    for_standby = STANDBY in arguments
    words = [word for word in arguments if word != STANDBY]
    options, (name, destination) = _parse(words, _GET_OPTIONS, 2, usage)
    if for_standby:
        return _get_for_standby(options, name, Path(destination))
    if "--restore" not in options:
        raise UsageInvalid("wal get needs the file that a restore wrote, or --standby", hint=usage)
    from seawall.restore.planning.spec import RestoreSpec
    from seawall.restore.wal.get import ABSENT, get_planned

    absent_status = _absent_status(options)
    spec_path = Path(options["--restore"])
    try:
        spec = RestoreSpec.decode(spec_path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageInvalid(f"{spec_path} can't be used: {error}", hint="run the restore again") from error
    status = get_planned(spec, spec_path.parent, name, Path(destination), lambda: _fetcher(spec))
    return absent_status if status == ABSENT else status


def _absent_status(options: dict[str, str]) -> int:
    """Return how "not there" is to be said: the command of a restore wants a status that nothing else has."""
    from seawall.restore.wal.get import ABSENT

    text = options.get("--absent-status", str(ABSENT))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 126):
        raise UsageInvalid(f"--absent-status takes 1 to 125, not {text!r}", hint="run the restore again")
    return int(text)


def _get_for_standby(options: dict[str, str], name: str, destination: Path) -> int:
    """Serve a standby: any failure reads as "not there", and it asks again (see ``restore.wal_get``)."""
    from seawall.backup.wal.push import read_system_identifier
    from seawall.plan.compiled import load_compiled
    from seawall.repository.wal.archive import WalArchive
    from seawall.restore.wal.get import get_for_standby

    plan = load_compiled(options.get("--plan"))
    cluster = _cluster_name(plan, options.get("--cluster"))
    identifier = read_system_identifier(Path(options.get("--data-directory") or os.getcwd()))
    sources = [
        (item.name, _archive_opener(_opener(item), WalArchive, cluster, identifier))
        for item in plan.clusters[cluster].repositories
    ]
    return get_for_standby(name, destination, sources, complain=tell)


def _archive_opener(
    open_it: Callable[[], Repository], kind: type[WalArchive], cluster: str, identifier: int
) -> Callable[[], WalArchive]:
    return lambda: kind(open_it(), cluster, identifier)


def _fetcher(spec: RestoreSpec) -> Callable[[int, str], bytes]:
    """Return a fetch over all repositories of the restore."""
    from seawall.repository.wal.archive import WalArchive
    from seawall.restore.wal.get import first_that_gives

    def source(address: RepositoryAddress) -> Callable[[], WalArchive]:
        return lambda: WalArchive(
            _opener(address)(), spec.cluster, spec.system_identifier, segment_bytes=spec.wal_segment_bytes
        )

    return first_that_gives([source(address) for address in spec.repositories])
