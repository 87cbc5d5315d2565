"""pgBackRest: ``info`` says what there is, ``restore`` and ``archive-get`` bring it; the repository is only read.

Locks and logs go into the scratch folder or nowhere, so that a drill stands in nobody's way (command reference of
pgBackRest, "restore", "info").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from seawall.drill.errors import DrillFailed, DrillSourceMissing, RestoreToolUnusable
from seawall.drill.room import Room
from seawall.drill.sources.archived import ForeignBackup, ForeignCatalog, parse_answer, utc
from seawall.drill.tools import Argv, ToolRun, run_tool

_PROGRAM = "pgbackrest"
_ABSENT = 1
"""``archive-get`` ends with it where the archive has no such file."""
_NOT_THERE = (1, 2)
"""Codes of ``info``: missing stanza path, no valid backups."""
_TIMEOUT_S = 600.0


@dataclass(slots=True)
class PgBackRest:
    """A stanza, by the configuration that pgBackRest finds itself or one that is named."""

    stanza: str
    config: Path | None = None
    repository: str | None = None
    timeout_s: float = _TIMEOUT_S
    _data: Path = Path("/")
    _log: list[str] = field(default_factory=lambda: ["--log-level-file=off", "--log-level-console=off"])

    @property
    def name(self) -> str:
        return "pgbackrest"

    @property
    def location(self) -> str:
        return f"stanza {self.stanza}" + (f" of {self.config}" if self.config is not None else "")

    def catalog(self) -> ForeignCatalog:
        run = run_tool(self._command("info", "--output=json"), cwd=Path("/"), timeout_s=self.timeout_s)
        if run.status != 0:
            raise RestoreToolUnusable(run.reason(), hint=f"to try: pgbackrest --stanza={self.stanza} info")
        stanzas: list[dict[str, Any]] = parse_answer(run.output, self.name)
        found = next((item for item in stanzas if item["name"] == self.stanza), None)
        if found is None or found["status"]["code"] in _NOT_THERE:
            raise DrillSourceMissing(
                f"pgBackRest knows no backup of stanza {self.stanza!r}",
                hint="`pgbackrest info` lists them; name a configuration with pgbackrest:STANZA?config=FILE",
            )
        if found["status"]["code"] != 0:
            raise DrillFailed(
                f"pgBackRest can't read stanza {self.stanza!r}: {found['status']['message']}",
                hint=f"to try: pgbackrest --stanza={self.stanza} info",
            )
        return _read_catalog(found)

    def restore(self, backup: ForeignBackup, at: datetime | None, room: Room) -> ToolRun:
        room.data.mkdir(mode=0o700)
        self._data = room.data
        target = (
            ["--type=time", f"--target={at:%Y-%m-%d %H:%M:%S.%f}+00", "--target-action=promote"] if at else []
        )
        argv = self._command(
            "restore",
            f"--pg1-path={room.data}",
            f"--set={backup.id}",
            *target,
            "--archive-mode=off",
            f"--tablespace-map-all={room.scratch.tablespaces}",
            f"--lock-path={room.scratch.folder}/lock",
            f"--process-max={room.jobs}",
            "--log-level-stderr=warn",
        )
        return run_tool(argv, cwd=room.scratch.folder, timeout_s=room.deadline_s)

    def fetch(self, name: str, place: Path) -> bool:
        """See the protocol. ``archive-get`` wants a data directory, for the system identifier in its pg_control."""
        argv = self._command(
            "archive-get", f"--pg1-path={self._data}", f"--lock-path={place.parent}", name, str(place)
        )
        run = run_tool([*argv, "--log-level-stderr=error"], cwd=place.parent, timeout_s=self.timeout_s)
        if run.status not in (0, _ABSENT):
            raise DrillFailed(
                f"{name} can't be fetched: {run.reason()}",
                hint=f"to try: pgbackrest --stanza={self.stanza} check",
            )
        return run.status == 0

    def _command(self, command: str, *options: str) -> Argv:
        argv: Argv = [_PROGRAM, f"--stanza={self.stanza}", *self._log]
        argv += [f"--config={self.config}"] if self.config is not None else []
        argv += [f"--repo={self.repository}"] if self.repository is not None else []
        return [*argv, command, *options]


def _read_catalog(stanza: dict[str, Any]) -> ForeignCatalog:
    """Take the newest system's backups: after pg_upgrade a stanza has two."""
    systems = {item["id"]: item for item in stanza["db"]}
    newest = stanza["backup"][-1]["database"]["id"] if stanza["backup"] else None
    backups = [
        ForeignBackup(
            id=item["label"],
            stopped_at=utc(item["timestamp"]["stop"]),
            raw_bytes=item["info"]["size"],
            major=int(systems[newest]["version"].partition(".")[0]),
            system_identifier=str(systems[newest]["system-id"]),
            remark="pgBackRest found damaged pages when it made this backup" if item.get("error") else "",
        )
        for item in stanza["backup"]
        if item["database"]["id"] == newest
    ]
    last = [item["max"] for item in stanza["archive"] if item["database"]["id"] == newest and item["max"]]
    return ForeignCatalog(tuple(sorted(backups, key=lambda item: item.stopped_at)), max(last, default=None))
