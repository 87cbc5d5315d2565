"""Seawall's own repositories: the restore engine fills the folder, and gives the isolated server its WAL."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from seawall.drill.errors import DrillFailed
from seawall.drill.moments import MomentWish, Wish
from seawall.drill.room import Room
from seawall.drill.server import DrillServer
from seawall.drill.sources.source import Filled, Prospect
from seawall.drill.wal_feed import Fetch
from seawall.evidence.model import Source
from seawall.model.clock import Clock
from seawall.repository.backups.catalog import Catalog
from seawall.repository.wal.archive import WalArchive
from seawall.restore.beside import SPEC_NAME, work_directory
from seawall.restore.planning.moment import CLOCK_DOUBT, AtTime, Latest, Moment
from seawall.restore.planning.plan import RestorePlan, plan_restore
from seawall.restore.planning.request import OpenedRepository, RestoreRequest
from seawall.restore.planning.spec import RestoreSpec
from seawall.restore.run import restore
from seawall.restore.wal.get import FOUND, first_that_gives, get_planned
from seawall.restore.wal.window import WalWindow, spool_need_bytes

_GROWTH = 64 << 20
"""What replay and the checks themselves write beside the data."""


@dataclass(slots=True)
class SeawallSource:
    """A cluster of a plan. ``open_repositories`` may raise: a key that is wrong is what a drill is to find."""

    cluster: str
    open_repositories: Callable[[], Sequence[OpenedRepository]]
    seawall_command: str
    clock: Clock
    users: tuple[str, ...] = ()
    pg_bin: Path | None = None
    _opened: Sequence[OpenedRepository] = ()
    _plan: RestorePlan | None = None
    _moment: Moment = field(default_factory=Latest)

    @property
    def is_physical(self) -> bool:
        return True

    def look(self, wish: MomentWish) -> Prospect:
        """Choose repository, backup and WAL for the moment, and prove them. Raises what planning a restore raises."""
        self._opened = self.open_repositories()
        at = wish.at
        if wish.wish is Wish.RANDOM:
            first = min(record_stop for opened in self._opened for record_stop in self._stops(opened))
            at = wish.within(first + CLOCK_DOUBT, self.clock.now())
        self._moment = AtTime(at) if at is not None else Latest()
        plan = self._plan = plan_restore(self._request(Path("/nowhere"), 1), self._opened, self.clock)
        record = plan.record
        window = WalWindow.within(2 << 30, plan.path.segment_bytes)
        wal_bytes = spool_need_bytes(plan.path, self._moment, record.stop_lsn, window)
        return Prospect(
            source=Source(
                tool="seawall",
                location=plan.source.repository.store.url,
                cluster=self.cluster,
                backup=record.id,
                backup_at=record.stopped_at,
                system_identifier=str(record.system_identifier),
                raw_bytes=record.raw_bytes,
            ),
            major=record.pg_version_num // 10000,
            need_bytes=record.raw_bytes + 2 * wal_bytes + _GROWTH,
            asked=wish.words(at),
            scenario=f"restore of cluster {self.cluster} to {_scenario(wish)}, beside the living",
            at=at,
        )

    def fill(self, prospect: Prospect, room: Room) -> Filled:
        """Let the restore engine fill the folder, as root's or this user's; the server's user gets it afterwards."""
        report = restore(
            self._request(room.data, room.jobs, room.scratch.tablespaces),
            self._opened,
            self.clock,
            room.on_phase,
        )
        for note in report.notes:
            if "no service manager owns" not in note:
                room.deviations.append(note)
        return Filled(report.raw_bytes, fetch=self._fetcher(room), users=(*self.users, "postgres"))

    def load(self, prospect: Prospect, room: Room, server: DrillServer) -> int:
        """Nothing: replay brought everything."""
        return 0

    def ended_early(self, server: DrillServer) -> str:
        """Nothing can be missing: below the proven end, absence is an error of the feed."""
        return ""

    def _request(self, directory: Path, jobs: int, tablespaces: Path | None = None) -> RestoreRequest:
        return RestoreRequest(
            cluster=self.cluster,
            moment=self._moment,
            data_directory=directory,
            seawall_command=self.seawall_command,
            tablespaces_in=tablespaces,
            pg_bin=self.pg_bin,
            jobs=jobs,
            owner=(0, 0) if os.geteuid() == 0 else None,
            makes_tablespace_folders=False,
        )

    def _stops(self, opened: OpenedRepository) -> list[datetime]:
        catalog = Catalog(opened.repository, self.cluster)
        stops = [
            record.stopped_at
            for system in catalog.system_identifiers()[-1:]
            for record in catalog.listing(system).backups
        ]
        if not stops:
            raise DrillFailed(
                f"{opened.repository.store.url} has no backup of cluster {self.cluster}",
                hint="seawall backup",
            )
        return stops

    def _fetcher(self, room: Room) -> Fetch:
        assert self._plan is not None  # look() comes first
        record, chosen = self._plan.record, self._plan.source
        work = work_directory(room.data)
        spec = RestoreSpec.decode((work / SPEC_NAME).read_bytes())
        ordered = [chosen, *[item for item in self._opened if item.name != chosen.name]]
        archives = [
            partial(
                WalArchive,
                item.repository,
                record.cluster,
                record.system_identifier,
                segment_bytes=record.wal_segment_bytes,
            )
            for item in ordered
        ]
        fetch = first_that_gives(archives)
        return lambda name, place: get_planned(spec, work, name, place, lambda: fetch) == FOUND


def _scenario(wish: MomentWish) -> str:
    return {Wish.LATEST: "its latest moment", Wish.RANDOM: "a random moment", Wish.TIME: "a named moment"}[
        wish.wish
    ]
