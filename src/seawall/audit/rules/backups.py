"""Backups: whether there are any, where they are, who can read them, and how far their WAL reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise

from seawall.audit.facts import ClusterFacts, KnownBackup
from seawall.audit.headline import has_key_elsewhere, unarchived_bytes
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.audit.rules.scope import is_managed
from seawall.model.fact import Unknown, known
from seawall.model.units import format_bytes, format_duration
from seawall.model.wal_name import SegmentName
from seawall.plan.crosscheck.schedules import starts_of
from seawall.plan.model import Ack, RepositoryPlan

_WEEK = timedelta(days=7)
_GRACE = timedelta(days=1)
_BEHIND_SEGMENTS = 2


def _none(facts: ClusterFacts) -> Verdict:
    if not facts.has_plan:
        if not isinstance(facts.primary, Unknown) and is_managed(facts):
            return cannot_tell(
                "the provider's own backups don't show over a connection",
                "aws rds describe-db-instances --query 'DBInstances[].[DBInstanceIdentifier,BackupRetentionPeriod]'",
            )
        return cannot_tell(
            "a server doesn't show its backups, and no plan says where they are",
            "a plan: seawall init URL, then: seawall audit --plan plan.yaml",
        )
    seen = {name: state for name, state in facts.repositories.items() if not isinstance(state, Unknown)}
    having = [f"{name}: {len(state.backups)} backup(s)" for name, state in seen.items() if state.backups]
    if having:
        return passed("there is a complete backup", evidence=having)
    for name, state in facts.repositories.items():
        if isinstance(state, Unknown):
            return cannot_tell(f"repository {name}: {state.reason}", state.needs)
    return failed(
        "no repository holds a complete backup of this cluster",
        evidence=[f"{name}: empty" for name in seen],
        remedy=f"seawall backup {facts.name}",
    )


def _newest(facts: ClusterFacts) -> KnownBackup | None:
    backups = [
        backup
        for state in facts.repositories.values()
        if not isinstance(state, Unknown)
        for backup in state.backups
    ]
    return max(backups, key=lambda backup: backup.stopped_at, default=None)


def _stale(facts: ClusterFacts) -> Verdict:
    schedule = facts.cluster_plan.schedule
    newest = _newest(facts)
    if newest is None:
        return not_applicable("there is no backup")
    crons = [cron for cron in (schedule.full, schedule.diff, schedule.incr) if cron]
    expected = min((_longest_pause(cron) for cron in crons), default=_WEEK)
    age = facts.now - newest.stopped_at
    promise = "the schedule" if crons else "a week, as no schedule says otherwise"
    shown = [f"newest: {newest.id}, ended {newest.stopped_at:%Y-%m-%d %H:%M:%S} UTC"]
    if age <= expected + _GRACE:
        return passed(f"the newest backup is {format_duration(age.total_seconds())} old", evidence=shown)
    return failed(
        f"the newest backup is {format_duration(age.total_seconds())} old, more than {promise} allows: "
        "a restore has to replay all WAL since then",
        evidence=shown,
        remedy=f"seawall backup {facts.name}; and see why the timer did not run",
    )


def _longest_pause(cron: str) -> timedelta:
    times = starts_of(cron)
    pauses = [after - before for before, after in pairwise(times)]
    return max(pauses, default=timedelta(days=35))


def _same_site(facts: ClusterFacts) -> Verdict:
    plan = known(facts.plan)
    home = plan.site_of_host(facts.cluster_plan.primary.host)
    repositories = plan.repositories_of(facts.name)
    shown = [f"primary: {home}", *(f"{name}: {settings.site}" for name, settings in repositories.items())]
    away = [name for name, settings in repositories.items() if settings.site != home]
    if away:
        return passed(f"repository {away[0]} is at another site", evidence=shown)
    return failed(
        f"every repository is in {home}, the primary's own site: what takes the site takes the backups",
        evidence=shown,
    )


def _one_copy(facts: ClusterFacts) -> Verdict:
    declared = known(facts.plan).repositories_of(facts.name)
    seen = {name: state for name, state in facts.repositories.items() if not isinstance(state, Unknown)}
    holding = [name for name, state in seen.items() if state.backups]
    if len(declared) < 2:
        return failed("there is one repository, so there is one copy of everything", evidence=list(declared))
    if len(holding) >= 2:
        return passed(f"{len(holding)} repositories hold backups", evidence=holding)
    unseen = [name for name in declared if name not in seen]
    if unseen:
        return cannot_tell(
            f"repository {unseen[0]} did not answer", f"seawall check; then look at {unseen[0]}"
        )
    return failed(
        f"of {len(declared)} repositories {len(holding)} hold(s) a backup",
        evidence=[f"{name}: {len(state.backups)} backup(s)" for name, state in seen.items()],
        remedy=f"seawall backup {facts.name}",
    )


def _each_repository(
    judge: Callable[[str, RepositoryPlan], Verdict],
) -> Callable[[ClusterFacts], Iterator[Verdict]]:
    """Return the rule that asks ``judge`` of every repository of the cluster."""

    def judged(facts: ClusterFacts) -> Iterator[Verdict]:
        for name, settings in known(facts.plan).repositories_of(facts.name).items():
            yield judge(name, settings)

    return judged


def _unencrypted(name: str, settings: RepositoryPlan) -> Verdict:
    if settings.is_encrypted:
        return passed(f"repository {name} is encrypted", subject=name)
    return failed(
        f"repository {name} is not encrypted: whoever reads the store reads the data",
        subject=name,
        evidence=[f"repositories.{name}.encryption: none", settings.url],
        remedy="make a new repository with keys: in place of encryption: none; seawall repository init, "
        f"seawall backup; then remove {name}",
    )


def _key_beside_data(facts: ClusterFacts) -> Iterator[Verdict]:
    for name, settings in known(facts.plan).repositories_of(facts.name).items():
        shown = [f"repositories.{name}.keys: {', '.join(str(key) for key in settings.keys)}"]
        if not settings.is_encrypted:
            yield not_applicable(f"repository {name} has no keys", subject=name)
        elif has_key_elsewhere(facts, name):
            yield passed(f"a key of {name} is kept elsewhere", subject=name, evidence=shown)
        else:
            yield failed(
                f"every key of {name} is on the machine that is to be recovered: lost together, nothing can be read",
                subject=name,
                evidence=shown,
                remedy=f"add escrow to repositories.{name}.keys, then: seawall key add; keep what it prints in a safe",
            )


def _unreachable(facts: ClusterFacts) -> Iterator[Verdict]:
    known(facts.plan)
    for name, state in facts.repositories.items():
        if isinstance(state, Unknown):
            yield failed(f"repository {name} can't be used: {state.reason}", subject=name, remedy=state.needs)
        else:
            yield passed(f"repository {name} opens with the plan's keys", subject=name)


def _behind(facts: ClusterFacts) -> Iterator[Verdict]:
    plan = known(facts.plan)
    server = known(facts.primary)
    wal = known(server.wal)
    finished = wal.last_finished
    for name, state in facts.repositories.items():
        if isinstance(state, Unknown):
            yield cannot_tell(f"repository {name}: {state.reason}", state.needs, subject=name)
            continue
        is_required = plan.acknowledgements(facts.name)[name] is not Ack.NONE
        archived = known(state.archived)
        shown = [
            f"the server finished {finished or 'no segment yet'}",
            f"{name} has {archived or 'no segment'}",
        ]
        if finished is None or (isinstance(archived, SegmentName) and archived.number >= finished.number):
            yield passed(f"{name} has all WAL that the server has finished", subject=name, evidence=shown)
            continue
        behind = finished.number - (archived.number if archived else 0)
        if archived is not None and behind <= _BEHIND_SEGMENTS and not is_required:
            yield passed(f"{name} follows {behind} segment(s) behind", subject=name, evidence=shown)
            continue
        lost = unarchived_bytes(state, wal)
        yield failed(
            f"{name} lacks WAL that the server has finished"
            + (
                f": {format_bytes(lost)} would be lost"
                if lost is not None
                else ": none of its timeline is there"
            ),
            subject=name,
            evidence=shown,
            severity=None if is_required else Severity.MEDIUM,
        )


def _gaps(facts: ClusterFacts) -> Iterator[Verdict]:
    known(facts.plan)
    for name, state in facts.repositories.items():
        if isinstance(state, Unknown):
            yield cannot_tell(f"repository {name}: {state.reason}", state.needs, subject=name)
            continue
        missing = known(state.gaps)
        if not missing:
            yield passed(f"no segment is missing in {name}", subject=name)
            continue
        yield failed(
            f"segments are missing in {name}: no moment after the first of them can be restored from it",
            subject=name,
            evidence=missing[:10],
        )


_OVH = Story(
    "OVHcloud Strasbourg, March 2021: customers whose backups lay in the burning data centre lost both. "
    "A court awarded damages to one of them (Bati Courtage) for exactly that.",
    "https://en.wikipedia.org/wiki/OVHcloud#2021_fire",
)
_GITLAB = Story(
    "GitLab, January 2017: of five ways to get the data back none worked when they were needed; the dumps had "
    "been failing for weeks, and the mails that said so were rejected.",
    "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
)

RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "backup-none",
        Severity.CRITICAL,
        "There is no backup",
        "A standby repeats a mistake within a second. Only a backup has what the data was before.",
        _GITLAB,
        "seawall backup",
        _none,
    ),
    Rule(
        "backup-stale",
        Severity.HIGH,
        "The newest backup is old",
        "Everything since the backup is replayed from WAL, at the speed of one process. The recovery time grows "
        "by the day.",
        _GITLAB,
        "seawall backup",
        _stale,
    ),
    Rule(
        "backup-same-site",
        Severity.CRITICAL,
        "Every copy is at the primary's site",
        "A site burns, floods, loses power or is locked away as a whole, backups included.",
        _OVH,
        "add a repository elsewhere: repositories: {far: {site: OTHER, url: s3://BUCKET, keys: […]}}",
        _same_site,
    ),
    Rule(
        "backup-one-copy",
        Severity.HIGH,
        "There is one copy of the backups",
        "One bucket, one account, one mistake in a lifecycle rule. Damage to the only copy is found when it is read.",
        Story(
            "CloudNordic, August 2023: ransomware reached the servers, the primary and the secondary backups "
            "through one "
            "network, and nearly all customers lost everything.",
            "https://www.theregister.com/2023/08/23/ransomware_wipes_cloudnordic/",
        ),
        "add a second repository with another account or provider; one backup feeds both",
        _one_copy,
    ),
    Rule(
        "backup-unencrypted",
        Severity.HIGH,
        "Backups are stored unencrypted",
        "A backup is the whole database in a place that is looked after less well than the database.",
        Story(
            "Capital One, 2019: one over-permitted role read a hundred million customers' data from storage buckets.",
            "https://en.wikipedia.org/wiki/2019_Capital_One_data_breach",
        ),
        "repositories: {NAME: {keys: [file:/etc/seawall/shop.key, escrow]}}",
        _each_repository(_unencrypted),
    ),
    Rule(
        "backup-key-beside-data",
        Severity.CRITICAL,
        "The keys of the backups are only on the machine that they are to save",
        "Encryption without a key elsewhere makes the backups as lost as the server.",
        Story(
            "BorgBackup offers `key export` for one reason: without the key the repository can't be read, by "
            "anybody, and the key "
            "is where the data was unless somebody carried a copy away.",
            "https://borgbackup.readthedocs.io/en/stable/usage/key.html",
        ),
        "add escrow to the keys, then: seawall key add; print the recovery code and lock it away",
        _key_beside_data,
    ),
    Rule(
        "backup-repository-unusable",
        Severity.CRITICAL,
        "A repository can't be used",
        "What can't be opened today, with the keys and the account of today, won't be opened in the disaster either.",
        _GITLAB,
        "seawall check",
        _unreachable,
    ),
    Rule(
        "wal-repository-behind",
        Severity.CRITICAL,
        "A repository lacks WAL that the server has finished",
        "pg_stat_archiver only repeats what archive_command claims. What counts is what is in the repository.",
        Story(
            "wal-g issue 1578: after an upload that timed out the segment counted as archived, and was not there.",
            "https://github.com/wal-g/wal-g/issues/1578",
        ),
        "seawall check; the server's log has the answers of `seawall wal push`",
        _behind,
    ),
    Rule(
        "wal-gaps",
        Severity.CRITICAL,
        "WAL is missing in a repository",
        "Recovery ends at the first missing segment. PostgreSQL takes that for the end of the WAL, promotes, and "
        "rows are "
        "missing without an error.",
        Story(
            "pgBackRest issue 2820: dropping WAL to save the disk was taken for harmless, and broke every "
            "recovery past "
            "that point.",
            "https://github.com/pgbackrest/pgbackrest/issues/2820",
        ),
        "seawall wal gaps; take a full backup now: moments after it can be restored again",
        _gaps,
    ),
)
