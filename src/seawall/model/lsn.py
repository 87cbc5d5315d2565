"""Positions in the write-ahead log (PostgreSQL: "WAL Internals"; src/include/access/xlogdefs.h)."""

from __future__ import annotations

import re

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


class Lsn(int):
    """A byte position in the WAL, 0 to 2**64 - 1, shown as PostgreSQL does (``16/B374D848``).

    An ``int``, so it compares and subtracts to byte counts without ceremony.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Read ``X/Y`` in hexadecimal. Raises ValueError for anything else."""
        match = _LSN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not an LSN: {text!r} (expected two hexadecimal numbers, like 16/B374D848)")
        return cls((int(match[1], 16) << 32) | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({self})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)
