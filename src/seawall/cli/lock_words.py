"""An object lock in words and as fields, alike wherever a command shows one."""

from __future__ import annotations

from seawall.model.units import format_duration
from seawall.storage.protocol import LockState, ObjectLock


def describe_lock(lock: ObjectLock) -> str:
    """Return the answer and what it rests on, as a part of a sentence."""
    if lock.state is LockState.UNKNOWN:
        return f"cannot tell whether objects are locked: {lock.reason}"
    if lock.state is LockState.NO:
        return f"no object lock: {lock.reason}"
    if lock.retention_s is None:
        return "object lock is on, but without a default retention it holds nothing"
    return f"object lock: {summarize_lock(lock)} from each write"


def summarize_lock(lock: ObjectLock) -> str:
    """Return the answer alone, for a table."""
    if lock.state is LockState.UNKNOWN:
        return "cannot tell"
    if lock.state is LockState.NO:
        return "no"
    if lock.retention_s is None:
        return "on, holds nothing"
    return f"{lock.mode or 'mode unknown'}, {format_duration(lock.retention_s)}"


def lock_fields(lock: ObjectLock) -> dict[str, object]:
    """Return the lock as ``--json`` shows it (docs/json.md)."""
    return {
        "state": lock.state.value,
        "mode": lock.mode,
        "retention_s": lock.retention_s,
        "versioned": lock.is_versioned,
        "reason": lock.reason or None,
        "remedy": lock.remedy or None,
    }
