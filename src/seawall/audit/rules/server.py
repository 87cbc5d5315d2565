"""Is the server itself one that survives: settings that trade safety for speed, and damage that shows already."""

from __future__ import annotations

from pathlib import Path

from seawall.audit.facts import ClusterFacts
from seawall.audit.masking import masked
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.audit.rules.scope import change, on_own_primary, on_own_server, on_server
from seawall.model.fact import Unknown, known
from seawall.postgres.health.facts import ServerHealth

_PROVIDER = "the provider sets it, and its storage has protections of its own"
_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
_HIDING = {"zero_damaged_pages": "on", "ignore_checksum_failure": "on", "ignore_invalid_pages": "on"}
_SUMMARIES_SINCE = 17


def _checksums_off(server: ServerHealth) -> Verdict:
    if server.settings.is_on("data_checksums"):
        return passed("data checksums are on")
    return failed(
        "data checksums are off: a page that the disk spoiled is served, and copied into every backup, unnoticed",
        evidence=["data_checksums = off"],
    )


def _checksum_failures(server: ServerHealth) -> Verdict:
    if not server.settings.is_on("data_checksums"):
        return not_applicable("without checksums none can fail")
    failures = known(server.checksum_failures)
    if not failures:
        return passed("no page has failed its checksum since the statistics began")
    return failed(
        "pages fail their checksum: data is damaged now, and older backups may hold the last good copy",
        evidence=[
            f"{item.database}: {item.count} failures"
            + (f", last {item.last_at:%Y-%m-%d %H:%M:%S} UTC" if item.last_at else "")
            for item in failures
        ],
    )


def _fsync_off(server: ServerHealth) -> Verdict:
    if server.settings.is_on("fsync"):
        return passed("fsync is on")
    return failed(
        "fsync is off: after a power cut or a crash of the machine the cluster may be damaged beyond repair",
        evidence=["fsync = off"],
        remedy=change(server, "fsync", "on"),
    )


def _full_page_writes_off(server: ServerHealth) -> Verdict:
    if server.settings.is_on("full_page_writes"):
        return passed("full_page_writes is on")
    return failed(
        "full_page_writes is off: a page that was half written in a crash can't be repaired by replay, "
        "and a backup from a standby fails",
        evidence=["full_page_writes = off"],
        remedy=change(server, "full_page_writes", "on"),
    )


def _damage_is_hidden(server: ServerHealth) -> Verdict:
    found = [name for name, bad in _HIDING.items() if server.settings.values.get(name) == bad]
    unseen = [name for name in _HIDING if isinstance(server.settings.fact(name), Unknown)]
    if found:
        return failed(
            f"{' and '.join(found)} is on: damaged pages are read as if they were whole or empty",
            evidence=[f"{name} = on" for name in found],
            remedy="; ".join(change(server, name, "off") for name in found),
        )
    if unseen:
        missing = server.settings.fact(unseen[0])
        assert isinstance(missing, Unknown)
        return cannot_tell(missing.reason, missing.needs)
    return passed("damaged pages are reported as errors")


def _commits_are_not_flushed(server: ServerHealth) -> Verdict:
    mode = server.settings.text("synchronous_commit")
    if mode != "off":
        return passed(f"synchronous_commit is {mode}")
    return failed(
        "synchronous_commit is off: commits are acknowledged before they are on the disk, "
        "and a crash loses the last of them",
        evidence=[
            f"synchronous_commit = off, wal_writer_delay = {server.settings.text('wal_writer_delay')} ms"
        ],
        remedy=change(server, "synchronous_commit", "on"),
    )


def _data_in_memory(server: ServerHealth) -> Verdict:
    host = known(server.host)
    if not host.mounts:
        return cannot_tell("this system has no table of mounts", "look yourself: df DATA_DIRECTORY")
    found = []
    for what, path in (("data", host.data_directory), ("WAL", host.wal_directory)):
        mount = host.mount_of(Path(path))
        if mount is not None and mount.kind in _MEMORY_FILE_SYSTEMS:
            found.append(f"{what}: {path} is on {mount.path} ({mount.kind})")
    if found:
        return failed(
            "the server's files are in memory: a restart of the machine loses all of them", evidence=found
        )
    return passed("data and WAL are on file systems that survive a restart")


