"""Wait until a backup's WAL is in its repository: without it the backup can't be made consistent.

``pg_backup_stop`` is told not to wait (it would wait for ever where ``archive_command`` fails, and knows
nothing of which repository has what); each repository is asked instead, with a deadline, and the error
says which segment is missing.
"""

from __future__ import annotations

from seawall.backup.errors import WalNotArchived
from seawall.model.clock import Clock
from seawall.model.wal_name import SegmentName
from seawall.repository.wal.archive import WalArchive

_FIRST_PAUSE_S = 0.02
_GROWTH = 1.15
_LONGEST_PAUSE_S = 1.0


def wait_for_wal(
    archive: WalArchive, *, epoch: int, first: SegmentName, last: SegmentName, timeout_s: float, clock: Clock
) -> None:
    """Return once every segment from ``first`` to ``last`` is durable in ``archive``.

    Raises:
        WalNotArchived: not within ``timeout_s``; names the missing segments.
    """
    deadline = clock.monotonic() + timeout_s
    pause = _FIRST_PAUSE_S
    # The archiver works in order, so the last one is asked first and the range is listed once at the end.
    while not archive.has(epoch, str(last)) or archive.missing(epoch, first, last):
        if clock.monotonic() >= deadline:
            missing = archive.missing(epoch, first, last)
            names = ", ".join(str(segment) for segment in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise WalNotArchived(
                f"WAL {names}{more} did not arrive in {archive.url} within {timeout_s:.0f} s, "
                "so the backup was not committed",
                hint="look at archive_command's errors in the server log and at pg_stat_archiver; "
                "then run the backup again",
                missing=[str(segment) for segment in missing],
            )
        clock.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE_S)
