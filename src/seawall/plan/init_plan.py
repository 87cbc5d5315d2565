"""A first plan and the server settings that it needs, from what was seen of a running server.

Pure: :class:`InitFacts` in, text out. ``seawall init`` gathers the facts, writes the text and, only when told,
applies the settings. Every choice in the text is explained beside it, and every path is absolute.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from seawall.model.units import format_bytes, parse_duration_s
from seawall.plan.definition.sections import NAME_PATTERN
from seawall.postgres.wal_program import archive_command


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    """A repository to write into the plan. ``host`` is the machine of a ``file://`` one."""

    name: str
    site: str
    url: str
    host: str | None = None
    region: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class InitFacts:
    """What was observed, and what the person chose. ``dsn`` has no password in it."""

    service: str
    cluster: str
    site: str
    host: str
    dsn: str
    data: Path
    version: str
    size_bytes: int
    repositories: tuple[RepositoryFacts, ...]
    plan_path: Path
    seawall_program: Path
    key_file: Path | None
    """None makes repositories without encryption, which must have been asked for."""
    config: tuple[Path, ...] = ()
    tablespaces: tuple[tuple[str, str], ...] = ()
    owner: str = ""
    """Who starts and stops the server, as a person calls it: ``systemd (postgresql@16-main)``."""
    timezone: str = "UTC"
    rto: str = "1h"
    rpo: str = "5m"
    archive_timeout: str = "1m"
    databases: tuple[str, ...] = ()
    has_checksums: bool = True
    state: Path | None = None
    """Where this host's state is for every user that runs Seawall: the server's and root's defaults differ."""


@dataclass(frozen=True, slots=True)
class CurrentSettings:
    """The server's settings that archiving depends on, as ``SHOW`` gives them."""

    wal_level: str
    archive_mode: str
    archive_command: str
    archive_library: str
    archive_timeout_s: int


@dataclass(frozen=True, slots=True)
class ServerChange:
    """One setting to change: the exact statement, why, and whether only a restart makes it work."""

    setting: str
    current: str
    wanted: str
    statement: str
    reason: str
    needs_restart: bool


def name_from(text: str, fallback: str) -> str:
    """Turn a host name, database name or path into a name that a plan may hold."""
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:63]
    return name if re.fullmatch(NAME_PATTERN, name) else fallback


def proposed_archive_command(facts: InitFacts) -> str:
    """Return the ``archive_command`` that the server is to have."""
    return archive_command(shlex.quote(str(facts.seawall_program)), str(facts.plan_path), facts.cluster)


def server_changes(facts: InitFacts, current: CurrentSettings) -> tuple[ServerChange, ...]:
    """Return the settings to change, only those that differ, in an order in which they can be applied."""
    command = proposed_archive_command(facts)
    timeout_s = round(parse_duration_s(facts.archive_timeout))
    changes = []
    if current.wal_level == "minimal":
        changes.append(
            _change(
                "wal_level", current.wal_level, "replica", "minimal WAL can't be recovered from", restart=True
            )
        )
    if current.archive_library:
        changes.append(
            _change(
                "archive_library",
                current.archive_library,
                "",
                "it would win over archive_command",
                restart=False,
            )
        )
    if current.archive_command != command:
        reason = "hands each finished WAL segment to Seawall, which answers 0 only when it is durable"
        changes.append(_change("archive_command", current.archive_command, command, reason, restart=False))
    if current.archive_timeout_s == 0 or current.archive_timeout_s > timeout_s:
        reason = (
            f"ends a segment after {facts.archive_timeout}, else a quiet server never archives its last work"
        )
        wanted = f"{timeout_s}s"
        changes.append(
            _change("archive_timeout", f"{current.archive_timeout_s}s", wanted, reason, restart=False)
        )
    if current.archive_mode not in ("on", "always"):
        changes.append(
            _change(
                "archive_mode", current.archive_mode, "on", "without it nothing is archived", restart=True
            )
        )
    return tuple(changes)


def _change(setting: str, current: str, wanted: str, reason: str, *, restart: bool) -> ServerChange:
    statement = f"ALTER SYSTEM SET {setting} = {_literal(wanted)};"
    return ServerChange(setting, current, wanted, statement, reason, restart)


def _literal(text: str) -> str:
    """Quote a string for SQL whatever ``standard_conforming_strings`` says."""
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def render_plan(facts: InitFacts) -> str:
    """Return a commented ``plan.yaml`` that loads without errors."""
    blocks = [
        _head(facts) + _state(facts),
        _sites(facts),
        _repositories(facts),
        _cluster(facts),
        _tail(facts),
    ]
    return "\n".join(blocks)


def _quoted(value: object) -> str:
    """Write a value as a YAML double-quoted scalar wherever plain text could be misread."""
    text = str(value)
    if re.fullmatch(r"[A-Za-z/][A-Za-z0-9_./=@+-]*(:/[A-Za-z0-9_./=@?&+:-]*)?", text) and text.lower() not in (
        "true", "false", "yes", "no", "on", "off", "null", "y", "n",
    ):  # fmt: skip
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(_escape(character) for character in escaped) + '"'


