"""Would a standby that the plan names really serve: can it be reached, and does it have what its primary has?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from seawall.audit.facts import ClusterFacts
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.model.fact import Unknown, known
from seawall.postgres.health.facts import ServerHealth

_RECOVERY_SETTINGS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)


def _each_standby(
    judge: Callable[[str, ServerHealth, ClusterFacts], Verdict],
) -> Callable[[ClusterFacts], Iterator[Verdict]]:
    """Return the rule that asks ``judge`` of every standby of the plan that answers."""

    def judged(facts: ClusterFacts) -> Iterator[Verdict]:
        if not facts.standbys:
            yield not_applicable("no standby is declared in the plan")
        for name, standby in facts.standbys.items():
            if isinstance(standby, Unknown):
                yield cannot_tell(f"standby {name}: {standby.reason}", standby.needs, subject=name)
            else:
                yield dataclasses.replace(judge(name, standby, facts), subject=name)

    return judged


def _unreachable(facts: ClusterFacts) -> Iterator[Verdict]:
    if not facts.standbys:
        yield not_applicable("no standby is declared in the plan")
    for name, standby in facts.standbys.items():
        if isinstance(standby, Unknown):
            yield failed(
                f"standby {name} can't be asked: {standby.reason}", evidence=[name], remedy=standby.needs
            )
        elif not standby.identity.is_in_recovery:
            yield failed(
                f"{name} is declared as a standby, and is a primary",
                subject=name,
                evidence=[f"{standby.identity.server} is not in recovery"],
                severity=Severity.CRITICAL,
                remedy="find out at once which of the two takes the writes: two primaries part for ever",
            )
        else:
            yield passed(f"standby {name} answers, and is one", subject=name)


def _smaller_settings(name: str, standby: ServerHealth, facts: ClusterFacts) -> Verdict:
    primary = known(facts.primary)
    smaller = [
        (setting, standby.settings.number(setting), primary.settings.number(setting))
        for setting in _RECOVERY_SETTINGS
        if standby.settings.number(setting) < primary.settings.number(setting)
    ]
    if not smaller:
        return passed(f"standby {name} has the settings that replay needs")
    return failed(
        f"standby {name} has smaller settings than its primary: replay pauses, and it won't start again",
        evidence=[f"{setting}: {here} here, {there} on the primary" for setting, here, there in smaller],
        remedy=f"on {name}, then restart it: "
        + "; ".join(f"ALTER SYSTEM SET {setting} = {there}" for setting, _, there in smaller),
    )


def _other_collations(name: str, standby: ServerHealth, facts: ClusterFacts) -> Verdict:
    changed = [item for item in known(standby.databases) if item.locale.has_changed]
    reports = [(visit.name, known(visit.report)) for visit in known(standby.visits)]
    refusing = [database for database, report in reports if report.refusal]
    if not changed and not refusing:
        return passed(f"standby {name} sorts text as its primary does, and every database opens there")
    return failed(
        f"standby {name} has other locales than its primary: after a failover indexes miss rows, or databases refuse",
        evidence=[
            *(f"{item.name}: {item.locale.version}, there {item.locale.actual_version}" for item in changed),
            *(f"{database} refuses connections there" for database in refusing),
        ],
        remedy=f"give {name} the operating system (glibc, ICU) of the primary, or reindex right after a failover",
    )


def _missing_extensions(name: str, standby: ServerHealth, facts: ClusterFacts) -> Verdict:
    used: dict[str, list[str]] = {}
    for visit in known(known(facts.primary).visits):
        for extension in known(visit.report).extensions:
            used.setdefault(extension.name, []).append(visit.name)
    missing = sorted(set(used) - known(standby.available_extensions))
    if not missing:
        return passed(f"standby {name} has the files of every extension in use", evidence=sorted(used))
    return failed(
        f"standby {name} lacks {', '.join(missing)}: after a failover everything that uses it fails",
        evidence=[f"{extension}: used in {', '.join(used[extension])}" for extension in missing],
        remedy=f"install the packages of {', '.join(missing)} on {name}, in the primary's versions",
    )


def _without_tls(name: str, standby: ServerHealth, facts: ClusterFacts) -> Verdict:
    primary = known(facts.primary)
    if not primary.settings.is_on("ssl"):
        return not_applicable("the primary speaks no TLS either")
    if standby.settings.is_on("ssl"):
        return passed(f"standby {name} speaks TLS, as its primary does (its certificate was not looked at)")
    return failed(
        f"the primary speaks TLS and standby {name} doesn't: clients that insist on it can't follow",
        evidence=["ssl: on at the primary", f"ssl: off at {name}"],
        remedy=f"on {name}: a certificate for the name that clients use, then ALTER SYSTEM SET ssl = on",
    )


RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "standby-unreachable",
        Severity.HIGH,
        "A standby of the plan can't be asked, or is none",
        "Address, role, password, pg_hba.conf: what lets nobody in today lets nobody in on the day of the failover.",
        Story(
            "Facebook, October 2021: what was needed to get in was part of what had failed.",
            "https://engineering.fb.com/2021/10/05/networking-traffic/outage-details/",
        ),
        "correct clusters.NAME.standbys.NAME.dsn, or what it says of the server",
        _unreachable,
    ),
    Rule(
        "standby-without-tls",
        Severity.HIGH,
        "A standby speaks no TLS where its primary does",
        "Settings of the configuration file are not replicated. Clients with sslmode=require or verify-full are "
        "refused by the "
        "new primary, which looks healthy to everybody else.",
        Story(
            "CloudNativePG documents it as the operator's duty to bring certificates and secrets to the replica "
            "cluster: nothing replicates them.",
            "https://cloudnative-pg.io/documentation/current/replica_cluster/",
        ),
        "ALTER SYSTEM SET ssl = on on the standby, with a certificate for the name that clients use",
        _each_standby(_without_tls),
    ),
    Rule(
        "standby-smaller-settings",
        Severity.HIGH,
        "A standby's settings are smaller than its primary's",
        "Replay needs at least the primary's max_connections, max_worker_processes, max_wal_senders, "
        "max_prepared_transactions and max_locks_per_transaction. With less it pauses, and after a restart it "
        "doesn't start.",
        Story(
            "A hot standby that meets a larger value in the WAL pauses its replay, and doesn't start again with "
            "the smaller one "
            "(Hot Standby, Administrator's Overview). People raise them on the primary first, and learn it there.",
            "https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN",
        ),
        "raise them on the standbys first, then on the primary; restart in that order",
        _each_standby(_smaller_settings),
    ),
    Rule(
        "standby-missing-extensions",
        Severity.HIGH,
        "A standby lacks extensions that its primary uses",
        "The catalog is replicated, the library is not. The standby follows without a word, and queries fail after the "
        "failover, where the library can't be found.",
        Story(
            "repmgr issue 725: after updates of the operating system the library was not the one that the "
            "catalog wanted, and "
            "the promotion itself failed on it.",
            "https://github.com/EnterpriseDB/repmgr/issues/725",
        ),
        "install the same packages on the standby",
        _each_standby(_missing_extensions),
    ),
    Rule(
        "standby-other-collations",
        Severity.HIGH,
        "A standby sorts text differently",
        "Its indexes were built by the primary's C library. Under another one they miss rows, from the first "
        "query after "
        "the failover on.",
        Story(
            "glibc 2.28: standbys on Debian 10 of primaries on Debian 9 returned wrong results.",
            "https://wiki.postgresql.org/wiki/Locale_data_changes",
        ),
        "use the same operating system release on both, or ICU or builtin collations of the same version",
        _each_standby(_other_collations),
    ),
)
