"""What is inside the databases and makes a recovery incomplete, or a server stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from seawall.audit.facts import ClusterFacts
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.audit.rules.scope import MANAGED, on_primary, on_server
from seawall.model.fact import Fact, Unknown, known
from seawall.model.units import format_bytes, format_duration
from seawall.postgres.health.facts import DatabaseHealth, ServerHealth
from seawall.postgres.server_facts import Locale

_STOP_XIDS = 2**31 - 3_000_000
"""GetNewTransactionId refuses to give out ids three million before the wraparound (varsup.c)."""
_CRITICAL_XIDS = 1_500_000_000
_HIGH_XIDS = 1_000_000_000
_OLD_PREPARED = timedelta(minutes=15)
_VERY_OLD_PREPARED = timedelta(days=1)
_SHOWN = 10
_PROVIDER_DATABASES = {"rdsadmin", "cloudsqladmin", "azure_maintenance", "azure_sys"}
"""What managed services keep for themselves, on the same server."""


def _wraparound(server: ServerHealth) -> Verdict:
    ages = known(server.freeze_ages)
    oldest = max(ages, key=lambda item: max(item.xids, item.multixacts))
    age = max(oldest.xids, oldest.multixacts)
    shown = [
        f"{item.database}: {item.xids:,} transactions, {item.multixacts:,} multixacts" for item in ages[:3]
    ]
    if age < _HIGH_XIDS:
        return passed(
            f"the oldest transaction is {age:,} ids old, {age / 2**31:.0%} of the way", evidence=shown
        )
    kind = "transaction" if age == oldest.xids else "multixact"
    return failed(
        f"database {oldest.database} has used {age / 2**31:.0%} of its {kind} ids: "
        f"in {max(0, _STOP_XIDS - age):,} more the server refuses all writes",
        evidence=shown,
        severity=Severity.CRITICAL if age >= _CRITICAL_XIDS else Severity.HIGH,
        remedy=f"in database {oldest.database}: VACUUM (FREEZE, VERBOSE); first end what holds it back: old "
        "transactions (pg_stat_activity), prepared ones (pg_prepared_xacts), slots (pg_replication_slots)",
    )


def _prepared_left_open(server: ServerHealth) -> Verdict:
    now = server.identity.observed_at
    old = [item for item in known(server.prepared) if now - item.prepared_at >= _OLD_PREPARED]
    if not old:
        return passed("no prepared transaction is older than 15 minutes")
    eldest = now - old[0].prepared_at
    return failed(
        f"{len(old)} prepared transaction(s) are open, the oldest for {format_duration(eldest.total_seconds())}: "
        "they hold locks and old rows, survive restarts, and come back in every restored copy",
        evidence=[
            f"{item.gid} in {item.database} by {item.owner}, since {item.prepared_at:%Y-%m-%d %H:%M:%S} UTC"
            for item in old[:_SHOWN]
        ],
        severity=Severity.HIGH if eldest >= _VERY_OLD_PREPARED else None,
        remedy=f"decide each with its transaction manager, then in its database: ROLLBACK PREPARED '{old[0].gid}'",
    )


def _in_databases(
    part: Callable[[DatabaseHealth], Fact[tuple[str, ...]]], what: str, wrong: str
) -> Callable[[ServerHealth], Iterator[Verdict]]:
    """Return the judge that lists what ``part`` finds in each database, and says which could not be seen."""

    def judge(server: ServerHealth) -> Iterator[Verdict]:
        visits = known(server.visits)
        seen = [(visit.name, part(visit)) for visit in visits]
        found = [
            f"{name}: {item}" for name, value in seen if not isinstance(value, Unknown) for item in value
        ]
        unseen = [(name, value) for name, value in seen if isinstance(value, Unknown)]
        if found:
            more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
            yield failed(f"{len(found)} {what}: {wrong}", evidence=[*found[:_SHOWN], *more])
        yield from _unseen(server, unseen)
        if not found and not unseen:
            yield passed(f"no {what} in {len(visits)} database(s)")
        elif not found and is_provider_database(server, unseen):
            yield passed(f"no {what} in {len(visits) - len(unseen)} database(s)")

    return judge


def _unseen(server: ServerHealth, unseen: list[tuple[str, Unknown]]) -> Iterator[Verdict]:
    """Say in one verdict which databases could not be looked at: a server may have hundreds."""
    if not unseen or is_provider_database(server, unseen):
        return
    shown = [f"{name}: {value.reason}" for name, value in unseen[:_SHOWN]]
    more = [f"and {len(unseen) - _SHOWN} more"] if len(unseen) > _SHOWN else []
    yield cannot_tell(
        f"{len(unseen)} database(s) could not be looked at: {', '.join(name for name, _ in unseen[:_SHOWN])}",
        unseen[0][1].needs,
        evidence=[*shown, *more],
    )


def is_provider_database(server: ServerHealth, unseen: list[tuple[str, Unknown]]) -> bool:
    """Say whether only databases of a managed service's own refused to be looked at (rdsadmin, cloudsqladmin)."""
    return (
        server.owner.kind in MANAGED and bool(unseen) and {name for name, _ in unseen} <= _PROVIDER_DATABASES
    )


