"""The archived WAL of one system in one repository: put once, found along the valid lineage, gaps named.

Epoch and timeline are in each object's key, so two writers of the same segment name never meet, and what a
superseded writer still sends is kept apart under ``diverged/``. Knowledge of a terabyte of WAL a day is held
as ranges from one listing, never as an object per segment.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from seawall.model.wal_name import SegmentName, WalFileKind, classify, timeline_of
from seawall.repository.errors import FrameDamaged
from seawall.repository.layout import diverged_key, diverged_prefix, lineage_folder, wal_key, wal_prefix
from seawall.repository.wal.errors import WalDiffers, WalNotFound
from seawall.repository.wal.objects import (
    META_READ_BYTES,
    SealedWal,
    WalMeta,
    open_meta,
    open_wal,
    seal_wal,
)
from seawall.storage.errors import ObjectExists, ObjectMissing

if TYPE_CHECKING:
    # Imported where they are used, or not at all: a push, which starts a process per segment, needs none.
    from seawall.model.lsn import Lsn
    from seawall.model.timeline import TimelineHistory
    from seawall.repository.format.codec import CompressionPolicy
    from seawall.repository.repository import Repository
    from seawall.repository.wal.lineage import SegmentRange
    from seawall.repository.wal.pieces import WalPieces
    from seawall.storage.protocol import Buffer

_FOLDER = re.compile(r"([0-9A-F]{8})-([0-9A-F]{8})")
_STAT_AT_MOST = 32
"""Up to so many segments are asked for one by one; a listing of the folder is dearer only below that."""


class PushOutcome(enum.Enum):
    """Both are success: the file is durable in the archive."""

    STORED = "stored"
    IDENTICAL = "identical"


class WalFolder(NamedTuple):
    """Where one epoch's files of one timeline are."""

    epoch: int
    timeline: int


