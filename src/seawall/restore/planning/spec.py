"""What ``wal get`` needs during one restore, in a small file beside the directory: no plan, no search.

PostgreSQL calls ``restore_command`` once per segment, on a machine that may have nothing but this directory,
the repository's URL and its key. The file holds references to secrets, never secrets, and the *proven* path
through the archive: below its end an absent segment is an alarm, above it the end of the WAL.
Imports stay light: this is read by a process that lives for milliseconds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from seawall.model.wal_name import SegmentName

_AHEAD = 8


@dataclass(frozen=True, slots=True)
class WalFolder:
    """A stretch of the proven path: segment numbers ``first`` to ``last`` of ``timeline``, kept in ``epoch``.

    ``is_partial``: the one segment is archived as ``.partial`` only, the unfinished last one of a timeline that was
    left; always the path's last stretch.
    """

    epoch: int
    timeline: int
    first: int
    last: int
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class RepositoryAddress:
    """How to open one repository again: references only."""

    url: str
    region: str | None
    endpoint: str | None
    credentials: dict[str, str] | None
    keys: tuple[str, ...]
    coordination: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreSpec:
    """See the module docstring."""

    cluster: str
    system_identifier: int
    wal_segment_bytes: int
    repositories: tuple[RepositoryAddress, ...]
    path: tuple[WalFolder, ...]
    ahead: int = _AHEAD
    """How many segments may lie ready at once, that which is asked for included."""

    def epoch_of(self, segment: SegmentName) -> int | None:
        """Return the epoch whose folder holds ``segment``, None where it is not on the proven path."""
        for folder in self.path:
            if folder.timeline == segment.timeline and folder.first <= segment.number <= folder.last:
                return folder.epoch
        return None

    def encode(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def decode(cls, data: bytes) -> RestoreSpec:
        """Read what :meth:`encode` wrote. Raises ValueError, KeyError, TypeError."""
        fields = json.loads(data)
        return cls(
            cluster=fields["cluster"],
            system_identifier=fields["system_identifier"],
            wal_segment_bytes=fields["wal_segment_bytes"],
            repositories=tuple(
                RepositoryAddress(**{**item, "keys": tuple(item["keys"])}) for item in fields["repositories"]
            ),
            path=tuple(WalFolder(**item) for item in fields["path"]),
            ahead=fields["ahead"],
        )