def _unlogged(server: ServerHealth) -> Iterator[Verdict]:
    visits = known(server.visits)
    size = 0
    names: list[str] = []
    unseen: list[tuple[str, Unknown]] = []
    for visit in visits:
        if isinstance(visit.unlogged, Unknown):
            unseen.append((visit.name, visit.unlogged))
            continue
        size += visit.unlogged.size_bytes
        names += [f"{visit.name}: {name}" for name in visit.unlogged.names]
    if names:
        more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
        yield failed(
            f"{len(names)} unlogged table(s), about {format_bytes(size)}: "
            "they are empty after a crash, on every standby and in every restored copy",
            evidence=[*names[:_SHOWN], *more],
        )
    yield from _unseen(server, unseen)
    if not names and (not unseen or is_provider_database(server, unseen)):
        yield passed(f"no unlogged table in {len(visits) - len(unseen)} database(s)")


def _collations(server: ServerHealth) -> Iterator[Verdict]:
    databases = known(server.databases)
    changed = [
        f"{item.name}: its default {_change(item.locale)}" for item in databases if item.locale.has_changed
    ]
    unseen: list[tuple[str, Unknown]] = []
    for visit in known(server.visits):
        if isinstance(visit.report, Unknown):
            unseen.append((visit.name, visit.report))
        else:
            changed += [f"{visit.name}: {_change(item)}" for item in visit.report.locales if item.has_changed]
    if changed:
        yield failed(
            "collations changed under their indexes: text indexes may miss rows, and unique ones let duplicates in",
            evidence=changed[:_SHOWN],
        )
    yield from _unseen(server, unseen)
    if not changed and (not unseen or is_provider_database(server, unseen)):
        versions = "" if server.identity.major >= 15 else " (PostgreSQL 14 keeps no version for databases)"
        yield passed(f"collations are of the version that the indexes were built with{versions}")


def _change(locale: Locale) -> str:
    return f"{locale.name} ({locale.provider}) was {locale.version}, is {locale.actual_version}"


def _databases_refuse(server: ServerHealth) -> Iterator[Verdict]:
    databases = known(server.databases)
    broken = [item.name for item in databases if not item.is_valid]
    refusals = [
        (visit.name, visit.report.refusal, visit.report.remedy)
        for visit in known(server.visits)
        if not isinstance(visit.report, Unknown) and visit.report.refusal
    ]
    if broken:
        yield failed(
            f"the DROP DATABASE of {', '.join(broken)} was interrupted: nobody can connect, and pg_dumpall stops at it",
            evidence=broken,
            remedy="; ".join(f'DROP DATABASE "{name}"' for name in broken),
        )
    closed: list[tuple[str, Unknown]] = []
    for name, refusal, remedy in refusals:
        if "locale" in refusal or "collat" in refusal.lower() or "encoding" in refusal:
            yield failed(f"database {name} lets nobody in: {refusal}", evidence=[name], remedy=remedy)
        elif name not in _PROVIDER_DATABASES or server.owner.kind not in MANAGED:
            closed.append((name, Unknown(refusal, remedy)))
    yield from _unseen(server, closed)
    if not broken and not refusals:
        yield passed("every database lets this role in")
    elif not broken and all(name in _PROVIDER_DATABASES for name, _, _ in refusals):
        yield not_applicable("the only database that refuses is the provider's own")


RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "server-wraparound-near",
        Severity.HIGH,
        "Transaction ids are running out",
        "At the end the server stops taking writes until a vacuum of hours or days is through. It is an outage with no "
        "disaster, and a restored copy has it too.",
        Story(
            "Sentry was down for most of a working day in July 2015 for exactly this; Mandrill's outage of "
            "February 2019 "
            "was the same and took 40 hours.",
            "https://blog.sentry.io/transaction-id-wraparound-in-postgres/",
        ),
        "VACUUM (FREEZE, VERBOSE) in the database that is oldest",
        on_server(_wraparound),
    ),
    Rule(
        "server-prepared-left-open",
        Severity.MEDIUM,
        "Prepared transactions are left open",
        "A prepared transaction outlives its client, the server's restart and a restore. Until somebody decides "
        "it, its "
        "locks and its snapshot stay, and vacuum can't clean.",
        Story(
            'The documentation warns: it "will interfere with the ability of VACUUM to reclaim storage" up to '
            "a shutdown for "
            "wraparound (PREPARE TRANSACTION, Caution).",
            "https://www.postgresql.org/docs/current/sql-prepare-transaction.html",
        ),
        "SELECT * FROM pg_prepared_xacts; then COMMIT PREPARED or ROLLBACK PREPARED each",
        on_primary(_prepared_left_open),
    ),
    Rule(
        "server-unlogged-tables",
        Severity.MEDIUM,
        "Tables are unlogged",
        "What is in an unlogged table is in no WAL: after a crash it is empty, and a standby or a restored copy "
        "never had it.",
        Story(
            '"An unlogged table is automatically truncated after a crash or unclean shutdown. The contents are also '
            'not replicated to standby servers" (CREATE TABLE).',
            "https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED",
        ),
        "ALTER TABLE … SET LOGGED   -- rewrites the table; leave it for what can be computed again",
        on_primary(_unlogged),
    ),
    Rule(
        "server-invalid-indexes",
        Severity.LOW,
        "Indexes are invalid",
        "An interrupted CREATE INDEX CONCURRENTLY leaves an index that costs every write and serves no query; a unique "
        "one checks nothing that is there. It comes along in every copy.",
        Story(
            '"The recommended recovery method in such cases is to drop the index and try again" '
            "(CREATE INDEX, Building Indexes Concurrently).",
            "https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
        ),
        "REINDEX INDEX CONCURRENTLY …, or DROP INDEX CONCURRENTLY …",
        on_server(
            _in_databases(
                lambda visit: visit.invalid_indexes,
                "invalid index(es)",
                "they serve no query and protect nothing",
            )
        ),
    ),
    Rule(
        "server-collation-changed",
        Severity.HIGH,
        "Collations changed under the indexes",
        "A new version of the C library or ICU sorts text differently. Indexes built by the old order miss rows "
        "that are "
        "there. A standby or a restore on another system does the same to every index.",
        Story(
            "glibc 2.28 (Debian 10, RHEL 8) changed the order of most locales and broke text indexes "
            "all over the world.",
            "https://wiki.postgresql.org/wiki/Locale_data_changes",
        ),
        "REINDEX DATABASE CONCURRENTLY …; then ALTER DATABASE … REFRESH COLLATION VERSION",
        on_server(_collations),
    ),
    Rule(
        "server-database-unusable",
        Severity.HIGH,
        "A database can't be used",
        "The server answers, and one database does not. Dumps stop at it, and nobody notices before it is needed.",
        Story(
            "PostgreSQL 15.4 began to mark what an interrupted DROP DATABASE leaves (commit c66a7d75): before, "
            "such databases "
            "looked whole and were not.",
            "https://www.postgresql.org/docs/release/15.4/",
        ),
        "seawall check   # connects to every database of a plan's server",
        on_server(_databases_refuse),
    ),
)
