"""``seawall list``: the backups of each repository, and how far its WAL reaches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seawall.cli.options import cluster_option, json_option, plan_option, repository_option
from seawall.cli.output import note, print_json, print_table
from seawall.model.units import format_bytes, format_duration
from seawall.model.wal_name import SegmentName

if TYPE_CHECKING:
    from seawall.repository.repository import Repository
    from seawall.repository.wal.archive import WalArchive, WalFolder
    from seawall.repository.wal.lineage import SegmentRange


@click.command(name="list")
@cluster_option
@repository_option
@plan_option
@json_option
def command(
    cluster_name: str | None, repository_name: str | None, plan_path: Path | None, as_json: bool
) -> int:
    """List the complete backups, oldest first, and the newest archived WAL."""
    from seawall.app import App

    app = App.load(plan_path)
    cluster = app.cluster_name(cluster_name)
    found = {
        name: _describe(app.open_repository(name), cluster)
        for name in app.repository_names(cluster, repository_name)
    }
    if as_json:
        print_json({"cluster": cluster, "repositories": found})
        return 0
    for name, facts in found.items():
        print(f"{name}: {facts['url']}")
        _print(facts)
    return 0


def _describe(repository: Repository, cluster: str) -> dict[str, Any]:
    from seawall.repository.backups.catalog import Catalog
    from seawall.repository.wal.archive import WalArchive

    catalog = Catalog(repository, cluster)
    backups: list[dict[str, Any]] = []
    damaged: list[str] = []
    wal: list[dict[str, Any]] = []
    for system_identifier in catalog.system_identifiers():
        listing = catalog.listing(system_identifier)
        damaged += [item.backup_id for item in listing.unreadable]
        backups += [
            {
                "id": record.id,
                "type": record.type,
                "started_at": record.started_at.isoformat(),
                "stopped_at": record.stopped_at.isoformat(),
                "timeline": record.timeline,
                "epoch": record.epoch,
                "start_lsn": str(record.start_lsn),
                "stop_lsn": str(record.stop_lsn),
                "raw_bytes": record.raw_bytes,
                "stored_bytes": record.stored_bytes,
                "corrupt_files": len(record.corrupt),
                # Text: it may be more than what the floating point numbers of other readers hold.
                "system_identifier": str(record.system_identifier),
            }
            for record in listing.backups
        ]
        archive = WalArchive(repository, cluster, system_identifier)
        wal += [
            _stretch(folder.epoch, item) for folder in archive.folders() for item in _ranges(archive, folder)
        ]
    return {"url": repository.store.url, "backups": backups, "damaged": damaged, "wal": wal}


def _ranges(archive: WalArchive, folder: WalFolder) -> list[SegmentRange]:
    from seawall.repository.wal.errors import WalNotFound

    try:
        return archive.segments(folder.timeline, epoch=folder.epoch)
    except WalNotFound:
        return []  # only a history so far


def _stretch(epoch: int, item: SegmentRange) -> dict[str, Any]:
    first = SegmentName(item.timeline, item.first, item.segment_bytes)
    last = SegmentName(item.timeline, item.last, item.segment_bytes)
    return {
        "epoch": epoch,
        "timeline": item.timeline,
        "first": str(first),
        "last": str(last),
        "end_lsn": str(last.end),
    }


def _print(facts: dict[str, Any]) -> None:
    if not facts["backups"]:
        print("  no complete backup: seawall backup")
    else:
        rows = []
        for item in facts["backups"]:
            seconds = (_time(item["stopped_at"]) - _time(item["started_at"])).total_seconds()
            rows.append(
                [
                    "  " + item["id"],
                    item["type"],
                    f"{_time(item['stopped_at']):%Y-%m-%d %H:%M:%S}",
                    format_duration(seconds),
                    str(item["timeline"]),
                    item["stop_lsn"],
                    format_bytes(item["raw_bytes"]),
                    format_bytes(item["stored_bytes"]),
                    f"{item['corrupt_files']} damaged file(s)" if item["corrupt_files"] else "",
                ]
            )
        print_table(["  backup", "type", "ended (UTC)", "took", "TLI", "LSN", "size", "stored", ""], rows)
    for backup_id in facts["damaged"]:
        note(f"  the commit record of {backup_id} is damaged: seawall verify")
    for stretch in facts["wal"]:
        print(f"  WAL {stretch['first']} to {stretch['last']} (timeline {stretch['timeline']})")


def _time(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)
