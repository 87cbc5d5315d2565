"""From the moment that was asked for to one that PostgreSQL can stop at, by what the WAL holds.

PostgreSQL gives up where its target never comes: a time after the last commit, a position behind the last
record, a transaction that ended before the backup did. All of that is known once the WAL was read, and is
either settled here without loss, or refused with the reason, before a server starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from seawall.model.errors import SeawallError
from seawall.model.lsn import Lsn
from seawall.model.wal_name import SegmentName
from seawall.restore.errors import TablespaceUnsafe, TargetBeforeBackup, TargetNotReady, TargetUnreachable
from seawall.restore.planning.moment import AtLsn, AtName, AtTime, AtXid, Latest, Moment
from seawall.restore.planning.plan import RestorePlan
from seawall.restore.planning.prove import ProvenPath, hole_error
from seawall.restore.wal.fill import WalSurvey

Survey = Callable[[RestorePlan, Lsn | None], WalSurvey]
"""Read the WAL of a plan, up to a position or to the end."""


def search(moment: Moment, plans: Iterable[RestorePlan], survey: Survey) -> RestorePlan:
    """Return the plan of the newest backup after which the moment lies; ``plans`` come newest first.

    A transaction or a named point says nothing about when it was, so the WAL behind each backup is read until
    it is found. For an older backup only what lies before the newer one is left to read.

    Raises:
        TargetUnreachable: it is nowhere in the archive; WalMissing: nor could it be, behind a hole.
    """
    newer: RestorePlan | None = None
    nearest: RestorePlan | None = None
    for plan in plans:
        nearest = nearest or plan
        found = survey(plan, newer.record.stop_lsn if newer else None)
        if found.reached:
            return plan
        newer = plan
    if nearest is None or newer is None:
        raise ValueError("a search needs at least one backup")
    raise _not_found(moment, nearest, newer)


def settle(
    survey: WalSurvey, plan: RestorePlan, has_record_from: Callable[[Lsn], bool], notes: list[str]
) -> Moment:
    """Return the moment as recovery is to be told it; what differs from what was asked is added to ``notes``.

    Raises:
        WalMissing: a hole in the archive lies before the moment.
        TargetBeforeBackup: the moment lies before the backup's end.
        TargetUnreachable: it is not in the archive.
    """
    moment = survey.moment
    if survey.is_too_early:
        raise TargetBeforeBackup(
            f"the WAL reaches {moment} at {survey.stops_at}, before backup {plan.record.id} is consistent "
            f"({survey.consistent_at})",
            hint="name an earlier backup with --backup: seawall list",
        )
    if isinstance(moment, AtLsn) and not has_record_from(moment.lsn):
        if plan.path.ends_partial and moment.lsn > survey.end_lsn:
            raise TargetUnreachable(
                f"what is archived of timeline {plan.path.history.timeline} ends at {survey.end_lsn}, in its "
                f"unfinished last segment, and {moment.lsn} lies behind it",
                hint=f"--to-lsn {survey.end_lsn} or --latest",
            )
        notes.append(
            f"no record begins at {moment.lsn} or behind it: everything up to {plan.path.end} was recovered"
        )
        return Latest()
    if survey.reached or not isinstance(moment, AtTime | AtName | AtXid):
        return moment
    if plan.path.hole is not None:
        raise hole_error(plan.path, moment, plan.source.repository.store.url)
    if not isinstance(moment, AtTime):
        raise _not_found(moment, plan, plan)
    notes.append(_nothing_later(moment, survey))
    return Latest()


def refine_end(path: ProvenPath, survey: WalSurvey, notes: list[str]) -> ProvenPath:
    """Return ``path`` with the end that was found in its unfinished last segment, where it has one."""
    if not path.ends_partial or not survey.is_complete:
        return path
    last = path.folders[-1]
    notes.append(
        f"timeline {last.timeline} ends at {survey.end_lsn}, in a segment that was archived unfinished "
        f"({SegmentName(last.timeline, last.first, path.segment_bytes)}.partial)"
    )
    return replace(path, end=survey.end_lsn)


def _not_found(moment: Moment, nearest: RestorePlan, oldest: RestorePlan) -> SeawallError:
    if nearest.path.hole is not None:
        return hole_error(nearest.path, moment, nearest.source.repository.store.url)
    return TargetUnreachable(
        f"{moment} is not in the WAL from backup {oldest.record.id} to the end of the archive "
        f"({nearest.path.end})",
        hint="check the name or number; or choose another moment: --to, --to-lsn, --latest",
    )


def _nothing_later(moment: AtTime, survey: WalSurvey) -> str:
    """Say that a time after the last archived commit is served by everything that the archive holds.

    PostgreSQL would give up with "recovery ended before configured recovery target was reached", although
    nothing that committed by then is missing from what it replayed.
    """
    last = f"{survey.last_commit_at:%Y-%m-%d %H:%M:%S} UTC" if survey.last_commit_at else "before the backup"
    return (
        f"no transaction after {moment} is in the archive (the last one: {last}); everything up to the "
        f"archive's end, {survey.end_lsn}, was recovered instead"
    )


def tablespace_folders(survey: WalSurvey, *, may_make: bool = True) -> list[Path]:
    """Return the empty folders that must be made for a CREATE TABLESPACE in the WAL to be replayed.

    Raises:
        TablespaceUnsafe: such a folder holds something: it may be a live server's; or none may be made.
        TargetNotReady: such a folder can't exist here, as where a file is in its way.
    """
    wanted: list[Path] = []
    for lsn, oid, location in survey.tablespaces:
        place = Path(location)
        if not place.is_absolute() or not survey.will_replay(lsn):
            continue  # an in-place tablespace lies inside the copy; what is not replayed harms nobody
        if place.exists() and not place.is_dir():
            raise TargetNotReady(
                f"the WAL at {lsn} creates tablespace {oid} at {location}, which is a file here",
                hint="move it away",
            )
        if not may_make:
            raise TablespaceUnsafe(
                f"the WAL at {lsn} creates tablespace {oid} at {location}, outside of what is restored",
                hint=f"take a backup that has it (seawall backup), or choose a moment before {lsn}",
            )
        if place.exists() and any(place.iterdir()):
            raise TablespaceUnsafe(
                f"the WAL at {lsn} creates tablespace {oid} at {location}, where there is something: replaying "
                "it would link this copy to that folder, and a later DROP in the copy would empty it",
                hint=f"restore to a moment before {lsn} (--to-lsn), from a newer backup, or on another machine",
            )
        wanted.append(place)
    return wanted
