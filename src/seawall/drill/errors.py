"""Why a drill could not be held, and what it says when the restored data is not right."""

from __future__ import annotations

from seawall.model.errors import IntegrityError, InvalidInput, NotFound, Refused, Unavailable


class DumpVersionUnfit(InvalidInput, code="dump-version-unfit", status=102):
    """A dump can't be restored by the server programs that were named: their version is older than its source's."""


class DrillSourceUnknown(InvalidInput, code="drill-source-unknown", status=103):
    """What was named as the source of a drill is nothing that Seawall can restore."""


class DrillSourceMissing(NotFound, code="drill-source-missing", status=106):
    """The source of a drill has nothing to restore: no such dump, stanza, server or backup."""


class DrillMissing(NotFound, code="drill-missing", status=107):
    """The ledger holds no such drill."""


class RestoreToolUnusable(Unavailable, code="restore-tool-unusable", status=111):
    """Another tool's program is not on this machine, or does not answer."""


class DrillFailed(IntegrityError, code="drill-failed", status=116):
    """What came back is not what was promised: an assertion failed, or an objective was missed."""


class DrillIncomplete(Refused, code="drill-incomplete", status=120):
    """Nothing that was asked failed, but not everything could be asked: it proves too little."""


class ScratchUnfit(Refused, code="scratch-unfit", status=121):
    """The scratch folder is too small, too long for a socket, or not this user's."""


class DrillUnsafe(Refused, code="drill-unsafe", status=122):
    """Replaying this WAL beside a live server could touch that server's files."""
