"""Who can destroy the backups: locks of the store, and what the host's own account may delete."""

from __future__ import annotations

from collections.abc import Iterator

from seawall.audit.facts import ClusterFacts
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.model.fact import Unknown, known
from seawall.model.units import format_duration
from seawall.storage.protocol import LockState, ObjectLock

_LONGER = "aws s3api put-object-lock-configuration --bucket BUCKET --object-lock-configuration …"


def _locks(facts: ClusterFacts) -> Iterator[tuple[str, ObjectLock | Unknown]]:
    for name in known(facts.plan).repositories_of(facts.name):
        state = facts.repositories.get(name, Unknown(f"repository {name} was not asked"))
        yield name, state if isinstance(state, Unknown) else _known_lock(state.lock)


def _known_lock(lock: ObjectLock | Unknown) -> ObjectLock | Unknown:
    if isinstance(lock, Unknown) or lock.state is not LockState.UNKNOWN:
        return lock
    return Unknown(f"whether the store locks objects: {lock.reason}", lock.remedy)


def _holds(lock: ObjectLock) -> bool:
    return lock.state is LockState.YES and bool(lock.retention_s)


def _host_can_delete(facts: ClusterFacts) -> Verdict:
    locks = dict(_locks(facts))
    holding = [name for name, lock in locks.items() if not isinstance(lock, Unknown) and _holds(lock)]
    if holding:
        return passed(f"{holding[0]} refuses to delete what was written, whoever asks")
    for name, lock in locks.items():
        if isinstance(lock, Unknown):
            return cannot_tell(f"{name}: {lock.reason}", lock.needs)
    return failed(
        "no repository is locked: whoever takes over the server's host can delete the database and every backup of it",
        evidence=[_shown(name, lock) for name, lock in locks.items() if not isinstance(lock, Unknown)],
    )


def _shown(name: str, lock: ObjectLock) -> str:
    versions = {None: "", True: "; versioning is on", False: "; versioning is off"}[lock.is_versioned]
    return f"{name}: {lock.reason or 'a lock without a default retention'}{versions}"


def _lock_is_short(facts: ClusterFacts) -> Iterator[Verdict]:
    plan = known(facts.plan)
    for name, lock in _locks(facts):
        settings = plan.repositories[name]
        window_s = settings.retention.window_s if settings.retention else None
        wanted_s = max((value for value in (settings.lock_s, window_s) if value is not None), default=None)
        if wanted_s is None:
            yield not_applicable(f"the plan declares neither lock nor window for {name}", subject=name)
        elif isinstance(lock, Unknown):
            yield cannot_tell(f"{name}: {lock.reason}", lock.needs, subject=name)
        elif not _holds(lock):
            if settings.lock_s is None:
                yield not_applicable(f"{name} has no lock", subject=name)
            else:
                yield failed(
                    f"the plan declares a lock of {format_duration(settings.lock_s)} for {name}, and the store "
                    f"has none",
                    subject=name,
                    evidence=[lock.reason or "no default retention"],
                    remedy=lock.remedy,
                )
        elif (lock.retention_s or 0) < wanted_s:
            yield failed(
                f"{name} locks for {format_duration(lock.retention_s or 0)}, and {format_duration(wanted_s)} are "
                f"to be kept",
                subject=name,
                evidence=[f"{lock.mode or 'mode unknown'}, {lock.retention_s} s"],
            )
        else:
            yield passed(f"{name} locks for as long as is kept", subject=name)


def _lifecycle(facts: ClusterFacts) -> Iterator[Verdict]:
    plan = known(facts.plan)
    for name, lock in _locks(facts):
        url = plan.repositories[name].url
        if url.startswith("file:"):
            yield not_applicable(f"{name} is a folder", subject=name)
        elif isinstance(lock, Unknown):
            yield cannot_tell(f"{name}: {lock.reason}", lock.needs, subject=name)
        elif lock.expiring is None:
            yield cannot_tell(
                f"{name}: its bucket does not say whether it deletes live objects by their age",
                f"allow s3:GetLifecycleConfiguration, or look: aws s3api get-bucket-lifecycle-configuration --bucket "
                f"{url.split('/')[2]}   # no Expiration but of noncurrent versions",
                subject=name,
            )
        elif lock.expiring:
            yield failed(
                f"{name}'s bucket deletes live objects by their age",
                subject=name,
                evidence=list(lock.expiring),
            )
        else:
            yield passed(f"{name}'s bucket deletes no live object by its age", subject=name)


_LIFECYCLE_STORY = Story(
    "WAL-G issue 1869: a lifecycle policy removed the WAL between full backups after 30 days, and with it the "
    "use of the "
    "backups that were kept.",
    "https://github.com/wal-g/wal-g/issues/1869",
)

RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "access-host-can-delete",
        Severity.HIGH,
        "The server's host can delete its own backups",
        "An intruder deletes the backups first. A host that can write and delete can be made to delete everything.",
        Story(
            "Code Spaces, June 2014: an intruder with one account deleted machines, snapshots and off-site "
            "backups within "
            "a night; the company closed.",
            "https://en.wikipedia.org/wiki/Code_Spaces",
        ),
        "a bucket with object lock in COMPLIANCE mode and a default retention, as a second repository",
        _host_can_delete,
    ),
    Rule(
        "backup-lock-short",
        Severity.HIGH,
        "The lock is missing or shorter than what is to be kept",
        "What is unlocked while it is still needed can be deleted, by an intruder or by a mistake.",
        _LIFECYCLE_STORY,
        _LONGER,
        _lock_is_short,
    ),
    Rule(
        "backup-bucket-lifecycle",
        Severity.HIGH,
        "A lifecycle rule may delete live objects",
        "A rule that expires objects by age knows nothing about backups: it removes the oldest WAL and packs "
        "that a kept "
        "backup still needs.",
        _LIFECYCLE_STORY,
        "remove every Expiration rule on current objects; keep those on noncurrent versions",
        _lifecycle,
    ),
)
