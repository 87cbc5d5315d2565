"""Why a restore can't be done, or failed half-way; all but the last few are found before a byte is copied."""

from __future__ import annotations

from seawall.model.errors import Conflict, IntegrityError, InvalidInput, NotFound, Refused, Unavailable


class TargetInvalid(InvalidInput, code="target-invalid", status=24):
    """The recovery target can't be understood."""


class TargetInFuture(InvalidInput, code="target-in-future", status=25):
    """The recovery target lies in the future."""


class TargetBeforeBackup(InvalidInput, code="target-before-backup", status=26):
    """No backup ended before the recovery target."""


class TargetUnreachable(InvalidInput, code="target-unreachable", status=27):
    """The target is not in the WAL that the repository holds."""


class TargetUnwritable(InvalidInput, code="target-unwritable", status=28):
    """The target directory, or a tablespace's, can't be made or written by this user."""


class NoBackup(NotFound, code="no-backup", status=38):
    """The repository holds no complete backup of this cluster."""


class TimelineUnknown(NotFound, code="timeline-unknown", status=39):
    """The timeline that was asked for has no history in the repository."""


class RestoreUnderWay(Conflict, code="restore-under-way", status=48):
    """Another restore is working on the same directory."""


class RecoveryStalled(Unavailable, code="recovery-stalled", status=58):
    """The restored server did not reach its target within the deadline."""


class WalMissing(IntegrityError, code="wal-missing", status=68):
    """A WAL segment below the proven end of the archive is missing."""


class RecoveryFailed(IntegrityError, code="recovery-failed", status=69):
    """PostgreSQL gave up replaying; its own log says why."""


class DirectoryNotEmpty(Refused, code="directory-not-empty", status=86):
    """The target directory holds something."""


class SpaceShort(Refused, code="space-short", status=87):
    """The target has too little free space, or ran out of it while it was written."""


class TablespaceUnsafe(Refused, code="tablespace-unsafe", status=88):
    """Restoring would touch a tablespace of a live server."""


class TargetNotReady(Refused, code="target-not-ready", status=89):
    """This machine can't run what would be restored: programs, extensions, locales, the server's user's rights."""


class ClaimRefused(Refused, code="claim-refused", status=90):
    """``--as primary`` can't be recorded: somebody else holds or took the term."""


class CheckFailed(Refused, code="check-failed", status=91):
    """The server was restored and runs, but one of the plan's checks says no."""
