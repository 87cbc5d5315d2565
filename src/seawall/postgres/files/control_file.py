"""Read ``global/pg_control``: the server's own summary of its state and of how it was built.

Everything that must not be assumed about a cluster is in it: page, relation-segment and WAL-segment
sizes, checksums, system identifier, timeline, and the settings that recovery demands. The file is
8 KiB, of which the server writes one sector that it trusts to be atomic; it is protected by a
CRC-32C, and a read beside a write can still be torn, so a failed check is read again.

Layouts: ``src/include/catalog/pg_control.h`` of 14 to 18 on 64-bit little-endian machines.
"""

from __future__ import annotations

import enum
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seawall.model.lsn import Lsn
from seawall.postgres.errors import ControlFileInvalid

CONTROL_FILE_PATH = "global/pg_control"
CONTROL_FILE_BYTES = 8192
TORN_READ_ATTEMPTS = 10
TORN_READ_PAUSE_S = 0.02

_CHECKPOINT = "QII?iQIIIIIIIq3I4x"
"""CheckPoint. ``wal_level`` (17) lies where 14 to 16 have padding, so one layout serves all."""
_BEFORE_NONCE = f"@QIIiqQ{_CHECKPOINT}QQIQQ?i?5i?Id8I?I"
_LAYOUTS = {
    1300: _BEFORE_NONCE + "32sI",
    1700: _BEFORE_NONCE + "32sI",
    1800: _BEFORE_NONCE + "?32sI",
}
_FIELD_NAMES = """
    system_identifier pg_control_version catalog_version state modified_at checkpoint_lsn
    redo_lsn timeline previous_timeline full_page_writes checkpoint_wal_level next_xid next_oid
    next_multi next_multi_offset oldest_xid oldest_xid_database oldest_multi oldest_multi_database
    checkpoint_at oldest_commit_ts_xid newest_commit_ts_xid oldest_active_xid
    unlogged_lsn min_recovery_lsn min_recovery_timeline backup_start_lsn backup_end_lsn
    is_backup_end_required wal_level wal_log_hints max_connections max_worker_processes
    max_wal_senders max_prepared_xacts max_locks_per_xact track_commit_timestamp max_align
    float_format block_bytes relation_segment_blocks wal_block_bytes wal_segment_bytes
    name_bytes index_columns toast_chunk_bytes large_object_chunk_bytes float8_by_value
    data_checksum_version
"""
"""The names of what both layouts begin with, in order."""
_MAJORS = {202107181: 14, 202209061: 15, 202307071: 16, 202406281: 17, 202506291: 18}
"""Catalog version of each release (catversion.h), frozen at its first beta's end."""
_CHECKPOINT_OFFSET = struct.calcsize("@QIIiq")
_NOWHERE = 0xDEAD
"""A position in the very first segment, which no cluster has ever kept."""
_FLOAT_FORMAT = 1234567.0
_CRC32C_POLYNOMIAL = 0x82F63B78


class ClusterState(enum.Enum):
    """DBState, in the words of ``pg_controldata``."""

    STARTUP = "starting up"
    SHUT_DOWN = "shut down"
    SHUT_DOWN_IN_RECOVERY = "shut down in recovery"
    SHUTTING_DOWN = "shutting down"
    IN_CRASH_RECOVERY = "in crash recovery"
    IN_ARCHIVE_RECOVERY = "in archive recovery"
    IN_PRODUCTION = "in production"


@dataclass(frozen=True, slots=True)
class ControlFile:
    """What ``pg_control`` says. Times are Unix seconds; positions of 0 mean "none"."""

    major: int
    system_identifier: int
    pg_control_version: int
    catalog_version: int
    state: ClusterState
    modified_at: int
    checkpoint_lsn: Lsn
    redo_lsn: Lsn
    timeline: int
    previous_timeline: int
    full_page_writes: bool
    next_xid: int
    next_oid: int
    checkpoint_at: int
    min_recovery_lsn: Lsn
    min_recovery_timeline: int
    backup_start_lsn: Lsn
    backup_end_lsn: Lsn
    is_backup_end_required: bool
    wal_level: str
    wal_log_hints: bool
    max_connections: int
    max_worker_processes: int
    max_wal_senders: int
    max_prepared_xacts: int
    max_locks_per_xact: int
    track_commit_timestamp: bool
    block_bytes: int
    relation_segment_blocks: int
    wal_block_bytes: int
    wal_segment_bytes: int
    data_checksum_version: int

    @property
    def relation_segment_bytes(self) -> int:
        """The size at which a relation's file is continued in the next one."""
        return self.relation_segment_blocks * self.block_bytes

    @property
    def has_checksums(self) -> bool:
        return self.data_checksum_version != 0


def read_control_file(data_directory: Path) -> ControlFile:
    """Read the control file of a data directory, again while a concurrent write tears it.

    Raises:
        ControlFileInvalid: it is missing, stays damaged, or is of an unknown version.
    """
    return parse_control_file(read_control_bytes(data_directory))


