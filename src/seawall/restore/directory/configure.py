"""Turn a copied directory into one that recovers to the moment, and later into an ordinary server's.

Whatever the source was (a standby, the result of an earlier restore, a subscriber of another server), the
restored server must follow nobody, archive nothing unless it was made the primary, and stop where it was
told. All of it goes into ``postgresql.auto.conf``, which a server reads last and from its data directory, wherever its
``config_file`` is: a Debian cluster obeys it as well. Command line settings apply to a server that Seawall starts: a
configuration from Debian's /etc names the *source's* data directory, and ``postgres -D`` would obey it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seawall.repository.backups.record import BackupRecord
from seawall.restore.directory.copy import Layout
from seawall.restore.directory.durable import write_durably
from seawall.restore.directory.settings_file import (
    COPY_MARK,
    RECOVERY_MARK,
    block_removal,
    with_block,
    without_block,
    without_stale_settings,
)
from seawall.restore.planning.moment import Moment, TargetAction, recovery_settings

AUTO_CONF = "postgresql.auto.conf"
_MAIN_CONF = "postgresql.conf"
_TARGETS = (
    "recovery_target",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
    "recovery_target_lsn",
)
_INCLUDE = re.compile(
    r"^\s*(?:include(_dir|_if_exists)?)\s*=?\s*(?:'([^'\n]+)'|([^\s#']+))", re.MULTILINE | re.IGNORECASE
)
_ARCHIVE_LIBRARY_MAJOR = 15
_SILENT_FILES = ("standby.signal", "recovery.conf", "promote", "fallback_promote", "postmaster.pid")


@dataclass(frozen=True, slots=True)
class RecoverySetup:
    """What the restored server is to do."""

    moment: Moment
    timeline: int
    action: TargetAction
    restore_command: str
    is_primary: bool
    source_settings: Mapping[str, int] = field(default_factory=dict)
    """``max_connections`` and its kin as the source had them (from its ``pg_control``)."""
    extra_settings: Mapping[str, str] = field(default_factory=dict)
    """What the user asked for (``--set``); stays after promotion."""
    archive_command: str = ""
    """Only for a primary: how it archives on its new timeline."""
    has_configuration: bool = False
    """The directory's owner starts the server by a configuration of its own, as Debian's in /etc."""


def prepare_recovery(layout: Layout, record: BackupRecord, setup: RecoverySetup, major: int) -> None:
    """Write label, map, signal and settings. ``pg_control`` is still missing, so nothing can start yet.

    Crash: run the restore again; every file is replaced whole.
    """
    data = layout.data_directory
    for name in _SILENT_FILES:
        (data / name).unlink(missing_ok=True)
    write_durably(data / "backup_label", record.backup_label)
    if record.tablespace_map:
        write_durably(data / "tablespace_map", _remapped(record.tablespace_map, layout))
    if not setup.has_configuration:
        _adopt_outside_configuration(layout)
    auto = data / AUTO_CONF
    text = without_stale_settings(
        auto.read_text(encoding="utf-8", errors="surrogateescape") if auto.exists() else ""
    )
    text = with_block(text, COPY_MARK, _lasting(setup, major), _why_lasting(setup))
    text = with_block(text, RECOVERY_MARK, _recovering(setup, major), "removed after promotion")
    write_durably(auto, text.encode("utf-8", "surrogateescape"))
    write_durably(data / "recovery.signal", b"")


def finish_recovery(data_directory: Path) -> None:
    """Take the recovery settings out again, once the server is promoted; what lasts stays.

    The server's own ``recovery_end_command`` has usually done it, but could not make it durable.

    Crash: harmless before and after; a promoted server ignores recovery settings.
    """
    auto = data_directory / AUTO_CONF
    owner = auto.stat()
    text = auto.read_text(encoding="utf-8", errors="surrogateescape")
    write_durably(auto, without_block(text, RECOVERY_MARK).encode("utf-8", "surrogateescape"))
    if os.geteuid() == 0:
        os.chown(auto, owner.st_uid, owner.st_gid)


def command_line_settings(layout: Layout) -> dict[str, str]:
    """Return what must be said on the server's command line, where a file can't be trusted to say it."""
    return {
        "data_directory": str(layout.data_directory),
        "hba_file": str(layout.data_directory / "pg_hba.conf"),
        "ident_file": str(layout.data_directory / "pg_ident.conf"),
        # The source's may be in use by its server, here.
        "external_pid_file": "",
    }


def _lasting(setup: RecoverySetup, major: int) -> dict[str, str]:
    settings = dict(setup.extra_settings)
    if setup.is_primary:
        settings |= {"archive_mode": "on", "archive_command": setup.archive_command}
        if major >= _ARCHIVE_LIBRARY_MAJOR:
            # The source's would win over the command, and 16 refuses to have both.
            settings["archive_library"] = ""
        # Nobody streams from the new primary yet: a quorum of lost standbys would hang its first commit.
        settings["synchronous_standby_names"] = ""
        return settings
    return settings | {
        "archive_mode": "off",
        "synchronous_standby_names": "",
        # A copied subscriber would take over its original's replication slots.
        "max_logical_replication_workers": "0",
    }


def _why_lasting(setup: RecoverySetup) -> str:
    if setup.is_primary:
        return "this server was restored as the primary"
    return "this server is a copy: it must neither archive nor subscribe"


def _recovering(setup: RecoverySetup, major: int) -> dict[str, str]:
    settings = {
        "restore_command": setup.restore_command,
        "recovery_target_timeline": str(setup.timeline),
        "recovery_target_action": setup.action.value,
        # A server that is started, paused or promoted by hand cleans up by itself, too: PostgreSQL runs this
        # after recovery.signal is gone (xlog.c, CleanupAfterArchiveRecovery).
        "recovery_end_command": block_removal(RECOVERY_MARK, AUTO_CONF),
        "archive_cleanup_command": "",
        "recovery_min_apply_delay": "0",
        "primary_conninfo": "",
        "primary_slot_name": "",
        # Without hot standby a max_connections raised later in the WAL is replayed instead of refused
        # (postgres_facts); a server that pauses at its target has to let people look, so it needs it.
        "hot_standby": "on" if setup.action is TargetAction.PAUSE else "off",
        # The log is read for where recovery ended, and for why it did not.
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
    }
    # Old targets are emptied first and ours comes last: in some versions emptying one kind of target also
    # forgets one of another kind that was set before (guc assign hooks of xlogrecovery.c).
    wanted = recovery_settings(setup.moment)
    settings |= {name: "" for name in _TARGETS if name not in wanted}
    settings |= wanted
    settings |= {name: str(value) for name, value in setup.source_settings.items()}
    return settings


def _remapped(tablespace_map: bytes, layout: Layout) -> bytes:
    """Return the map with this machine's folders: the server makes its links from it, not from ours.

    A tablespace that was dropped while the backup began is in the map but not in the backup. Its line is left
    out: it would link the copy to the source's folder, and replay does without (TablespaceCreateDbspace).
    """
    lines = []
    for line in tablespace_map.decode("utf-8", "surrogateescape").splitlines():
        oid, _, _ = line.partition(" ")
        place = layout.tablespaces.get(int(oid)) if oid.isdigit() else None
        if place is not None:
            escaped = str(place).replace("\\", "\\\\").replace("\n", "\\\n")
            lines.append(f"{oid} {escaped}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _adopt_outside_configuration(layout: Layout) -> None:
    """Give the directory a configuration of its own where the source's lay outside (Debian's /etc).

    The files beside stay as they were; copies of the three main ones go into the data directory, with what they
    include from beside themselves. The first says at its end where they are, since its own text names the
    source's paths.
    """
    data = layout.data_directory
    for name in (_MAIN_CONF, "pg_hba.conf", "pg_ident.conf"):
        if (data / name).exists():
            continue
        found = sorted(layout.config_directory.glob(f"*/{name}")) if layout.config_directory.exists() else []
        content = found[0].read_bytes() if found else b""
        if found:
            _adopt_included(found[0], data)
        if name == _MAIN_CONF:
            content += b"\n" + _own_paths(data).encode()
        elif not found and name == "pg_hba.conf":
            content = b"local all all peer\n"
        write_durably(data / name, content)


def _adopt_included(file: Path, folder: Path, depth: int = 10) -> None:
    """Copy what a configuration file includes by a relative path to where its copy in ``folder`` looks for it.

    Debian's says ``include_dir 'conf.d'``, and a server without that folder doesn't start; an empty one is not
    in the backup.
    """
    if depth == 0:  # as deep as the server goes (CONF_FILE_MAX_DEPTH of guc.h)
        return
    for match in _INCLUDE.finditer(file.read_text(encoding="utf-8", errors="surrogateescape")):
        name = match[2] or match[3]
        source, copy = file.parent / name, folder / name
        if name.startswith("/") or not _is_below(copy, folder) or copy.exists():
            continue
        if match[1] == "_dir":
            copy.mkdir(mode=0o700, parents=True)
            included = sorted(source.glob("*.conf")) if source.is_dir() else []
        else:
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            included = [source] if source.is_file() else []
        for part in included:
            place = copy / part.name if match[1] == "_dir" else copy
            write_durably(place, part.read_bytes())
            _adopt_included(part, place.parent, depth - 1)


def _is_below(path: Path, folder: Path) -> bool:
    """Say whether a path that may hold ``..`` stays below ``folder``."""
    return Path(os.path.normpath(path)).is_relative_to(folder)


def _own_paths(data: Path) -> str:
    return with_block(
        "",
        "Seawall paths",
        {
            "data_directory": str(data),
            "hba_file": str(data / "pg_hba.conf"),
            "ident_file": str(data / "pg_ident.conf"),
            "external_pid_file": "",
        },
        "this configuration was outside the data directory at the source",
    )
