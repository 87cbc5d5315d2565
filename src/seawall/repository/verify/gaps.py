"""What ``wal gaps`` looks for: segments missing between the oldest backup's start and the archive's end."""

from __future__ import annotations

from seawall.model.timeline import TimelineHistory
from seawall.repository.backups.catalog import Catalog
from seawall.repository.repository import Repository
from seawall.repository.wal.archive import WalArchive


def find_gaps(repository: Repository, cluster: str) -> list[str]:
    """Return the missing ranges, along the newest timeline, as text; empty where every moment is reachable."""
    catalog = Catalog(repository, cluster)
    found: list[str] = []
    for system_identifier in catalog.system_identifiers():
        backups = catalog.listing(system_identifier).backups
        if not backups:
            continue
        size = backups[0].wal_segment_bytes
        archive = WalArchive(repository, cluster, system_identifier, segment_bytes=size)
        histories = {1: TimelineHistory(1), **archive.histories()}
        history = histories[max(histories)]
        start = min(record.start_lsn for record in backups)
        ranges = archive.segments(history.timeline)
        end = max((item.last + 1) * size for item in ranges) if ranges else max(r.stop_lsn for r in backups)
        found += [str(item) for item in archive.gaps(start, type(start)(end), history)]
    return found
