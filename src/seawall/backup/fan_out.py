"""One read, several repositories: each frame is compressed once and sealed for every target.

A target that fails is dropped, with its error kept, and the others go on; only when none is left does the
backup fail. What the caller makes of a partial success is its own business (the CLI exits non-zero).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from seawall.model.errors import SeawallError
from seawall.repository.backups.packs import FrameRef, PackWriter
from seawall.repository.backups.writer import BackupWriter
from seawall.repository.format.codec import Codec
from seawall.repository.format.extents import Extent


class Target:
    """One repository's share in the backup, and the error that ended it, if any."""

    def __init__(self, name: str, writer: BackupWriter) -> None:
        self.name = name
        self.writer = writer
        self.error: SeawallError | None = None


class FanOut:
    """The targets of one backup. Thread-safe: a target fails once, for all workers."""

    def __init__(self, targets: list[Target]) -> None:
        self.targets = targets
        self._lock = threading.Lock()

    @property
    def alive(self) -> list[Target]:
        return [target for target in self.targets if target.error is None]

    def fail(self, target: Target, error: SeawallError) -> None:
        """Drop ``target``. Raises ``error`` itself when no target is left."""
        with self._lock:
            if target.error is None:
                target.error = error
            if not any(other.error is None for other in self.targets):
                raise error

    def attempt(self, target: Target, action: Callable[[], object]) -> bool:
        """Run ``action`` for a live ``target``; on a Seawall error drop the target and return False."""
        if target.error is not None:
            return False
        try:
            action()
        except SeawallError as error:
            self.fail(target, error)
            return False
        return True

    def open_packs(self) -> TargetPacks:
        """Return pack writers for one worker thread."""
        return TargetPacks(self)


class TargetPacks:
    """One worker's pack writers, one per target; owned by one thread."""

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._packs: list[tuple[Target, PackWriter]] = [
            (target, target.writer.new_pack_writer()) for target in fan_out.targets
        ]

    def no_extents(self) -> list[list[Extent]]:
        return [[] for _ in self._packs]

    def append(self, payload: bytes, raw_length: int, codec: Codec) -> list[FrameRef | None]:
        """Seal and store one frame in every live target; None for a target that was dropped."""
        refs: list[FrameRef | None] = []
        for target, packs in self._packs:
            if target.error is not None:
                refs.append(None)
                continue
            try:
                refs.append(packs.append(payload, raw_length=raw_length, codec=codec))
            except SeawallError as error:
                self._fan_out.fail(target, error)
                refs.append(None)
        return refs

    def seal(self) -> None:
        for target, packs in self._packs:
            self._fan_out.attempt(target, packs.seal)

    def close(self) -> None:
        for target, packs in self._packs:
            self._fan_out.attempt(target, packs.close)

    def abandon(self) -> None:
        for _, packs in self._packs:
            packs.abort()