def _escape(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _comment(text: str) -> str:
    """Keep text that came from a server inside its comment."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _head(facts: InitFacts) -> str:
    return f"""\
# What is to be recovered, where to, and how fast. Check it with: seawall check
# Every key: docs/plan.md. Secrets are never written here, only where they are (file:, env:, command:).
version: 1
service: {_quoted(facts.service)}

# Schedules and times without a zone are meant in:
timezone: {_quoted(facts.timezone)}

# Promises are for people to make: these are only a beginning.
# rto: from the first failed to the first accepted client write. rpo: how much acknowledged work may be lost.
objectives:
  rto: {facts.rto}
  rpo: {facts.rpo}
"""


def _state(facts: InitFacts) -> str:
    if facts.state is None:
        return ""
    return f"""
# This host's own state. archive_command runs as the server's user, backups perhaps as root: both need this one.
state: {_quoted(facts.state)}
"""


def _sites(facts: InitFacts) -> str:
    lines = [
        "# A site is what is lost together: a region, a data centre, a rack.",
        "sites:",
        f"  {_quoted(facts.site)}:",
        "    hosts:",
        f"      {_quoted(facts.host)}: {{}}        # this machine; others: {{ssh: user@name}}",
    ]
    far: dict[str, list[str]] = {}
    for repository in facts.repositories:
        if repository.site != facts.site:
            far.setdefault(repository.site, [])
            if repository.host is not None:
                far[repository.site].append(repository.host)
        elif repository.host not in (None, facts.host):
            lines.append(f"      {_quoted(repository.host)}: {{}}")
    for site, hosts in far.items():
        listed = ", ".join(f"{_quoted(host)}: {{}}" for host in dict.fromkeys(hosts))
        lines.append(f"  {_quoted(site)}: {{hosts: {{{listed}}}}}")
    return "\n".join(lines) + "\n"


def _repositories(facts: InitFacts) -> str:
    lines = [
        "# Where backups and WAL go. At least one belongs where the primary's site can't take it along.",
        "repositories:",
    ]
    for repository in facts.repositories:
        lines += [
            f"  {_quoted(repository.name)}:",
            f"    site: {_quoted(repository.site)}",
            f"    url: {_quoted(repository.url)}",
        ]
        for key in ("host", "region", "endpoint"):
            value = getattr(repository, key)
            if value is not None:
                lines.append(f"    {key}: {_quoted(value)}")
        lines += _key_lines(facts)
    if all(repository.site == facts.site for repository in facts.repositories):
        lines += [
            "  # Every repository above is at the primary's own site. Before you rely on this plan, add one elsewhere:",
            "  # far: {site: eu-central, url: s3://BUCKET, region: eu-central-1, keys: […]}",
        ]
    return "\n".join(lines) + "\n"


def _key_lines(facts: InitFacts) -> list[str]:
    if facts.key_file is None:
        return ["    encryption: none           # as asked: anybody who can read the store can read the data"]
    return [
        "    # Either one opens it. `escrow` is the recovery code that `seawall repository init` prints: keep it",
        "    # in a safe, since the key file may be lost in the same disaster as the server.",
        f"    keys: [{_quoted(f'file:{facts.key_file}')}, escrow]",
    ]


def _cluster(facts: InitFacts) -> str:
    lines = [
        f"# PostgreSQL {_comment(facts.version)}, {format_bytes(facts.size_bytes)}"
        + (f", started and stopped by {_comment(facts.owner)}" if facts.owner else ""),
    ]
    lines += [f"# tablespace {_comment(name)}: {_comment(location)}" for name, location in facts.tablespaces]
    if not facts.has_checksums:
        lines.append(
            "# It has no page checksums: damage on its disks goes into backups unseen. See pg_checksums."
        )
    lines += [
        "clusters:",
        f"  {_quoted(facts.cluster)}:",
        "    primary:",
        f"      host: {_quoted(facts.host)}",
        f"      dsn: {_quoted(facts.dsn)}",
        f"      data: {_quoted(facts.data)}",
    ]
    if facts.config:
        listed = ", ".join(_quoted(folder) for folder in facts.config)
        lines += [
            "      # Configuration outside the data directory, backed up with it:",
            f"      config: [{listed}]",
        ]
    lines += [
        "    wal:",
        "      # The server's archive_timeout. Without one a quiet server keeps its last work to itself.",
        f"      archive_timeout: {facts.archive_timeout}",
    ]
    return "\n".join(lines) + "\n"


def _tail(facts: InitFacts) -> str:
    example = _quoted(facts.databases[0]) if facts.databases else "shop"
    return f"""\
# Questions that prove a recovery; each statement returns true. :recovered_to is the moment that was reached.
# checks:
#   - name: orders are fresh
#     database: {example}
#     sql: "select max(at) > :recovered_to - interval '1h' from orders"

# Valid here already, but DECLARED, NOT ACTIVE until Seawall has what they need:
# clusters.NAME.schedule, clusters.NAME.wal.stream, clusters.NAME.standbys, repositories.NAME.retention, traffic,
# drills, approvals.
"""
