"""What PostgreSQL can answer, translated once from its client library and its programs."""

from __future__ import annotations

from seawall.model.errors import IntegrityError, InvalidInput, NotFound, Refused, Unavailable


class ConnectionStringInvalid(InvalidInput, code="connection-string-invalid", status=19):
    """A connection string (URL or keywords) can't be understood or used."""


class ServerLoginRefused(InvalidInput, code="server-login-refused", status=20):
    """The server answered and does not let this user in: password, pg_hba.conf, role or database."""


class ServerUnsupported(InvalidInput, code="server-unsupported", status=21):
    """What answers is no PostgreSQL server, or one of a version that Seawall does not know."""


class DatabaseMissing(NotFound, code="database-missing", status=35):
    """The server has no database of this name."""


class ServerUnreachable(Unavailable, code="server-unreachable", status=53):
    """The server did not answer in time, or the connection to it broke."""


class ServerNotReady(Unavailable, code="server-not-ready", status=54):
    """The server answers that it can't serve now: starting up, shutting down, too many connections."""


class BackupSessionLost(Unavailable, code="backup-session-lost", status=55):
    """The session that held a backup open ended, or the server ended the backup; nothing of it counts."""


class ServerPermissionMissing(Refused, code="server-permission-missing", status=79):
    """The role may not see or do it; the hint is the GRANT."""


class StatementRefused(Refused, code="statement-refused", status=80):
    """The server rejected a statement; it was rolled back."""


class ProgramsMissing(NotFound, code="server-programs-missing", status=36):
    """PostgreSQL's programs of the needed major version are not on this machine."""


class ServerStartFailed(Unavailable, code="server-start-failed", status=59):
    """The server ended by itself while it was starting or recovering; its log has the reason."""


class ControlFileInvalid(IntegrityError, code="control-file-invalid", status=64):
    """``global/pg_control`` is missing, damaged, or of a version that Seawall does not know."""


class WalSegmentInvalid(IntegrityError, code="wal-segment-invalid", status=65):
    """A WAL segment is not what its name says, or belongs to another server."""


class ServerOwnerUnusable(Refused, code="server-owner-unusable", status=81):
    """The server's programs can't be run as the user who owns the data directory."""


class OwnerForbids(Refused, code="owner-forbids", status=94):
    """Whoever owns the server (Patroni, an operator, a service manager) must do this, not Seawall."""
