"""A folder of fetched segments between the archive and PostgreSQL: filled ahead, taken by rename.

It lies beside the data directory, never inside ``pg_wal``, where stray files have broken pg_rewind
(WAL-G's documentation). A file appears under its name only when it is whole.

Nothing here is synced: that would cost more than fetching again. So a file may come back garbled after a loss
of power in mid-recovery, or from a disk that failed to write it, and PostgreSQL would take its first invalid
record for the end of the WAL and promote. Each file therefore has its hash beside it, and is taken only if it
is what was put.

Only ``os`` is imported: PostgreSQL starts a process for each file that is taken.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    StrPath = str | os.PathLike[str]

_SERVED = ".served"


class Spool:
    """The spool of one restore; several processes may fill and take at once.

    ``owner`` is whose server takes from it, where root fills it for somebody else.
    """

    def __init__(self, folder: StrPath, *, owner: tuple[int, int] | None = None) -> None:
        self.folder = os.fspath(folder)
        self._owner = owner

    def has(self, name: str) -> bool:
        return os.path.exists(self._place(name))

    def names(self) -> list[str]:
        """Return what is there whole."""
        return [name for name in os.listdir(self.folder) if not name.startswith(".")]

    def drop(self, name: str) -> None:
        """Remove ``name``; the archive still has it."""
        for entry in (name, _hash_name(name)):
            _remove(self._place(entry))

    def keep(self, names: Container[str]) -> None:
        """Remove all that is not in ``names``."""
        for name in self.names():
            if name not in names:
                self.drop(name)

    def note_served(self, name: str) -> None:
        """Remember that PostgreSQL is being given ``name``, wherever it comes from; before it is taken.

        For whoever fills the spool ahead; a note that can't be made must not keep PostgreSQL from its segment.
        """
        try:
            self._write(_SERVED, name.encode())
        except OSError:
            pass  # the feed then fetches what nobody needs any more

    def last_served(self) -> str | None:
        """Return what PostgreSQL was given last."""
        try:
            with open(self._place(_SERVED), encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Add a file, whole or not at all. Two writers of one name had the same bytes."""
        from blake3 import blake3

        self._write(_hash_name(name), blake3(content).digest())
        self._write(name, content)

    def give(self, name: str, destination: StrPath) -> bool:
        """Put ``name`` at ``destination``; False if it isn't there, or not whole any more (it is dropped then).

        The spool keeps it, as a second name of the same file: recovery reads the checkpoint's record first, then
        goes back to where redo begins, and asks again. Should the server ever write to its file, the hash tells.
        """
        source = self._place(name)
        if not os.path.exists(source):
            return False
        if not self._is_whole(name):
            self.drop(name)
            return False
        partial = f"{os.fspath(destination)}.seawall-tmp"
        try:
            try:
                os.link(source, partial)
            except FileNotFoundError:
                raise
            except OSError:
                # Another file system (a separate pg_wal). A copy that is cut short must not be mistaken for a
                # segment, so it gets its name last.
                import shutil

                shutil.copyfile(source, partial)
            os.rename(partial, destination)
            _remove(partial)  # rename(2) leaves it where the destination was this very file already
        except FileNotFoundError:
            return False
        return True

    def drop_before(self, name: str) -> None:
        """Remove what lies before ``name`` on its way: replay is past it."""
        for other in self.names():
            if other < name:
                self.drop(other)

    def _is_whole(self, name: str) -> bool:
        from blake3 import blake3

        try:
            with open(self._place(_hash_name(name)), "rb") as file:
                expected = file.read()
            return blake3().update_mmap(self._place(name)).digest() == expected
        except OSError:
            return False  # unreadable, or somebody else took it: the archive has it

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._place(f".{name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            with open(temporary, "wb") as file:
                file.write(content)
            if self._owner is not None:
                os.chown(temporary, *self._owner)
            os.rename(temporary, self._place(name))
        finally:
            _remove(temporary)

    def _place(self, name: str) -> str:
        return os.path.join(self.folder, name)


def _hash_name(name: str) -> str:
    return f".{name}.hash"


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # taken, renamed or removed by another process: gone is gone