class WalArchive:
    """Safe to share by threads: it remembers nothing but the segment size."""

    def __init__(
        self,
        repository: Repository,
        cluster: str,
        system_identifier: int,
        *,
        segment_bytes: int | None = None,
        policy: CompressionPolicy | None = None,
    ) -> None:
        """``segment_bytes``, where not known, is read off the archive's first segment when needed."""
        self.repository = repository
        self.cluster = cluster
        self.system_identifier = system_identifier
        self._segment_bytes = segment_bytes
        self._policy = policy

    @property
    def url(self) -> str:
        """Where this is, for messages."""
        return self.repository.store.url

    def push(
        self,
        epoch: int,
        name: str,
        raw: Buffer,
        *,
        attributes: Mapping[str, object] | None = None,
        pieces: WalPieces | None = None,
    ) -> PushOutcome:
        """Make one file that PostgreSQL archives durable; pushing the same bytes again succeeds.

        Raises:
            WalDiffers: other bytes are archived under the name; nothing was changed.
            FrameDamaged: what is archived under the name can't be read.
        Crash: the object is there whole or not at all; a re-run finds it IDENTICAL or stores it.
        """
        return self._put(self._key(epoch, name), name, raw, attributes, pieces)

    def push_diverged(
        self,
        epoch: int,
        name: str,
        raw: Buffer,
        *,
        attributes: Mapping[str, object] | None = None,
        pieces: WalPieces | None = None,
    ) -> PushOutcome:
        """Quarantine a file of a superseded writer: refusing it would fill that server's disk and lose its
        tail, mixing it in would break the lineage. Raises and leaves as :meth:`push`."""
        key = diverged_key(self.cluster, self.system_identifier, epoch, timeline_of(name), name)
        return self._put(key, name, raw, attributes, pieces)

    def has(self, epoch: int, name: str) -> bool:
        """Say whether this epoch archived the file, without reading it."""
        return self.repository.store.stat(self._key(epoch, name)) is not None

    def find(self, name: str) -> int | None:
        """Return the newest epoch in whose folder the file counts as part of the lineage, None if there is
        none. A ``.partial`` has its own name: who asks for its segment is not given it."""
        for epoch in self._epochs_of(name):
            if self.has(epoch, name):
                return epoch
        return None

    def fetch(self, name: str, *, epoch: int | None = None) -> bytes:
        """Return a file's content, authenticated and hash-checked; of ``epoch``, or as :meth:`find` does.

        Raises:
            WalNotFound: it is not in the archive.
            FrameDamaged: some bit of it is not what was archived.
        """
        for candidate in self._epochs_of(name) if epoch is None else [epoch]:
            try:
                return self.read(candidate, name)[1]
            except ObjectMissing:
                continue
        raise WalNotFound(
            f"{name} of cluster {self.cluster!r} is not in {self.url}",
            hint="`seawall wal gaps` shows what the archive holds",
            wal=name,
        )

    def read(self, epoch: int, name: str) -> tuple[WalMeta, bytes]:
        """Return meta and content of one object. Raises ObjectMissing, FrameDamaged."""
        key = self._key(epoch, name)
        meta, raw = open_wal(self.repository.context, key, self.repository.store.get(key))
        if (meta.name, meta.system_identifier) != (name, self.system_identifier):
            raise FrameDamaged(
                f"{key} says that it is {meta.name} of system {meta.system_identifier}", object=key
            )
        return meta, raw

    def read_meta(self, key: str) -> WalMeta:
        """Return what an object says of itself, reading only its beginning. Raises ObjectMissing,
        FrameDamaged."""
        meta, _ = self._peek(key)
        return meta

    def folders(self) -> list[WalFolder]:
        """Return every (epoch, timeline) that has files, ascending."""
        return _folders(self.repository.store.children(wal_prefix(self.cluster, self.system_identifier)))

    def diverged_folders(self) -> list[WalFolder]:
        """Return every (epoch, timeline) that has quarantined files, ascending."""
        return _folders(self.repository.store.children(diverged_prefix(self.cluster, self.system_identifier)))

    def names(self, folder: WalFolder) -> Iterator[str]:
        """Yield the names in one folder in order: segments, partials, backup labels, histories."""
        prefix = self._folder_prefix(folder)
        for info in self.repository.store.scan(prefix):
            yield info.key.removeprefix(prefix)

    def segments(self, timeline: int, *, epoch: int | None = None) -> list[SegmentRange]:
        """Return what is archived of ``timeline`` as maximal ranges: of one epoch, or all that counts in any.

        One listing of each folder, held as ranges.
        """
        from seawall.repository.wal.lineage import SegmentRange

        present = self._present(timeline, epoch)
        return [SegmentRange(timeline, first, last, self.segment_bytes) for first, last in present]

    def histories(self) -> dict[int, TimelineHistory]:
        """Return the archived history of every timeline above 1, by timeline.

        Raises:
            FrameDamaged: a history file can't be read; without it no path along that timeline is known.
        """
        from seawall.model.timeline import TimelineHistory

        result: dict[int, TimelineHistory] = {}
        for timeline in sorted({folder.timeline for folder in self.folders() if folder.timeline > 1}):
            try:
                content = self.fetch(f"{timeline:08X}.history")
            except WalNotFound:
                continue
            result[timeline] = TimelineHistory.parse(timeline, content.decode("utf-8", "replace"))
        return result

    def missing(self, epoch: int, first: SegmentName, last: SegmentName) -> list[SegmentName]:
        """Return the segments from ``first`` to ``last``, both included, that ``epoch`` has not archived."""
        numbers = range(first.number, last.number + 1)
        if len(numbers) <= _STAT_AT_MOST:
            segments = [SegmentName(first.timeline, number, first.segment_bytes) for number in numbers]
            return [name for name in segments if not self.has(epoch, str(name))]
        from seawall.repository.wal.lineage import Stretch, missing_ranges

        present = self._ranges_in(WalFolder(epoch, first.timeline), first.segment_bytes)
        stretch = Stretch((first.timeline,), first.number, last.number)
        return [
            SegmentName(hole.timeline, number, hole.segment_bytes)
            for hole in missing_ranges([stretch], {first.timeline: present}, first.segment_bytes)
            for number in range(hole.first, hole.last + 1)
        ]

    def gaps(self, from_lsn: Lsn, to_lsn: Lsn, history: TimelineHistory) -> list[SegmentRange]:
        """Return every missing segment between two positions along ``history``, as ranges; empty if a
        recovery can read all of it.

        What counts is decided by the terms: another branch's segment of the same name fills no gap.
        """
        from seawall.repository.wal.lineage import missing_ranges, plan_stretches

        stretches = plan_stretches(
            history, from_lsn=from_lsn, to_lsn=to_lsn, segment_bytes=self.segment_bytes
        )
        timelines = {timeline for stretch in stretches for timeline in stretch.timelines}
        present = {timeline: self._present(timeline, None) for timeline in timelines}
        return missing_ranges(stretches, present, self.segment_bytes)

    @property
    def segment_bytes(self) -> int:
        """The WAL segment size. Raises WalNotFound if it was not given and no segment is archived yet."""
        if self._segment_bytes is None:
            self._segment_bytes = self._discover_segment_bytes()
        return self._segment_bytes

    def _discover_segment_bytes(self) -> int:
        for folder in self.folders():
            for name in self.names(folder):
                if classify(name) is WalFileKind.SEGMENT:
                    return self.read_meta(self._key(folder.epoch, name)).raw_bytes
        raise WalNotFound(
            f"no WAL segment of cluster {self.cluster!r} is in {self.url}",
            hint="check archive_command and pg_stat_archiver on the server",
        )

    def _present(self, timeline: int, epoch: int | None) -> list[tuple[int, int]]:
        if epoch is not None:
            return self._ranges_in(WalFolder(epoch, timeline), self.segment_bytes)
        from seawall.repository.wal.lineage import union_ranges

        found: list[tuple[int, int]] = []
        for counted, end in self._limits(timeline):
            ranges = self._ranges_in(WalFolder(counted, timeline), self.segment_bytes)
            found += [
                (first, last if end is None else min(last, end - 1))
                for first, last in ranges
                if end is None or first < end
            ]
        return union_ranges(found)

    def _ranges_in(self, folder: WalFolder, segment_bytes: int) -> list[tuple[int, int]]:
        result: list[tuple[int, int]] = []
        first = last = -1
        for name in self.names(folder):
            if classify(name) is not WalFileKind.SEGMENT:
                continue
            number = SegmentName.parse(name, segment_bytes).number
            if number == last + 1 and first >= 0:
                last = number
                continue
            if first >= 0:
                result.append((first, last))
            first = last = number
        if first >= 0:
            result.append((first, last))
        return result

    def _epochs_of(self, name: str) -> list[int]:
        """Return the epochs in which ``name`` would count, the newest first."""
        timeline = timeline_of(name)
        epochs = [folder.epoch for folder in self.folders() if folder.timeline == timeline]
        if len(epochs) < 2:
            return epochs  # nearly always; no need to ask the terms
        if classify(name) is WalFileKind.HISTORY:
            return [epoch for epoch, end in self._limits(timeline, epochs) if end is None or end > 0]
        number = SegmentName.parse(name, self.segment_bytes).number
        return [epoch for epoch, end in self._limits(timeline, epochs) if end is None or number < end]

    def _limits(self, timeline: int, epochs: list[int] | None = None) -> list[tuple[int, int | None]]:
        if epochs is None:
            epochs = [folder.epoch for folder in self.folders() if folder.timeline == timeline]
        if len(epochs) < 2:
            return [(epoch, None) for epoch in epochs]
        from seawall.repository.wal.lineage import Lineage
        from seawall.repository.wal.terms import TermLog

        claims = TermLog(self.repository, self.cluster).claims()
        return Lineage(claims, self.segment_bytes).limits(timeline, epochs)

    def _put(
        self,
        key: str,
        name: str,
        raw: Buffer,
        attributes: Mapping[str, object] | None,
        pieces: WalPieces | None,
    ) -> PushOutcome:
        if classify(name) is None:
            raise ValueError(f"PostgreSQL never archives a file named {name!r}")
        sealed = seal_wal(
            self.repository.context,
            key,
            name=name,
            raw=raw,
            system_identifier=self.system_identifier,
            attributes=attributes,
            policy=self._policy,
            pieces=pieces,
        )
        try:
            self.repository.store.put(key, sealed.data)
        except ObjectExists:
            return self._compare(key, sealed)
        return PushOutcome.STORED

    def _compare(self, key: str, sealed: SealedWal) -> PushOutcome:
        existing, header = self._peek(key)
        if header == sealed.header:
            return PushOutcome.STORED  # this very put, whose answer was lost and which was tried again
        ours = sealed.meta
        if (existing.hash, existing.raw_bytes, existing.name) == (ours.hash, ours.raw_bytes, ours.name):
            # PostgreSQL removes its copy after this answer, so all of the archived one has to be readable. That
            # it is asked at all means that an archiver or a machine was interrupted: just when damage is likely.
            open_wal(self.repository.context, key, self.repository.store.get(key))
            return PushOutcome.IDENTICAL
        (folder,) = _folders([key.rsplit("/", 2)[1]])
        raise WalDiffers(
            f"{self.url} already holds another {ours.name} of epoch {folder.epoch}: "
            f"archived {existing.hash}, given {ours.hash}",
            hint="two servers write this archive, or a copy was started without archive_mode = off: "
            "find which one is the primary; the archived file was not touched",
            wal=ours.name,
            archived_hash=existing.hash,
            given_hash=ours.hash,
        )

    def _peek(self, key: str) -> tuple[WalMeta, bytes]:
        store, context = self.repository.store, self.repository.context
        beginning = store.get_range(key, 0, META_READ_BYTES)
        meta = open_meta(context, key, beginning)
        if meta is None:
            meta = open_wal(context, key, store.get(key))[0]
        return meta, beginning[:64]

    def _key(self, epoch: int, name: str) -> str:
        return wal_key(self.cluster, self.system_identifier, epoch, timeline_of(name), name)

    def _folder_prefix(self, folder: WalFolder) -> str:
        prefix = wal_prefix(self.cluster, self.system_identifier)
        return f"{prefix}{lineage_folder(folder.epoch, folder.timeline)}/"


def _folders(names: list[str]) -> list[WalFolder]:
    matches = [match for match in map(_FOLDER.fullmatch, names) if match]
    return sorted(WalFolder(int(match[1], 16), int(match[2], 16)) for match in matches)
