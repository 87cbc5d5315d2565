"""Why a backup or a WAL push failed. Nothing here leaves a backup that looks complete."""

from __future__ import annotations

from seawall.model.errors import Conflict, IntegrityError, InvalidInput, NotFound, Refused, Unavailable


class ArchivingOff(InvalidInput, code="archiving-off", status=22):
    """The server archives no WAL, so that no physical backup could ever be completed."""


class WalPathInvalid(InvalidInput, code="wal-path-invalid", status=23):
    """``wal push`` was handed something that PostgreSQL never archives."""


class SourceMissing(NotFound, code="source-missing", status=37):
    """The data directory, or a file that must be in it, isn't there."""


class WrongServer(Conflict, code="wrong-server", status=45):
    """The server or WAL belongs to another database system than the repository's lineage."""


class WriterNotBound(Conflict, code="writer-not-bound", status=46):
    """This data directory never claimed the right to write here: a clone or a test restore."""


class WalNotArchived(Unavailable, code="wal-not-archived", status=56):
    """The WAL that makes the backup consistent did not arrive in time."""


class AllRepositoriesFailed(Unavailable, code="all-repositories-failed", status=57):
    """No repository took the backup or the segment to its end."""


class SomeRepositoriesFailed(IntegrityError, code="some-repositories-failed", status=66):
    """The backup is complete in some of its repositories, and missing in others."""


class SourceDamaged(IntegrityError, code="source-damaged", status=67):
    """The backup is complete, but pages of the source fail their checksum; they are marked in it."""


class SourceUnreadable(Refused, code="source-unreadable", status=82):
    """Files of the data directory can't be read by this user; found before the first byte was copied."""


class SourceUnsafe(Refused, code="source-unsafe", status=83):
    """The data directory holds something that a backup can't represent."""


class SourceReadFailed(Refused, code="source-read-failed", status=84):
    """The disk or file system of the data directory failed while it was read; no backup was made."""
