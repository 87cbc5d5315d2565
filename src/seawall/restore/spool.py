"""A folder of fetched segments between the archive and PostgreSQL: filled ahead, taken by rename.

It lies beside the data directory, never inside ``pg_wal``, where stray files have broken pg_rewind
(WAL-G's documentation). A file appears under its name only when it is whole.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class Spool:
    """The spool of one restore; several processes may fill and take at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def put(self, name: str, content: bytes) -> None:
        """Add a file, whole or not at all. Two writers of one name had the same bytes."""
        temporary = self.folder / f".{name}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            temporary.write_bytes(content)
            os.rename(temporary, self.folder / name)
        finally:
            temporary.unlink(missing_ok=True)

    def take(self, name: str, destination: Path) -> bool:
        """Move ``name`` to ``destination``; False if it isn't there."""
        source = self.folder / name
        try:
            os.rename(source, destination)
        except FileNotFoundError:
            return False
        except OSError:
            # Another file system (a separate pg_wal). A copy that is cut short must not be mistaken for a
            # segment, so it gets its name last.
            partial = destination.with_name(destination.name + ".seawall-tmp")
            try:
                shutil.copyfile(source, partial)
                os.rename(partial, destination)
            except FileNotFoundError:
                return False
            source.unlink(missing_ok=True)
        return True
