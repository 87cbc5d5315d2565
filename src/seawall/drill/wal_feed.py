"""Hand WAL into the isolated server: it asks by a file, and an answer is put beside it.

The server can reach neither store nor keys, and must not: so its ``restore_command`` is a few words of shell that wait
in a folder. Out here the tool that owns the archive is asked, as whoever holds the drill. What is handed in is looked
through first: replaying the creation of a tablespace would link the copy to a live server's folder.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from seawall.drill.errors import DrillUnsafe
from seawall.drill.isolation import Isolation
from seawall.model.errors import SeawallError

Fetch = Callable[[str, Path], bool]
"""Put the WAL file of that name there; return False where the archive has none. Raises SeawallError for all else."""

Inspect = Callable[[str, Path], None]
"""Look at a segment before it is handed in. Raises DrillUnsafe."""

_NAME = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history")
_POLL_S = 0.01
_SERVER_POLL_S = "0.02"


@dataclass(slots=True)
class Fed:
    """What was handed in."""

    byte_count: int = 0
    segments: int = 0
    absent: list[str] = field(default_factory=list)
    """Segments that the archive was asked for and had not."""
    error: SeawallError | None = None


class WalFeed:
    """Answers the server's requests until it is closed. Use as a context manager."""

    def __init__(
        self, folder: Path, isolation: Isolation, fetch: Fetch, inspect: Inspect | None = None
    ) -> None:
        self.fed = Fed()
        self._inside, self._outside = folder / "wal", folder / "fetched"
        self._isolation, self._fetch, self._inspect = isolation, fetch, inspect
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="drill-wal", daemon=True)

    @property
    def restore_command(self) -> str:
        """The server's side. 126 and above end recovery instead of promoting with a hole."""
        place = shlex.quote(str(self._inside)).replace("%", "%%")
        return (
            f"cd {place} && : > want/%f && while [ -e want/%f ]; do sleep {_SERVER_POLL_S}; done && "
            f'if [ -e have/%f ]; then cd "$OLDPWD" && exec mv {place}/have/%f "%p"; '
            "elif [ -e none/%f ]; then rm none/%f; exit 1; fi; exit 126"
        )

    def __enter__(self) -> WalFeed:
        owner = (self._isolation.user.uid, self._isolation.user.gid)
        self._outside.mkdir(mode=0o700)
        for name in ("", "want", "have", "none"):
            (self._inside / name).mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(self._inside / name, *owner)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._is_over.wait(_POLL_S):
            for name in sorted(os.listdir(self._inside / "want")):
                self._answer(name)
                (self._inside / "want" / name).unlink(missing_ok=True)

    def _answer(self, name: str) -> None:
        """Lay the answer ready; none at all means an error, and ends recovery."""
        if not _NAME.fullmatch(name):
            (self._inside / "none" / name).touch()  # .backup and .partial files: nobody needs them
            return
        held = self._outside / name
        try:
            if not self._fetch(name, held):
                self.fed.absent += [name] if len(name) == 24 else []
                (self._inside / "none" / name).touch()
                return
            if self._inspect is not None and len(name) == 24:
                self._inspect(name, self._outside)
            self._hand_in(held, name)
        except SeawallError as error:
            self.fed.error = self.fed.error or error
        except OSError as error:
            self.fed.error = self.fed.error or DrillUnsafe(
                f"{name} could not be handed to the server: {error.strerror}",
                hint="look at the scratch folder's disk",
            )

    def _hand_in(self, held: Path, name: str) -> None:
        """Copy it under a name of ours and rename it: what lies in there is the server's to change, links too."""
        ready = self._outside / ".ready"
        ready.unlink(missing_ok=True)
        with open(held, "rb") as source, open(ready, "xb") as copy:
            while chunk := source.read(1 << 20):
                copy.write(chunk)
        if os.geteuid() == 0:
            os.chown(ready, self._isolation.user.uid, self._isolation.user.gid)
        if len(name) == 24:
            self.fed.byte_count += held.stat().st_size
            self.fed.segments += 1
            self._keep_two(name)
        os.rename(ready, self._inside / "have" / name)

    def _keep_two(self, name: str) -> None:
        """Keep this segment and the one before: a record may begin in one and end in the other."""
        segments = sorted(
            entry for entry in os.listdir(self._outside) if re.fullmatch(r"[0-9A-F]{24}", entry)
        )
        for old in segments[: max(0, segments.index(name) - 1)]:
            (self._outside / old).unlink()
