"""What a commit object says: a complete backup and all facts about it, or that it was aborted.

Everything that a recovery needs besides file content and WAL is in here, so that one small object tells
whether a backup fits, without its manifest. JSON, for people with a shell and ``seawall`` gone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from seawall.model.lsn import Lsn
from seawall.repository.errors import FrameDamaged


class ManifestRef(msgspec.Struct, frozen=True):
    """Which manifest is the backup's: its size, where its index begins, and the BLAKE3 of all its bytes."""

    size: int
    index_offset: int
    hash: str


class TablespaceRecord(msgspec.Struct, frozen=True):
    """A tablespace as it was at the source; ``location`` is the target of ``pg_tblspc/OID``."""

    oid: int
    name: str
    location: str


class CorruptFile(msgspec.Struct, frozen=True):
    """A relation file with pages whose checksum did not match at the source; its entry lists the blocks."""

    path: str
    relation: str
    block_count: int


class ClusterNeeds(msgspec.Struct, frozen=True):
    """What a machine must offer to run a copy. ``extensions`` maps ``name version`` to the databases with it."""

    libraries: tuple[str, ...] = ()
    extensions: dict[str, list[str]] = {}
    locales: tuple[str, ...] = ()


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One complete backup. Fields may be added within a format version; readers ignore unknown ones."""

    id: str
    cluster: str
    system_identifier: int
    type: str = "full"
    parent: str | None = None
    started_at: datetime
    stopped_at: datetime
    start_lsn: Lsn
    stop_lsn: Lsn
    timeline: int
    start_wal: str
    stop_wal: str
    epoch: int = 1
    timeline_history: str = ""
    """The text of the timeline's history file; empty for timeline 1."""
    pg_version_num: int
    catalog_version: int = 0
    page_bytes: int = 8192
    segment_bytes: int = 1 << 30
    """Size of a relation segment file."""
    wal_segment_bytes: int = 16 << 20
    has_checksums: bool = False
    backup_label: bytes = b""
    tablespace_map: bytes = b""
    """Both files as the server gave them, byte for byte (base64 in the JSON); empty where there is none."""
    control_file: bytes = b""
    """``global/pg_control``, read after everything else and restored after everything else."""
    data_directory: str = ""
    """Where the cluster was, as a real path; a tablespace inside it is restored inside."""
    tablespaces: tuple[TablespaceRecord, ...] = ()
    external_paths: tuple[str, ...] = ()
    """Configuration from outside the data directory: entries ``.seawall-config/N/…``, N counting from 0."""
    raw_bytes: int = 0
    stored_bytes: int = 0
    file_count: int = 0
    pack_count: int = 0
    corrupt: tuple[CorruptFile, ...] = ()
    needs: ClusterNeeds = ClusterNeeds()
    plan: str = ""
    seawall_version: str = ""
    notes: tuple[str, ...] = ()
    manifest: ManifestRef = ManifestRef(0, 0, "")


class AbortedBackup(msgspec.Struct, frozen=True):
    """The mark at a commit key which says that this backup will never exist."""

    at: datetime
    reason: str


class _Commit(msgspec.Struct, frozen=True, omit_defaults=True):
    backup: BackupRecord | None = None
    aborted: AbortedBackup | None = None


def _to_builtin(value: object) -> object:
    if isinstance(value, Lsn):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no part of a record")


def _from_builtin(wanted: type, value: Any) -> object:
    if wanted is Lsn and isinstance(value, str):
        return Lsn.parse(value)
    raise ValueError(f"expected {wanted.__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_to_builtin, order="deterministic")
_decoder = msgspec.json.Decoder(_Commit, dec_hook=_from_builtin)


def encode_commit(outcome: BackupRecord | AbortedBackup) -> bytes:
    """Return the payload of a commit object."""
    if isinstance(outcome, BackupRecord):
        return _encoder.encode(_Commit(backup=outcome))
    return _encoder.encode(_Commit(aborted=outcome))


def decode_commit(payload: bytes, key: str) -> BackupRecord | AbortedBackup:
    """Read the payload of the commit object at ``key``. Raises FrameDamaged."""
    try:
        commit = _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError) as error:
        raise FrameDamaged(f"{key} holds no commit: {error}", object=key) from error
    outcome = commit.backup or commit.aborted
    if outcome is None or (commit.backup and commit.aborted):
        raise FrameDamaged(
            f"{key} says neither that a backup is complete nor that it was aborted", object=key
        )
    return outcome
