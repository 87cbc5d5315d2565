"""The names of objects: pure functions, and the only place that spells them (docs/format.md, "Keys")."""

from __future__ import annotations

import os
import re
from datetime import datetime

from seawall.repository.errors import NameInvalid

HEADER_KEY = "seawall.json"
KEYS_PREFIX = "keys/"
CLUSTERS_PREFIX = "clusters/"
LEASES_PREFIX = "leases/"
EVIDENCE_PREFIX = "evidence/"
ENTRY_DIGITS = 6

_CLUSTER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_BACKUP_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


def check_cluster_name(name: str) -> str:
    """Return ``name``. Raises NameInvalid unless it can be part of a key."""
    if not _CLUSTER.fullmatch(name):
        raise NameInvalid(
            f"not a cluster name: {name!r}",
            hint="use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit",
        )
    return name


def check_ledger_name(name: str) -> str:
    """Return ``name``. Raises NameInvalid unless it can be part of a key, by the rules of a cluster's name."""
    if not _CLUSTER.fullmatch(name):
        raise NameInvalid(
            f"not a ledger's name: {name!r}",
            hint="use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit",
        )
    return name


def check_backup_id(backup_id: str) -> str:
    """Return ``backup_id``. Raises NameInvalid."""
    if not is_backup_id(backup_id):
        raise NameInvalid(
            f"not a backup id: {backup_id!r}",
            hint="ids look like 20261125T104107Z-3fa9c1; see `seawall list`",
        )
    return backup_id


def is_backup_id(text: str) -> bool:
    return _BACKUP_ID.fullmatch(text) is not None


def new_backup_id(started_at: datetime) -> str:
    """Return a fresh id; the random part keeps two starts of one second apart."""
    return f"{started_at:%Y%m%dT%H%M%SZ}-{os.urandom(3).hex()}"


def slot_key(slot: str) -> str:
    return f"{KEYS_PREFIX}{slot}.json"


def cluster_prefix(cluster: str) -> str:
    return f"{CLUSTERS_PREFIX}{check_cluster_name(cluster)}/"


def system_prefix(cluster: str, system_identifier: int) -> str:
    return f"{cluster_prefix(cluster)}{system_identifier}/"


def term_prefix(cluster: str) -> str:
    return f"{cluster_prefix(cluster)}term/"


def term_key(cluster: str, number: int) -> str:
    return f"{term_prefix(cluster)}{number:0{ENTRY_DIGITS}d}"


def backups_prefix(cluster: str, system_identifier: int) -> str:
    """Where the packs and manifests of all backups are, also of dead ones."""
    return f"{system_prefix(cluster, system_identifier)}backups/"


def backup_prefix(cluster: str, system_identifier: int, backup_id: str) -> str:
    return f"{backups_prefix(cluster, system_identifier)}{check_backup_id(backup_id)}/"


def new_pack_name() -> str:
    return os.urandom(16).hex()


def pack_key(cluster: str, system_identifier: int, backup_id: str, pack: str) -> str:
    return f"{backup_prefix(cluster, system_identifier, backup_id)}pack/{pack}"


def manifest_key(cluster: str, system_identifier: int, backup_id: str) -> str:
    return f"{backup_prefix(cluster, system_identifier, backup_id)}manifest"


def commits_prefix(cluster: str, system_identifier: int) -> str:
    return f"{system_prefix(cluster, system_identifier)}commits/"


def commit_key(cluster: str, system_identifier: int, backup_id: str) -> str:
    return f"{commits_prefix(cluster, system_identifier)}{check_backup_id(backup_id)}"


def wal_prefix(cluster: str, system_identifier: int) -> str:
    return f"{system_prefix(cluster, system_identifier)}wal/"


def diverged_prefix(cluster: str, system_identifier: int) -> str:
    return f"{system_prefix(cluster, system_identifier)}diverged/"


def lineage_folder(epoch: int, timeline: int) -> str:
    """Return the folder of one epoch's files of one timeline, without slashes."""
    return f"{epoch:08X}-{timeline:08X}"


def wal_key(cluster: str, system_identifier: int, epoch: int, timeline: int, name: str) -> str:
    return f"{wal_prefix(cluster, system_identifier)}{lineage_folder(epoch, timeline)}/{name}"


def diverged_key(cluster: str, system_identifier: int, epoch: int, timeline: int, name: str) -> str:
    return f"{diverged_prefix(cluster, system_identifier)}{lineage_folder(epoch, timeline)}/{name}"


def lease_prefix(cluster: str, backup_id: str) -> str:
    return f"{LEASES_PREFIX}{check_cluster_name(cluster)}/{check_backup_id(backup_id)}/"


def lease_key(cluster: str, backup_id: str, number: int) -> str:
    return f"{lease_prefix(cluster, backup_id)}{number:0{ENTRY_DIGITS}d}"


def ledger_prefix(ledger: str) -> str:
    return f"{EVIDENCE_PREFIX}{check_ledger_name(ledger)}/"


def evidence_name(number: int) -> str:
    """Return the name of one entry in the folder of its ledger, wherever a copy of that may be."""
    return f"{number:0{ENTRY_DIGITS}d}.json"
