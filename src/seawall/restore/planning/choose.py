"""Choose the backup and the path of WAL for a moment: a pure decision over what the catalog tells.

Nothing here reads a store. The caller gives the complete backups of one system identifier, the timeline
histories in the archive and the moment; the answer is a history to follow and the backups that lie on it, or
the error that says why there is none. Solving this before bytes are copied is what keeps "requested timeline is not a
child of this server's history" from appearing an hour into a recovery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from seawall.model.timeline import TimelineHistory
from seawall.restore.errors import NoBackup, TargetBeforeBackup, TimelineUnknown
from seawall.restore.planning.moment import CLOCK_DOUBT, AtLsn, AtTime, Moment


class Candidate(Protocol):
    """What the decision needs to know of a backup."""

    @property
    def id(self) -> str: ...
    @property
    def timeline(self) -> int: ...
    @property
    def start_lsn(self) -> int: ...
    @property
    def stop_lsn(self) -> int: ...
    @property
    def stopped_at(self) -> datetime: ...


BackupT = TypeVar("BackupT", bound=Candidate)


def choose_history(histories: Mapping[int, TimelineHistory], timeline: int | None) -> TimelineHistory:
    """Return the history to follow: of ``timeline``, or of the newest one that the archive knows.

    Raises:
        TimelineUnknown: ``timeline`` is not in the archive.
    """
    known = {1: TimelineHistory(1), **histories}
    wanted = max(known) if timeline is None else timeline
    if wanted not in known:
        names = ", ".join(str(number) for number in sorted(known))
        raise TimelineUnknown(
            f"the repository has no history of timeline {wanted}", hint=f"--timeline takes one of: {names}"
        )
    return known[wanted]


def rank_backups(backups: Sequence[BackupT], history: TimelineHistory, moment: Moment) -> list[BackupT]:
    """Return the backups from which ``moment`` may be reached along ``history``, newest first; never none.

    Raises:
        NoBackup: there is none at all, or none on this history.
        TargetBeforeBackup: every backup ended after the moment; names the earliest one that can be reached.
    """
    if not backups:
        raise NoBackup("there is no complete backup of this cluster", hint="seawall backup; seawall list")
    on_path = [item for item in backups if history.includes(item.timeline, item.stop_lsn)]
    if not on_path:
        raise NoBackup(
            f"no backup lies on the history of timeline {history.timeline}",
            hint="choose another --timeline; `seawall list` shows each backup's timeline",
        )
    usable = [item for item in on_path if _ends_before(item, moment, CLOCK_DOUBT)]
    if not usable:
        # Better one within the doubt than none: the WAL will tell whether it really ended before the moment.
        usable = [item for item in on_path if _ends_before(item, moment, timedelta(0))]
    if not usable:
        first = min(on_path, key=lambda item: item.stop_lsn)
        raise TargetBeforeBackup(
            f"every backup ended after {moment}; the earliest one, {first.id}, "
            f"ended at {first.stopped_at:%Y-%m-%d %H:%M:%S} UTC (LSN {first.stop_lsn})",
            hint="choose a later moment, or --immediate for the end of a backup named by --backup",
        )
    return sorted(usable, key=lambda item: item.stop_lsn, reverse=True)


def _ends_before(backup: Candidate, moment: Moment, doubt: timedelta) -> bool:
    match moment:
        case AtTime(time=time):
            return backup.stopped_at + doubt <= time
        case AtLsn(lsn=lsn):
            return backup.stop_lsn <= lsn
        case _:
            # Latest and immediate fit every backup. A transaction or a named point says nothing about
            # time: the caller looks for it in the WAL after each candidate, newest first.
            return True