def _wal_level(server: ServerHealth) -> Verdict:
    level = server.settings.text("wal_level")
    if level != "minimal":
        return passed(f"wal_level is {level}")
    return failed(
        "wal_level is minimal: neither an archive nor a standby nor an online backup is possible",
        evidence=["wal_level = minimal"],
        remedy=change(server, "wal_level", "replica", restart=True),
    )


def _summaries_off(server: ServerHealth) -> Verdict:
    if server.identity.major < _SUMMARIES_SINCE:
        return not_applicable(f"WAL summaries came with PostgreSQL {_SUMMARIES_SINCE}")
    if server.settings.is_on("summarize_wal"):
        return passed("summarize_wal is on")
    return failed(
        "summarize_wal is off: an incremental backup has to read every page of the cluster",
        evidence=["summarize_wal = off"],
        remedy=change(server, "summarize_wal", "on"),
    )


def _configuration_is_broken(server: ServerHealth) -> Verdict:
    errors = known(server.config_errors)
    if not errors:
        return passed("the configuration files can be applied")
    return failed(
        "the configuration files have mistakes: the running server ignores them, but may not start again with them",
        evidence=[
            f"{item.file}:{item.line or 1}: {masked(item.setting)}: {masked(item.error)}"
            for item in errors[:10]
        ],
    )


def _unreachable(facts: ClusterFacts) -> Verdict:
    server = facts.primary
    if isinstance(server, Unknown):
        return failed(f"the server can't be asked: {server.reason}", remedy=server.needs)
    return passed("the server answers")


RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "server-unreachable",
        Severity.HIGH,
        "The server that the plan names does not answer",
        "What can't be asked can't be judged, backed up or handed over. If nobody noticed, nobody is watching.",
        Story(
            "AWS, December 2021: the monitoring was behind the failure that it should have shown.",
            "https://aws.amazon.com/message/12721/",
        ),
        "seawall check",
        _unreachable,
    ),
    Rule(
        "server-fsync-off",
        Severity.CRITICAL,
        "fsync is off",
        "Nothing forces written data onto the disk in the order that crash recovery relies on. A power cut "
        "doesn't cost "
        "the last seconds, it costs the cluster.",
        Story(
            'The documentation says it plainly: fsync off "can result in unrecoverable data corruption". In '
            "2018 even "
            'servers with fsync on lost writes when the kernel forgot errors ("fsyncgate").',
            "https://wiki.postgresql.org/wiki/Fsync_Errors",
        ),
        "ALTER SYSTEM SET fsync = 'on'; SELECT pg_reload_conf()",
        on_own_server(_PROVIDER, _fsync_off),
    ),
    Rule(
        "server-full-page-writes-off",
        Severity.CRITICAL,
        "full_page_writes is off",
        "A page is larger than what a disk writes at once. Without its full image in the WAL a torn page stays torn.",
        Story(
            "PostgreSQL refuses to finish a backup taken from a standby when it has replayed WAL written with "
            "full_page_writes off, because the copy may be torn beyond repair.",
            "https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-FULL-PAGE-WRITES",
        ),
        "ALTER SYSTEM SET full_page_writes = 'on'; SELECT pg_reload_conf()",
        on_own_server(_PROVIDER, _full_page_writes_off),
    ),
    Rule(
        "server-data-in-memory",
        Severity.CRITICAL,
        "The data is on a file system in memory",
        "tmpfs is as fast as it is forgetful: the machine's next restart, planned or not, leaves an empty folder.",
        Story(
            "The documentation recommends a memory file system for one purpose only, throw-away test servers "
            '("Non-Durable Settings").',
            "https://www.postgresql.org/docs/current/non-durability.html",
        ),
        "move the data directory to a disk, or leave this server to tests",
        on_own_server("the provider's storage is not a machine's memory", _data_in_memory),
    ),
    Rule(
        "server-checksum-failures",
        Severity.CRITICAL,
        "Pages fail their checksum",
        "The damage is there now. Retention deletes the backups that still hold the good pages while nobody looks.",
        Story(
            "The counter came with PostgreSQL 12. Before, a failed checksum was one line in a log, and damage "
            "was found when "
            "a query or a dump stopped at it.",
            "https://www.postgresql.org/docs/current/checksums.html",
        ),
        "keep every old backup; find the relation: pg_amcheck --all --heapallindexed; restore it from before the "
        "damage",
        on_server(_checksum_failures),
    ),
    Rule(
        "server-checksums-off",
        Severity.MEDIUM,
        "Data checksums are off",
        "Disks, controllers and memory spoil bytes. Without checksums the spoiled page is replicated, backed up "
        "and served, "
        "until the last good backup has been expired.",
        Story(
            "PostgreSQL 18 turned checksums on for every new cluster, since damage that is found late is found "
            "when no good "
            "copy is left (release notes of 18, initdb).",
            "https://www.postgresql.org/docs/18/release-18.html",
        ),
        "with the server stopped: pg_checksums --enable -D DATA_DIRECTORY (on each standby too); then take a "
        "full backup",
        on_own_server(_PROVIDER, _checksums_off),
    ),
    Rule(
        "server-damage-hidden",
        Severity.HIGH,
        "A setting hides damage",
        "These settings were made to get at what is left of a broken cluster. On a server in service they turn damage "
        "into missing rows, and a backup of it into a copy of the loss.",
        Story(
            "zero_damaged_pages destroys the damaged page's rows for good, in the documentation's words; the "
            "wiki's page "
            "on corruption asks to copy the whole directory before it is touched.",
            "https://wiki.postgresql.org/wiki/Corruption",
        ),
        "ALTER SYSTEM RESET zero_damaged_pages; SELECT pg_reload_conf()",
        on_server(_damage_is_hidden),
    ),
    Rule(
        "server-commits-not-flushed",
        Severity.MEDIUM,
        "Commits are acknowledged before they are durable",
        "With synchronous_commit off up to three times wal_writer_delay of acknowledged work is lost in any crash, a "
        "failover included. It counts against the RPO, and no archive helps.",
        Story(
            'The documentation gives the figure: "the maximum delay is three times wal_writer_delay".',
            "https://www.postgresql.org/docs/current/wal-async-commit.html",
        ),
        "ALTER SYSTEM SET synchronous_commit = 'on'; SELECT pg_reload_conf()   -- SET it off only where loss is fine",
        on_server(_commits_are_not_flushed),
    ),
    Rule(
        "server-wal-level-minimal",
        Severity.CRITICAL,
        "wal_level is minimal",
        "The WAL lacks what a replay from a backup needs. Only a cold copy or a dump can be taken.",
        Story(
            "A server that was once run at minimal leaves a hole for incremental backups as well: WAL summaries "
            "skip it (commit 2b5819e).",
            "https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-WAL-LEVEL",
        ),
        "ALTER SYSTEM SET wal_level = 'replica'   -- then restart the server",
        on_own_primary("the provider sets it", _wal_level),
    ),
    Rule(
        "server-summaries-off",
        Severity.LOW,
        "WAL is not summarized",
        "With summaries an incremental backup reads what changed; without them it reads everything, so that backups "
        "are taken rarely and recoveries replay long.",
        Story(
            "pg_basebackup --incremental of PostgreSQL 17 ends at once where summaries are missing.",
            "https://www.postgresql.org/docs/17/runtime-config-wal.html#GUC-SUMMARIZE-WAL",
        ),
        "ALTER SYSTEM SET summarize_wal = 'on'; SELECT pg_reload_conf()",
        on_own_primary("its own snapshots are incremental already", _summaries_off),
    ),
    Rule(
        "server-configuration-broken",
        Severity.HIGH,
        "The configuration files have mistakes",
        "A running server reads a bad line and goes on as before. The next start, which is in a disaster, fails on it.",
        Story(
            "GitLab, January 2017: after a setting was changed PostgreSQL refused to start, because "
            "max_connections had been "
            "too high for the machine for almost a year, and nobody had restarted it since.",
            "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
        ),
        "correct the lines, then: SELECT * FROM pg_file_settings WHERE error IS NOT NULL",
        on_own_server("its files are the provider's", _configuration_is_broken),
    ),
)
