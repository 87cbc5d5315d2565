"""What can be wrong with terms, leases, lineages and archived WAL. Continues ``errors.py``'s statuses."""

from __future__ import annotations

from seawall.model.errors import Conflict, IntegrityError, NotFound, Refused


class WalNotFound(NotFound, code="wal-not-found", status=34):
    """The archive has no such WAL file on a valid lineage."""

    default_hint = "`seawall wal gaps` shows what the archive holds"


class TermTaken(Conflict, code="term-taken", status=43):
    """Somebody else claimed the term first; nothing was changed."""

    default_hint = "look at the cluster's state again (`seawall list`) and decide anew"


class WalDiffers(Conflict, code="wal-differs", status=44):
    """The archive holds other bytes under the same name; nothing was changed."""

    default_hint = "find which server is the primary; set archive_mode = off on the other one"


class RepositoryDamaged(IntegrityError, code="repository-damaged", status=63):
    """``verify`` found objects that are damaged or missing."""

    default_hint = "restore from another repository, or a backup that is intact; take a new full backup now"


class NotAChild(Refused, code="timeline-not-a-child", status=78):
    """The requested timeline does not descend from where the backup ended; found before a byte was copied."""

    default_hint = "choose an earlier backup, or the timeline that this one is on"


class WalGap(Refused, code="wal-gap", status=74):
    """Segments are missing between the oldest backup and the end of the archive."""
