"""What can be wrong with terms, leases, lineages and archived WAL. Continues ``errors.py``'s statuses."""

from __future__ import annotations

from seawall.model.errors import Conflict, IntegrityError, NotFound, Refused


class WalNotFound(NotFound, code="wal-not-found", status=34):
    """The archive has no such WAL file on a valid lineage."""


class TermTaken(Conflict, code="term-taken", status=43):
    """Somebody else claimed the term first; nothing was changed."""


class WalDiffers(Conflict, code="wal-differs", status=44):
    """The archive holds other bytes under the same name; nothing was changed."""


class RepositoryDamaged(IntegrityError, code="repository-damaged", status=63):
    """``verify`` found objects that are damaged or missing."""


class NotAChild(Refused, code="timeline-not-a-child", status=78):
    """The requested timeline does not descend from where the backup ended; found before a byte was copied."""


class WalGap(Refused, code="wal-gap", status=74):
    """Segments are missing between the oldest backup and the end of the archive."""
