"""Verify archived WAL: every object bit for bit, no hole in a timeline, and the WAL that each backup needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from itertools import pairwise

from seawall.model.errors import IntegrityError
from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory
from seawall.model.wal_name import SegmentName, classify, timeline_of
from seawall.repository.backups.record import BackupRecord
from seawall.repository.errors import FrameDamaged
from seawall.repository.layout import diverged_prefix, lineage_folder, wal_prefix
from seawall.repository.repository import Repository
from seawall.repository.verify.backups import run_bounded
from seawall.repository.verify.report import Ledger, Problem
from seawall.repository.wal.archive import WalArchive, WalFolder
from seawall.repository.wal.errors import WalNotFound
from seawall.repository.wal.lineage import SegmentRange
from seawall.repository.wal.objects import open_wal
from seawall.storage.errors import ObjectMissing
from seawall.storage.protocol import ObjectInfo


class WalVerifier:
    """Verifies the WAL of one system identifier. ``backups`` are those that need some of it."""

    def __init__(
        self,
        repository: Repository,
        cluster: str,
        system_identifier: int,
        ledger: Ledger,
        backups: list[BackupRecord],
    ) -> None:
        size = backups[0].wal_segment_bytes if backups else None
        self._archive = WalArchive(repository, cluster, system_identifier, segment_bytes=size)
        self._repository = repository
        self._ledger = ledger
        self._backups = backups
        self._prefix = wal_prefix(cluster, system_identifier)
        self._diverged = diverged_prefix(cluster, system_identifier)

    def run(self, executor: Executor, *, threads: int) -> None:
        """Verify all objects, then that nothing is missing between them."""
        run_bounded(executor, self._tasks(self._prefix, self._archive.folders()), threads=threads)
        run_bounded(executor, self._tasks(self._diverged, self._archive.diverged_folders()), threads=threads)
        self._check_gaps()
        self._check_histories()
        self.check_backups()

    def run_for_backups(self, executor: Executor, *, threads: int) -> None:
        """Verify only what the backups need to become consistent."""
        needed = set().union(*[_needed_names(backup) for backup in self._backups])
        run_bounded(executor, self._tasks(self._prefix, self._archive.folders(), needed), threads=threads)
        self.check_backups()

    def check_backups(self) -> None:
        """Say of each backup whose WAL from start to stop is not all there that it can't be restored."""
        for backup in self._backups:
            history = TimelineHistory.parse(backup.timeline, backup.timeline_history)
            for hole in self._archive.gaps(backup.start_lsn, backup.stop_lsn, history):
                self._missing(hole, [f"backup {backup.id} can't be restored"])
                self._ledger.lose(backup.id, f"WAL {hole} between its start and stop is missing")

    def _tasks(
        self, root: str, folders: list[WalFolder], needed: set[str] | None = None
    ) -> Iterator[Callable[[], None]]:
        for folder in folders:
            prefix = f"{root}{lineage_folder(folder.epoch, folder.timeline)}/"
            for info in self._repository.store.scan(prefix):
                name = info.key.removeprefix(prefix)
                if needed is not None and name not in needed:
                    continue
                if classify(name) is None or timeline_of(name) != folder.timeline:
                    self._ledger.find(info.key, Problem.STRAY, "PostgreSQL never archives such a name there")
                elif not self._ledger.sample.takes(info.key):
                    self._ledger.skip()
                else:
                    self._ledger.expect(info.size_bytes)
                    yield self._check_task(info, name)

    def _check_task(self, info: ObjectInfo, name: str) -> Callable[[], None]:
        return lambda: self._check(info, name)

    def _check(self, info: ObjectInfo, name: str) -> None:
        try:
            meta, _ = open_wal(self._repository.context, info.key, self._repository.store.get(info.key))
            said = (meta.name, meta.system_identifier, meta.timeline)
            if said != (name, self._archive.system_identifier, timeline_of(name)):
                raise FrameDamaged(f"it says that it is {meta.name} of system {meta.system_identifier}")
        except IntegrityError as error:
            users = self._users(name) if info.key.startswith(self._prefix) else []
            affects = [f"WAL {name}", *(f"backup {user} can't be restored" for user in users)]
            self._ledger.find(info.key, Problem.DAMAGED, error.message, affects)
            for user in users:
                self._ledger.lose(user, f"WAL {name} between its start and stop is damaged")
        except ObjectMissing:
            pass  # expired while we looked
        self._ledger.count(objects=1, size_bytes=info.size_bytes)

    def _users(self, name: str) -> list[str]:
        return [backup.id for backup in self._backups if name in _needed_names(backup)]

    def _check_gaps(self) -> None:
        """Look for holes within each timeline, and where it continues its parent."""
        timelines = sorted({folder.timeline for folder in self._archive.folders()})
        try:
            present = {timeline: self._archive.segments(timeline) for timeline in timelines}
            histories = self._archive.histories()
        except WalNotFound:
            return  # nothing but histories and partials: no gaps to have
        except IntegrityError:
            return  # the object at fault is a finding already, and without it ranges can't be told
        for timeline, ranges in present.items():
            for before, after in pairwise(ranges):
                hole = SegmentRange(timeline, before.last + 1, after.first - 1, before.segment_bytes)
                self._missing(hole, [f"any recovery on timeline {timeline} past {hole}"])
            history = histories.get(timeline)
            if ranges and history is not None and history.switches:
                self._check_junction(history, present.get(history.switches[-1].timeline, []), ranges[0])

    def _check_junction(
        self, history: TimelineHistory, parent: list[SegmentRange], first: SegmentRange
    ) -> None:
        """Look for holes between the last segment of the parent and the first one of a timeline."""
        switch, size = history.switches[-1].at, first.segment_bytes
        ends = [(item.last + 1) * size for item in parent if item.first * size < switch]
        if not ends:
            return  # the archive began later
        reached = Lsn(min(max(ends), switch))
        for hole in self._archive.gaps(reached, Lsn(first.first * size), history):
            self._missing(hole, [f"any recovery to timeline {history.timeline} from before {switch}"])

    def _missing(self, hole: SegmentRange, affects: list[str]) -> None:
        key = f"{self._prefix}*-{hole.timeline:08X}/{hole}"
        self._ledger.find(key, Problem.MISSING, f"{hole.count} WAL segments are not archived", affects)

    def _check_histories(self) -> None:
        told = {backup.timeline for backup in self._backups if backup.timeline_history}
        for timeline in sorted({folder.timeline for folder in self._archive.folders()} - told - {1}):
            name = f"{timeline:08X}.history"
            if self._archive.find(name) is None:
                self._ledger.find(
                    f"{self._prefix}*-{timeline:08X}/{name}",
                    Problem.MISSING,
                    "without it no recovery can follow this timeline",
                    [f"timeline {timeline}"],
                )


def _needed_names(backup: BackupRecord) -> set[str]:
    """Return the segments between a backup's start and stop, and its timeline's history."""
    size = backup.wal_segment_bytes
    last = SegmentName.ending_at(backup.timeline, backup.stop_lsn, size).number
    numbers = range(backup.start_lsn // size, last + 1)
    names = {str(SegmentName(backup.timeline, number, size)) for number in numbers}
    return names | {f"{backup.timeline:08X}.history"}
