"""Give the copy of a cluster an identity of its own, as no program of PostgreSQL does."""

from __future__ import annotations

from seawall.postgres.files.control_file import crc32c


def with_system_identifier(raw: bytes, system_identifier: int) -> bytes:
    """Return the bytes of a ``pg_control`` for another system identifier, with a valid checksum.

    The checksum ends the structure, whose length differs by version: it is where the old one fits.
    """
    at = next(at for at in range(200, 512, 4) if crc32c(raw[:at]).to_bytes(4, "little") == raw[at : at + 4])
    changed = system_identifier.to_bytes(8, "little") + raw[8:at]
    return changed + crc32c(changed).to_bytes(4, "little") + raw[at + 4 :]
