"""The first lines of an audit: what would be gone and how long it would take, if this server were lost now.

Pure, and never better than what was seen. A copy counts only where somebody saw it: a standby that streams from
another machine, a backup in a repository that answered. An archive whose backups nobody showed is not a recovery.
"""

from __future__ import annotations

from math import inf

from seawall.audit.archive_command import Flaw, find_flaws, programs_of
from seawall.audit.facts import ClusterFacts, RepositoryState
from seawall.audit.report import Headline
from seawall.model.fact import Unknown
from seawall.model.units import format_bytes, format_duration
from seawall.model.wal_name import SegmentName
from seawall.postgres.health.facts import Receiver, ServerHealth, WalState
from seawall.postgres.server.owner import OwnerKind

_LOCAL_ADDRESSES = ("127.0.0.1", "::1")
_LOSING = {Flaw.DISCARDS, Flaw.LIES, Flaw.LACKS_FILE, Flaw.MOVES_AWAY}


def headline_of(facts: ClusterFacts) -> Headline:
    """Say what the loss of the cluster's server would cost now."""
    return Headline(facts.name, _lost(facts), _back(facts))


def _lost(facts: ClusterFacts) -> str:
    server = facts.primary
    if isinstance(server, Unknown):
        return f"unknown: {server.reason}"
    if server.identity.is_in_recovery:
        return "nothing that its primary doesn't have: this server is a standby"
    ways = [text for text in (_by_standby(server), _by_repository(facts, server)) if text]
    if ways:
        return "; or ".join(ways)
    if server.owner.kind in (OwnerKind.RDS, OwnerKind.MANAGED_CLOUD):
        return f"unknown: {server.owner.name} keeps the backups, and a connection doesn't show them"
    return f"{_everything(server)}: {_why_everything(facts, server)}"


def _by_standby(server: ServerHealth) -> str:
    """Return what is lost if the best standby takes over, "" if there is none on another machine."""
    if isinstance(server.receivers, Unknown):
        return ""
    far = [item for item in server.receivers if item.is_standby and is_elsewhere(item, server)]
    if not far:
        return ""
    best = min(far, key=lambda item: item.flush_lag_bytes or 0)
    lag = best.flush_lag_bytes or 0
    if best.sync_state in ("sync", "quorum") and lag == 0:
        return f"nothing acknowledged, if the synchronous standby {best.application} takes over"
    amount = f"the last {format_bytes(lag)} of WAL" if lag else "what was committed within the last instant"
    return f"{amount}, if the standby {best.application} takes over"


def is_elsewhere(receiver: Receiver, server: ServerHealth) -> bool:
    """Say whether a receiver connects from another machine, as far as its address shows."""
    return receiver.address is not None and receiver.address not in (
        *_LOCAL_ADDRESSES,
        server.identity.address,
    )


def _by_repository(facts: ClusterFacts, server: ServerHealth) -> str:
    """Return what is lost if the best repository that survives is restored, "" if there is none."""
    if isinstance(server.wal, Unknown):
        return ""
    ways: list[tuple[bool, float, str]] = []
    for name, state in facts.repositories.items():
        if isinstance(state, Unknown) or not state.backups or not _survives(facts, name):
            continue
        is_readable = has_key_elsewhere(facts, name)
        unarchived = unarchived_bytes(state, server.wal)
        if unarchived is None:
            newest = max(backup.stopped_at for backup in state.backups)
            text = f"what came after {newest:%Y-%m-%d %H:%M} UTC, the end of the newest backup in {name}"
        else:
            text = f"the last {format_bytes(unarchived)} of WAL, which are not in {name} yet"
        doubt = "" if is_readable else f"everything, unless a key of {name} survives elsewhere: then "
        ways.append((not is_readable, inf if unarchived is None else unarchived, doubt + text))
    return min(ways)[2] if ways else ""


def _survives(facts: ClusterFacts, repository: str) -> bool:
    """Whether the repository is on another machine than the server, by what the plan says."""
    return not isinstance(facts.plan, Unknown) and facts.plan.is_off_host(facts.name, repository)


def has_key_elsewhere(facts: ClusterFacts, repository: str) -> bool:
    """Say whether a repository can be read when the server's machine is gone, by what the plan says of its keys."""
    if isinstance(facts.plan, Unknown):
        return False
    return facts.plan.repositories[repository].has_key_elsewhere


def unarchived_bytes(state: RepositoryState, wal: WalState) -> int | None:
    """Return how much WAL of the server is not in the repository; None where no WAL of its timeline is there or
    segments are missing before it."""
    archived = state.archived
    if not isinstance(archived, SegmentName) or isinstance(state.gaps, Unknown) or state.gaps:
        return None
    return max(0, wal.position - archived.end)


def _everything(server: ServerHealth) -> str:
    if isinstance(server.databases, Unknown):
        return "everything in it"
    sizes = [item.size_bytes for item in server.databases if not item.is_template]
    count = f"{len(sizes)} database" + ("s" if len(sizes) != 1 else "")
    total = sum(size or 0 for size in sizes)
    at_least = "at least " if None in sizes else ""
    return f"everything, {at_least}{format_bytes(total)} in {count}"


def _why_everything(facts: ClusterFacts, server: ServerHealth) -> str:
    if isinstance(server.receivers, Unknown):
        standby = "whether a standby follows can't be seen"
    elif any(item.is_standby for item in server.receivers):
        standby = "its standbys run on its own machine"
    else:
        standby = "no standby follows it"
    return f"{standby}, {_archive(server)}, and {_backups(facts)}"


def _backups(facts: ClusterFacts) -> str:
    unseen = [name for name, state in facts.repositories.items() if isinstance(state, Unknown)]
    on_host = [
        name
        for name, state in facts.repositories.items()
        if not isinstance(state, Unknown) and state.backups and not _survives(facts, name)
    ]
    if on_host:
        return f"the backups in {on_host[0]} are on its own machine"
    if unseen:
        return f"repository {unseen[0]} can't be looked at"
    return "Seawall knows of no backup"


def _archive(server: ServerHealth) -> str:
    values = server.settings.values
    if values.get("archive_mode", "off") == "off":
        return "no WAL is archived"
    if values.get("archive_library"):
        return f"WAL goes to {values['archive_library']}, which alone restores nothing"
    command = values.get("archive_command", "")
    if not command:
        return "its archive has no target"
    if _LOSING & set(find_flaws(command)):
        return "its archive_command hides failures, so its archive proves nothing"
    program = next(iter(programs_of(command)), "a script")
    return f"its WAL goes to {program}, whose backups can't be seen from here"


def _back(facts: ClusterFacts) -> str:
    drill = facts.restore_drill
    if isinstance(drill, Unknown) or drill is None:
        return "unknown: no recovery of it was ever measured"
    age = format_duration((facts.now - drill.ended_at).total_seconds())
    if not drill.is_ok or drill.rto_s is None:
        return f"unknown: the last drill, {age} ago, failed"
    return f"{format_duration(drill.rto_s)}, as measured in a drill {age} ago"
