"""WAL that is kept: by replication slots, whose promises fill disks and break, and by the room that there is."""

from __future__ import annotations

from datetime import timedelta

from seawall.audit.facts import ClusterFacts
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.audit.rules.scope import change, on_own_server, on_server
from seawall.model.fact import known
from seawall.model.units import format_bytes, format_duration
from seawall.postgres.health.facts import ServerHealth, SlotState

_ABANDONED_BYTES = 64 << 20
"""What an inactive slot may hold back before it counts: a standby that restarts is no fault."""
_MUCH_BYTES = 1 << 30
_ENOUGH_ROOM_S = 24 * 3600.0
"""An archive that fails in the evening is seen in the morning."""
_ABANDONED_AFTER = timedelta(hours=1)


def _without_cap(server: ServerHealth) -> Verdict:
    slots = known(server.slots)
    if not slots:
        return not_applicable("there are no replication slots")
    limit_mb = server.settings.number("max_slot_wal_keep_size")
    if limit_mb >= 0:
        return passed(f"slots keep at most {format_bytes(limit_mb << 20)} of WAL")
    idle_limit = server.settings.values.get("idle_replication_slot_timeout", "0")
    if idle_limit not in ("", "0"):
        return passed(f"idle slots are given up after {idle_limit} s (idle_replication_slot_timeout)")
    return failed(
        f"{len(slots)} replication slot(s) may keep WAL without limit: one consumer that stops fills the disk, "
        "and the server stops with it",
        evidence=["max_slot_wal_keep_size = -1", *(f"slot {slot.name} ({slot.kind})" for slot in slots[:5])],
        remedy=change(server, "max_slot_wal_keep_size", "50GB")
        + "   -- less than what the disk has to spare",
    )


def _abandoned(server: ServerHealth) -> Verdict:
    slots = known(server.slots)
    if not slots:
        return not_applicable("there are no replication slots")
    left = [slot for slot in slots if _is_abandoned(slot, server)]
    if not left:
        return passed(f"{len(slots)} slot(s) are in use or hold next to nothing back")
    held = max(slot.retained_bytes or 0 for slot in left)
    return failed(
        f"{len(left)} slot(s) are inactive and hold back up to {format_bytes(held)} of WAL",
        evidence=[_shown(slot, server) for slot in left],
        severity=Severity.HIGH if held >= _MUCH_BYTES else None,
        remedy=f"bring its consumer back, or: SELECT pg_drop_replication_slot('{left[0].name}')",
    )


def _is_abandoned(slot: SlotState, server: ServerHealth) -> bool:
    """By what it holds back, and by its time where the server keeps that; never by age alone on an idle server."""
    if slot.is_active or not slot.retained_bytes or _is_lost(slot):
        return False
    if slot.retained_bytes >= _ABANDONED_BYTES:
        return True
    since = slot.inactive_since
    idle_for = server.identity.observed_at - since if since is not None else timedelta(0)
    return idle_for >= _ABANDONED_AFTER and slot.retained_bytes >= known(server.wal).segment_bytes


def _lost(server: ServerHealth) -> Verdict:
    slots = known(server.slots)
    if not slots:
        return not_applicable("there are no replication slots")
    lost = [slot for slot in slots if _is_lost(slot)]
    if not lost:
        return passed("every slot still has the WAL that its consumer needs")
    return failed(
        f"{len(lost)} slot(s) have lost WAL that their consumer needs: it can't continue, and must be built anew",
        evidence=[_shown(slot, server) for slot in lost],
        remedy=f"rebuild its consumer, then: SELECT pg_drop_replication_slot('{lost[0].name}')",
    )


def _is_lost(slot: SlotState) -> bool:
    return slot.wal_status == "lost" or slot.invalidation is not None


def _little_room(server: ServerHealth) -> Verdict:
    host = known(server.host)
    if host.wal_free_bytes is None:
        return cannot_tell("the free space beside pg_wal can't be read", "look yourself: df PG_WAL")
    rate = known(known(server.wal).bytes_per_s)
    free = format_bytes(host.wal_free_bytes)
    if rate <= 0:
        return passed(f"{free} are free beside the WAL")
    hours_s = host.wal_free_bytes / rate
    shown = [f"{free} free at {host.wal_directory}", f"{format_bytes(rate * 3600)} of WAL an hour on average"]
    if hours_s >= _ENOUGH_ROOM_S:
        return passed(f"there is room for {format_duration(hours_s)} of WAL", evidence=shown)
    return failed(
        f"the disk of pg_wal is full {format_duration(hours_s)} after the archive or a standby stops taking WAL",
        evidence=shown,
    )


def _shown(slot: SlotState, server: ServerHealth) -> str:
    parts = [f"slot {slot.name} ({slot.kind}{', database ' + slot.database if slot.database else ''})"]
    if slot.retained_bytes is not None:
        parts.append(f"holds {format_bytes(slot.retained_bytes)}")
    if slot.inactive_since is not None:
        idle_s = (server.identity.observed_at - slot.inactive_since).total_seconds()
        parts.append(f"inactive for {format_duration(max(0.0, idle_s))}")
    if _is_lost(slot):
        parts.append(f"lost ({slot.invalidation or slot.wal_status})")
    return ", ".join(parts)


_INSATIABLE = Story(
    '"The insatiable Postgres replication slot": a slot whose consumer only watched a quiet table held back '
    "the WAL of the "
    "whole server until the disk was full (G. Morling, 2022).",
    "https://www.morling.dev/blog/insatiable-postgres-replication-slot/",
)

RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "wal-slot-without-cap",
        Severity.HIGH,
        "Replication slots may keep WAL without limit",
        "A slot keeps WAL for a consumer that is away. Without a cap the consumer's outage becomes the primary's.",
        _INSATIABLE,
        "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf()",
        on_server(_without_cap),
    ),
    Rule(
        "wal-slot-abandoned",
        Severity.MEDIUM,
        "A replication slot is abandoned",
        "Nobody reads it, and it holds back WAL and old rows. After a failover its twin is missing on the new primary.",
        _INSATIABLE,
        "SELECT slot_name, active, restart_lsn FROM pg_replication_slots; SELECT pg_drop_replication_slot('…')",
        on_server(_abandoned),
    ),
    Rule(
        "wal-slot-lost",
        Severity.HIGH,
        "A replication slot has lost its WAL",
        "The standby or subscriber behind it is cut off: it is not a way to recover any more, and looks like one.",
        Story(
            "Patroni issues 1056 and 1749: slots that were recreated went on from a later position, and the "
            "changes between "
            "were skipped without a word.",
            "https://github.com/patroni/patroni/issues/1749",
        ),
        "rebuild the consumer, then drop the slot",
        on_server(_lost),
    ),
    Rule(
        "wal-little-room",
        Severity.MEDIUM,
        "The disk of pg_wal is full within a day",
        "WAL that nobody takes stays. When its disk is full the server stops, and a full disk is a bad place for "
        "a recovery.",
        Story(
            "pgBackRest issue 2629: one segment that could not be archived, and pg_wal filled the disk until the "
            "server "
            "stopped.",
            "https://github.com/pgbackrest/pgbackrest/issues/2629",
        ),
        "enlarge the file system of pg_wal, or give it one of its own",
        on_own_server("the provider grows the storage", _little_room),
    ),
)
