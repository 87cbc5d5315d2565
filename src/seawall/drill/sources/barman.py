"""Barman: ``show-backup`` says what there is, ``recover`` and ``get-wal`` bring it; its catalog is only read.

Root's ``barman`` becomes the user of its configuration (``barman_user``), who therefore owns the scratch folder for as
long as it restores.
"""

from __future__ import annotations

import configparser
import os
import pwd
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from seawall.drill.errors import DrillFailed, DrillSourceMissing, RestoreToolUnusable
from seawall.drill.room import Room
from seawall.drill.sources.archived import ForeignBackup, ForeignCatalog, parse_answer, utc
from seawall.drill.tools import Argv, ToolRun, run_tool

_PROGRAM = "barman"
_ABSENT = 1
_TIMEOUT_S = 600.0
_CONFIGURATIONS = ("~/.barman.conf", "/etc/barman.conf", "/etc/barman/barman.conf")
"""Where Barman looks itself (barman(5), "CONFIGURATION FILE LOCATIONS")."""
_USABLE = ("DONE", "WAITING_FOR_WALS")


@dataclass(slots=True)
class Barman:
    """A server of Barman, by the configuration that Barman finds itself or one that is named."""

    server: str
    config: Path | None = None
    timeout_s: float = _TIMEOUT_S

    @property
    def name(self) -> str:
        return "barman"

    @property
    def location(self) -> str:
        return f"server {self.server}" + (f" of {self.config}" if self.config is not None else "")

    def catalog(self) -> ForeignCatalog:
        listed = self._ask("list-backup", self.server)[self.server]
        usable = sorted(
            (item for item in listed if item.get("status") in _USABLE),
            key=lambda item: float(item["end_time_timestamp"]),
        )
        backups, last = [], None
        for item in usable:
            shown = self._ask("show-backup", self.server, item["backup_id"])[self.server]
            last = max(filter(None, (last, shown["wal_information"].get("last_available"))), default=None)
            backups.append(_read_backup(item["backup_id"], shown))
        return ForeignCatalog(tuple(backups), last)

    def restore(self, backup: ForeignBackup, at: datetime | None, room: Room) -> ToolRun:
        user = self._user()
        if user is not None:
            room.scratch.give_to(*user)
            os.chown(room.scratch.tablespaces, *user)
        argv = self._command("recover", "--get-wal", "--jobs", str(room.jobs))
        if at is not None:
            argv += ["--target-time", f"{at:%Y-%m-%d %H:%M:%S.%f}+00:00", "--target-action", "promote"]
        for name in backup.tablespaces:
            argv += ["--tablespace", f"{name}:{room.scratch.tablespaces / name}"]
        argv += [self.server, backup.id, room.data]
        return run_tool(argv, cwd=room.scratch.folder, timeout_s=room.deadline_s)

    def fetch(self, name: str, place: Path) -> bool:
        with open(place, "wb") as file:
            run = run_tool(
                [*self._command("get-wal", "--partial"), self.server, name],
                cwd=place.parent,
                timeout_s=self.timeout_s,
                stdout=file,
            )
        if run.status == 0 and place.stat().st_size > 0:
            return True
        place.unlink()
        if run.status != _ABSENT:
            raise DrillFailed(
                f"{name} can't be fetched: {run.reason()}",
                hint=f"to try: barman get-wal {self.server} {name}",
            )
        return False

    def _ask(self, *words: str) -> dict[str, Any]:
        run = run_tool([*self._command("-f", "json"), *words], cwd=Path("/"), timeout_s=self.timeout_s)
        if b"Unknown server" in run.output:
            raise DrillSourceMissing(
                f"Barman knows no server {self.server!r}",
                hint="`barman list-server` lists them; name a configuration with barman:SERVER?config=FILE",
            )
        if run.status != 0:
            said = run.output.decode(errors="replace").strip()
            raise RestoreToolUnusable(f"{run.reason()} {said}", hint=f"to try: barman {' '.join(words)}")
        answer: dict[str, Any] = parse_answer(run.output, self.name)
        return answer

    def _command(self, *words: str) -> Argv:
        named: Argv = ["-c", self.config] if self.config is not None else []
        return [_PROGRAM, *named, *words]

    def _user(self) -> tuple[int, int] | None:
        """Return whom root's ``barman`` becomes; None where it stays who it is."""
        if os.geteuid() != 0:
            return None
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        named = [str(self.config)] if self.config is not None else list(_CONFIGURATIONS)
        first = next((place for place in map(os.path.expanduser, named) if os.path.exists(place)), None)
        parser.read([first] if first else [])
        name = parser.get("barman", "barman_user", fallback="barman")
        try:
            account = pwd.getpwnam(name)
        except KeyError as error:
            raise RestoreToolUnusable(
                f"Barman's user {name} does not exist on this machine",
                hint="check barman_user in its configuration",
            ) from error
        return account.pw_uid, account.pw_gid


def _read_backup(name: str, shown: dict[str, Any]) -> ForeignBackup:
    base = shown["base_backup_information"]
    return ForeignBackup(
        id=name,
        stopped_at=utc(base["end_time_timestamp"]),
        raw_bytes=int(base["disk_usage_bytes"]),
        major=int(shown["postgresql_version"]) // 10000,
        system_identifier=str(shown.get("system_identifier") or shown.get("systemid") or ""),
        tablespaces=tuple(item["name"] for item in shown.get("tablespaces") or ()),
    )
