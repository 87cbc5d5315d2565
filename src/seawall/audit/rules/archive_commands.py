"""What the text of an ``archive_command`` promises, and where it copies to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from seawall.audit.archive_command import KNOWN_ARCHIVERS, Flaw, find_flaws, local_targets, programs_of
from seawall.audit.facts import ClusterFacts
from seawall.audit.masking import masked
from seawall.audit.rule import Rule, Severity, Story, Verdict, cannot_tell, failed, not_applicable, passed
from seawall.audit.rules.archive import HOW_TO_ARCHIVE, MANAGED_ARCHIVE, command_of, is_archiving, library_of
from seawall.audit.rules.scope import on_own_primary
from seawall.model.fact import Unknown
from seawall.postgres.health.facts import ServerHealth

_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre", "9p", "fuse.sshfs")


def _by_flaw(flaws: Iterable[Flaw], consequence: str, good: str) -> Callable[[ServerHealth], Verdict]:
    """Return the rule that looks for some of the flaws that an archive_command can have."""
    wanted = tuple(flaws)

    def judge(server: ServerHealth) -> Verdict:
        command = _command_in_use(server)
        if isinstance(command, Verdict):
            return command
        found = find_flaws(command)
        hits = [flaw for flaw in wanted if flaw in found]
        shown = [f"archive_command = {masked(command)}"]
        if hits:
            text = "; ".join(f"{flaw.value} ({masked(found[flaw])})" for flaw in hits)
            return failed(f"archive_command: {text}. {consequence}", evidence=shown)
        if Flaw.UNREAD in found:
            return cannot_tell(
                f"archive_command calls {masked(found[Flaw.UNREAD])}, and an audit reads no scripts",
                "read it: on every failure it must end with a status other than 0, after an fsync, and refuse to "
                "overwrite",
                evidence=shown,
            )
        return passed(good, evidence=shown)

    return judge


def _archives_on_the_host(server: ServerHealth) -> Verdict:
    command = _command_in_use(server)
    if isinstance(command, Verdict):
        return command
    shown = [f"archive_command = {masked(command)}"]
    folders = local_targets(command)
    if not folders:
        if set(programs_of(command)) <= KNOWN_ARCHIVERS or Flaw.UNREAD not in find_flaws(command):
            return passed("it does not copy into a folder of this machine", evidence=shown)
        return cannot_tell(
            "where archive_command copies to can't be told from its text", "read it", evidence=shown
        )
    host = server.host
    if isinstance(host, Unknown):
        needs = host.needs or "run seawall audit on the server's machine"
        return cannot_tell(
            f"archive_command copies to {folders[0]}; whether that is a disk of this machine can't be seen from here",
            needs,
            evidence=shown,
        )
    mount = host.mount_of(Path(folders[0]))
    if mount is not None and mount.kind in _NETWORK_FILE_SYSTEMS:
        return passed(f"{folders[0]} is on {mount.source} ({mount.kind})", evidence=shown)
    home = host.mount_of(host.data_directory)
    same = mount is not None and mount == home
    where = "on the data directory's own file system" if same else "on a disk of the server's own machine"
    return failed(
        f"the archive {folders[0]} is {where}: it is lost together with the server",
        evidence=[*shown, *([f"{mount.path}: {mount.source} ({mount.kind})"] if mount else [])],
    )


def _command_in_use(server: ServerHealth) -> str | Verdict:
    if not is_archiving(server):
        return not_applicable("archive_mode is off")
    if library_of(server):
        return not_applicable("archive_library archives, not archive_command")
    return command_of(server) or not_applicable("there is no archive_command")


RULES: tuple[Rule[ClusterFacts], ...] = (
    Rule(
        "wal-archive-command-lies",
        Severity.CRITICAL,
        "archive_command reports success whatever happens",
        "PostgreSQL recycles a segment as soon as the command returns 0. A copy that failed behind `|| true` is a hole "
        "in the archive that nothing reports: pg_stat_archiver looks perfect, and no recovery gets past the hole.",
        Story(
            "PostgreSQL's own documentation names /bin/true as the way to throw archiving away while it looks alive "
            '("Setting Up WAL Archiving"); wal-g issue 1578 shows the same end: a segment reported as archived '
            "that was not "
            "in the store.",
            "https://github.com/wal-g/wal-g/issues/1578",
        ),
        "ALTER SYSTEM SET archive_command = '…'; SELECT pg_reload_conf()   -- without the part that hides failures",
        on_own_primary(
            MANAGED_ARCHIVE,
            _by_flaw(
                (Flaw.DISCARDS, Flaw.LIES, Flaw.LACKS_FILE, Flaw.MOVES_AWAY),
                "WAL that was not copied is recycled, and nothing shows it",
                "a failed copy ends with a status other than 0",
            ),
        ),
    ),
    Rule(
        "wal-archive-command-overwrites",
        Severity.HIGH,
        "archive_command overwrites, or skips, files that are there",
        "Two servers with one archive (a clone, a test restore, an old primary) write segments of the same names. "
        "Whoever comes last wins, and the lineage of the real one is broken in the middle.",
        Story(
            "Barman issue 11: a cloned server archived into the original's archive. pgBackRest issue 1616 tells of "
            "the recovery that failed after it.",
            "https://github.com/EnterpriseDB/barman/issues/11",
        ),
        "refuse what exists unless it is identical: test ! -f /archive/%f && cp %p /archive/%f && sync /archive/%f; "
        "better, " + HOW_TO_ARCHIVE,
        on_own_primary(
            MANAGED_ARCHIVE,
            _by_flaw(
                (Flaw.OVERWRITES, Flaw.SKIPS),
                "A second server with this setting destroys the archive",
                "it refuses a file that is there",
            ),
        ),
    ),
    Rule(
        "wal-archive-command-not-durable",
        Severity.HIGH,
        "archive_command returns before the copy is safe",
        "cp, gzip, scp and rsync leave the copy in memory. PostgreSQL recycles the segment; a power cut within "
        "the next "
        "half minute takes the archive's copy, and the archive has a hole or a file of zeros.",
        Story(
            "PostgreSQL's own archive module, basic_archive, copies to a temporary name, syncs and renames. The "
            "cp of the "
            "documentation's example does none of it, and is what most servers run.",
            "https://www.postgresql.org/docs/current/basic-archive.html",
        ),
        "add a sync of the file and of nothing else: … && sync /archive/%f; better, " + HOW_TO_ARCHIVE,
        on_own_primary(
            MANAGED_ARCHIVE,
            _by_flaw(
                (Flaw.NOT_SYNCED, Flaw.REMOTE_NOT_SYNCED),
                "A power cut at the wrong moment takes a segment that PostgreSQL has already recycled",
                "it syncs, or leaves that to a program that does",
            ),
        ),
    ),
    Rule(
        "wal-archive-on-host",
        Severity.HIGH,
        "The archive is on the server's own machine",
        "What takes the machine takes the archive with it, and the archive is what was to survive the machine.",
        Story(
            "OVHcloud's data centre in Strasbourg burned in March 2021. Customers whose copies were in the same "
            "building lost both; a French court later awarded damages for exactly that.",
            "https://en.wikipedia.org/wiki/OVHcloud#2021_fire",
        ),
        "archive to another machine or an object store: seawall init URL --repository far@elsewhere=s3://BUCKET",
        on_own_primary(MANAGED_ARCHIVE, _archives_on_the_host),
    ),
)