def read_control_bytes(data_directory: Path) -> bytes:
    """Return the file's bytes as they were read whole: what a backup stores. Raises as above."""
    path = data_directory / CONTROL_FILE_PATH
    for attempt in range(TORN_READ_ATTEMPTS):
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ControlFileInvalid(
                f"{path} can't be read: {error.strerror}",
                hint="is this a PostgreSQL data directory, and may this user read it?",
                path=str(path),
            ) from error
        try:
            parse_control_file(raw)
            return raw
        except ControlFileInvalid as error:
            if attempt + 1 == TORN_READ_ATTEMPTS:
                error.fields["path"] = str(path)
                raise
        time.sleep(TORN_READ_PAUSE_S)
    raise AssertionError("unreachable: the last attempt returns or raises")


def parse_control_file(raw: bytes) -> ControlFile:
    """Take a control file's bytes apart. Raises ControlFileInvalid if they are damaged or unknown."""
    if len(raw) < 512:
        raise _invalid(f"has {len(raw)} bytes instead of {CONTROL_FILE_BYTES}")
    control_version = int.from_bytes(raw[8:12], "little")
    layout = _LAYOUTS.get(control_version)
    if layout is None:
        raise _invalid(_unknown_version(raw, control_version), control_version=control_version)
    length = struct.calcsize(layout)
    values = struct.unpack_from(layout, raw)
    if crc32c(raw[: length - 4]) != values[-1]:
        raise _invalid("fails its checksum (CRC-32C)")
    return _from_values(values)


def with_unusable_checkpoint(raw: bytes) -> bytes:
    """Return the bytes of a control file whose checkpoint lies nowhere, with a valid checksum.

    Recovery from a backup begins where ``backup_label`` says and never reads this field; a server that is
    started after somebody deleted the label does, and would come up silently broken. Now it can't.
    """
    length = struct.calcsize(_LAYOUTS[parse_control_file(raw).pg_control_version])
    at = _CHECKPOINT_OFFSET
    changed = raw[:at] + _NOWHERE.to_bytes(8, "little") + raw[at + 8 : length - 4]
    return changed + crc32c(changed).to_bytes(4, "little") + raw[length:]


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of a few hundred bytes; table-driven, not for bulk data."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_table_entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_CRC32C_POLYNOMIAL if byte & 1 else 0)
    return byte


_CRC_TABLE = [_crc_table_entry(byte) for byte in range(256)]
_STATES = tuple(ClusterState)
_WAL_LEVELS = ("minimal", "replica", "logical")


def _from_values(values: tuple[object, ...]) -> ControlFile:
    field: dict[str, Any] = dict(zip(_FIELD_NAMES.split(), values, strict=False))
    if field["float_format"] != _FLOAT_FORMAT:
        raise _invalid("was written by a machine of another architecture")
    catalog_version = field["catalog_version"]
    if catalog_version not in _MAJORS:
        raise _invalid(f"is of an unknown release (catalog version {catalog_version})")
    return ControlFile(
        major=_MAJORS[catalog_version],
        system_identifier=field["system_identifier"],
        pg_control_version=field["pg_control_version"],
        catalog_version=catalog_version,
        state=_STATES[field["state"]],
        modified_at=field["modified_at"],
        checkpoint_lsn=Lsn(field["checkpoint_lsn"]),
        redo_lsn=Lsn(field["redo_lsn"]),
        timeline=field["timeline"],
        previous_timeline=field["previous_timeline"],
        full_page_writes=bool(field["full_page_writes"]),
        next_xid=field["next_xid"],
        next_oid=field["next_oid"],
        checkpoint_at=field["checkpoint_at"],
        min_recovery_lsn=Lsn(field["min_recovery_lsn"]),
        min_recovery_timeline=field["min_recovery_timeline"],
        backup_start_lsn=Lsn(field["backup_start_lsn"]),
        backup_end_lsn=Lsn(field["backup_end_lsn"]),
        is_backup_end_required=bool(field["is_backup_end_required"]),
        wal_level=_WAL_LEVELS[field["wal_level"]],
        wal_log_hints=bool(field["wal_log_hints"]),
        max_connections=field["max_connections"],
        max_worker_processes=field["max_worker_processes"],
        max_wal_senders=field["max_wal_senders"],
        max_prepared_xacts=field["max_prepared_xacts"],
        max_locks_per_xact=field["max_locks_per_xact"],
        track_commit_timestamp=bool(field["track_commit_timestamp"]),
        block_bytes=field["block_bytes"],
        relation_segment_blocks=field["relation_segment_blocks"],
        wal_block_bytes=field["wal_block_bytes"],
        wal_segment_bytes=field["wal_segment_bytes"],
        data_checksum_version=field["data_checksum_version"],
    )


def _unknown_version(raw: bytes, control_version: int) -> str:
    if int.from_bytes(raw[8:12], "big") in _LAYOUTS:
        return "was written by a big-endian machine, which Seawall does not support"
    return f"is of version {control_version}, which Seawall does not know (it knows PostgreSQL 14 to 18)"


def _invalid(problem: str, **fields: object) -> ControlFileInvalid:
    return ControlFileInvalid(
        f"pg_control {problem}",
        hint="pg_controldata of the server's own version shows what it makes of the file",
        **fields,
    )
