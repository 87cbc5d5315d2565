"""Turn what a server shows, and what a person chose, into the facts of a first plan."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from seawall.cli.usage import UsageInvalid
from seawall.plan.definition.fields import default_state_directory
from seawall.plan.definition.kinds import STORE_URL
from seawall.plan.definition.sections import Rejected
from seawall.plan.init_plan import CurrentSettings, InitFacts, RepositoryFacts, name_from
from seawall.postgres.config_files import find_config_files, outside
from seawall.postgres.errors import OwnerForbids, ServerPermissionMissing
from seawall.postgres.server.owner import OwnerKind, ServerOwner
from seawall.postgres.server_facts import FileLocations, ServerFacts

DEFAULT_REPOSITORY = "file:///var/lib/seawall/repository"
CLUSTER = "main"
_REPOSITORY = re.compile(r"(?:([a-z0-9][a-z0-9_-]*)(?:@([a-z0-9][a-z0-9_-]*))?=)?([a-z0-9+]+://.*)")
_SHARED_FOLDERS = frozenset(
    map(Path, ("/", "/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/usr", "/var"))
)
"""Never backed up whole because one configuration file lies in them."""


@dataclass(frozen=True, slots=True)
class InitChoices:
    """What the command line says; None where the server or the machine is to decide."""

    output: Path
    repositories: tuple[str, ...] = ()
    service: str | None = None
    site: str | None = None
    key_file: Path | None = None
    is_encrypted: bool = True
    state: Path | None = None


def init_facts(facts: ServerFacts, owner: ServerOwner, choices: InitChoices) -> InitFacts:
    """Return the facts of a plan for the observed server. Changes nothing.

    Raises: OwnerForbids for a server whose files can't be read or that is a standby's,
    ServerPermissionMissing, UsageInvalid.
    """
    files = _require_files(facts, owner)
    if facts.is_in_recovery:
        raise OwnerForbids(
            f"{facts.server} is a standby; a plan begins with the primary",
            hint="seawall init with the primary's connection string",
        )
    user_databases = tuple(d.name for d in facts.databases if not d.is_template and d.name != "postgres")
    service = choices.service or name_from(facts.settings.get("cluster_name", ""), "")
    service = service or name_from(user_databases[0] if user_databases else "", "shop")
    site = choices.site or "home"
    host = name_from(socket.gethostname().split(".")[0], "db1")
    return InitFacts(
        service=service,
        cluster=CLUSTER,
        site=site,
        host=host,
        dsn=facts.server,
        data=files.data_directory,
        version=facts.version.split()[1],
        size_bytes=facts.size_bytes,
        repositories=read_repositories(choices.repositories or (DEFAULT_REPOSITORY,), site, host),
        plan_path=choices.output.absolute(),
        seawall_program=seawall_program(),
        key_file=_key_file(choices, service),
        config=config_folders(files),
        tablespaces=tuple((space.name, space.location) for space in facts.tablespaces),
        owner=owner.name,
        databases=user_databases,
        has_checksums=facts.has_checksums,
        state=(choices.state or default_state_directory()).absolute(),
    )


def current_settings(facts: ServerFacts) -> CurrentSettings:
    """Return the server's settings that archiving depends on."""
    return CurrentSettings(
        wal_level=facts.settings["wal_level"],
        archive_mode=facts.archive.mode,
        archive_command=facts.archive.command,
        archive_library=facts.archive.module,
        archive_timeout_s=facts.archive.timeout_s,
    )


def config_folders(files: FileLocations) -> tuple[Path, ...]:
    """Return the folders of configuration outside the data directory, without those inside others."""
    found = find_config_files(files).found
    folders = {path.parent for path in outside(files.data_directory, found)} - _SHARED_FOLDERS
    return tuple(
        sorted(
            folder
            for folder in folders
            if not any(other != folder and folder.is_relative_to(other) for other in folders)
        )
    )


def seawall_program() -> Path:
    """Return the absolute path of this program, for ``archive_command``."""
    started = Path(sys.argv[0])
    if started.name == "seawall" and started.is_file():
        return started.absolute()
    beside = Path(sys.executable).with_name("seawall")
    found = shutil.which("seawall")
    return beside if beside.is_file() or found is None else Path(found).absolute()


def _require_files(facts: ServerFacts, owner: ServerOwner) -> FileLocations:
    if owner.kind in (OwnerKind.RDS, OwnerKind.MANAGED_CLOUD):
        raise OwnerForbids(f"{facts.server} belongs to {owner.name}", hint=owner.advice)
    if facts.files is None:
        hint = "; ".join(missing.grant for missing in facts.denied)
        raise ServerPermissionMissing(f"{facts.server} does not show its files to this role", hint=hint)
    return facts.files


def _key_file(choices: InitChoices, service: str) -> Path | None:
    if not choices.is_encrypted:
        return None
    return (choices.key_file or choices.output.parent / f"{service}.key").absolute()


def read_repositories(texts: tuple[str, ...], site: str, host: str) -> tuple[RepositoryFacts, ...]:
    """Read ``[NAME[@SITE]=]URL``; a folder is near unless its site says otherwise, a bucket is far."""
    found: dict[str, RepositoryFacts] = {}
    for text in texts:
        match = _REPOSITORY.fullmatch(text)
        if match is None:
            raise UsageInvalid(
                f"--repository {text!r} is not [NAME[@SITE]=]URL",
                hint="--repository near=file:///var/lib/seawall --repository far@eu-central=s3://BUCKET",
            )
        name, named_site, url = match.groups()
        _refuse_url(url)
        is_folder = url.startswith("file:")
        where = named_site or (site if is_folder else "elsewhere")
        name = name or _free_name("near" if where == site else "far", found)
        if name in found:
            raise UsageInvalid(f"two repositories are called {name!r}", hint="give each --repository a NAME=")
        machine = (host if where == site else f"{where}-host") if is_folder else None
        found[name] = RepositoryFacts(name=name, site=where, url=url, host=machine)
    return tuple(found.values())


def _refuse_url(url: str) -> None:
    """Raise UsageInvalid for what the written plan would be refused for: a scheme, or a secret in it."""
    try:
        STORE_URL.parse(url)
    except Rejected as error:
        raise UsageInvalid(f"--repository: {error.message}", hint=error.remedy) from error


def _free_name(wanted: str, taken: dict[str, RepositoryFacts]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}{number}"
    return name
