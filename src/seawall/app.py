"""The composition root: a plan becomes open repositories, sources and policies.

Engines take values of their own and never see a plan; commands see the plan only through this module. So
there is one place that knows how a reference becomes a key, a URL a store, and a default a number.

The WAL client uses a part of it in a process that lives for milliseconds, so whatever is heavy is imported
where it is used.
"""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seawall.model.clock import Clock, SystemClock
from seawall.model.errors import InvalidInput, SeawallError
from seawall.plan.secrets import SecretReference, resolve
from seawall.storage.urls import StoreOptions, open_store

if TYPE_CHECKING:
    from seawall.audit.observe import ClusterTarget
    from seawall.backup.physical import BackupPolicy, ClusterSource
    from seawall.evidence.keys import SigningKey
    from seawall.evidence.ledger import Ledger
    from seawall.plan.model import ClusterPlan, Credentials, Plan
    from seawall.repository.repository import Repository
    from seawall.repository.secrets import SlotSecret
    from seawall.restore.planning.request import Check, OpenedRepository, PrimaryClaim
    from seawall.storage.protocol import ObjectStore


_PASSPHRASE = "passphrase:"


class NameUnknown(InvalidInput, code="name-unknown", status=11):
    """A cluster or repository was named that the plan doesn't have, or none was where there are several."""


class App(NamedTuple):
    """A loaded plan and what can be made of it."""

    plan: Plan
    clock: Clock

    patience_s: float = 30.0
    """How long an operation on a remote store is tried again: short where a person waits for an answer."""

    @classmethod
    def load(cls, plan_path: Path | None, *, patience_s: float = 30.0) -> App:
        """Find and read the plan. Raises PlanInvalid with every diagnostic."""
        from seawall.plan.load import load_plan

        return cls(load_plan(plan_path), SystemClock(), patience_s)

    def cluster_name(self, name: str | None) -> str:
        """Return the cluster that is meant. Raises NameUnknown unless that is certain."""
        known = list(self.plan.clusters)
        if name is None and len(known) == 1:
            return known[0]
        if name not in known:
            what = f"the plan has no cluster {name!r}" if name else "the plan has several clusters"
            raise NameUnknown(what, hint="--cluster takes one of: " + ", ".join(known))
        return name

    def cluster(self, name: str) -> ClusterPlan:
        return self.plan.clusters[name]

    def repository_names(self, cluster: str | None = None, only: str | None = None) -> list[str]:
        """Return the repositories that are meant, in the plan's order. Raises NameUnknown."""
        known = list(self.plan.repositories_of(cluster) if cluster else self.plan.repositories)
        if only is None:
            return known
        if only not in known:
            raise NameUnknown(
                f"the plan has no repository {only!r}" + (f" for cluster {cluster!r}" if cluster else ""),
                hint="--repository takes one of: " + ", ".join(known),
            )
        return [only]

    def open_store(self, name: str) -> ObjectStore:
        """Return the store of a repository. Raises StoreUrlInvalid, SecretUnusable."""
        settings = self.plan.repositories[name]
        return open_described_store(
            settings.url,
            settings.region,
            settings.endpoint,
            credential_references(settings.credentials),
            settings.coordination,
            patience_s=self.patience_s,
        )

    def key_secrets(self, name: str) -> list[SlotSecret]:
        """Return the keys that the plan can resolve here. Raises SecretUnusable."""
        return resolve_keys(self.plan.repositories[name].key_references)

    def open_repository(self, name: str) -> Repository:
        """Open a repository. Raises RepositoryMissing, WrongKey, StoreUnavailable and kin."""
        from seawall.repository.repository import Repository

        return Repository.open(self.open_store(name), self.key_secrets(name), clock=self.clock)

    def create_repository(self, name: str, extra: Sequence[SlotSecret] = ()) -> Repository:
        """Create a repository as the plan describes it; ``extra`` are further keys, as of escrow."""
        from seawall.repository.repository import Repository

        settings = self.plan.repositories[name]
        self._prepare_folder(name)
        secrets = [*self.key_secrets(name), *extra] if settings.is_encrypted else []
        return Repository.create(
            self.open_store(name), secrets, clock=self.clock, encrypted=settings.is_encrypted
        )

    def _prepare_folder(self, name: str) -> None:
        """Make a new ``file://`` repository's folder the server's user's, where root makes it.

        ``archive_command`` runs as that user and has to write there; what root adds later follows the folder.
        """
        url = self.plan.repositories[name].url
        folder = Path(url.removeprefix("file://"))
        if os.geteuid() != 0 or not url.startswith("file:///") or folder.exists():
            return
        for cluster, settings in self.plan.clusters.items():
            data = settings.primary.data
            if name in self.plan.repositories_of(cluster) and data.exists() and data.stat().st_uid != 0:
                folder.mkdir(mode=0o700, parents=True)
                os.chown(folder, data.stat().st_uid, data.stat().st_gid)
                return

    def opened_repositories(
        self, names: Sequence[str], left_out: dict[str, str] | None = None
    ) -> list[OpenedRepository]:
        """Open repositories to restore from; one that can't be opened is left out if another can.

        ``left_out`` is given those with the reason: what only they hold can't be restored, and a person has to
        know. Raises the first one's error if none can be opened.
        """
        from seawall.restore.planning.request import OpenedRepository
        from seawall.restore.planning.spec import RepositoryAddress

        opened: list[OpenedRepository] = []
        first_error: SeawallError | None = None
        for name in names:
            settings = self.plan.repositories[name]
            try:
                repository = self.open_repository(name)
            except SeawallError as error:
                first_error = first_error or error
                if left_out is not None:
                    left_out[name] = error.message
                continue
            address = RepositoryAddress(
                url=settings.url,
                region=settings.region,
                endpoint=settings.endpoint,
                credentials=credential_references(settings.credentials),
                keys=tuple(str(key) for key in settings.key_references),
                coordination=settings.coordination,
            )
            opened.append(OpenedRepository(name, repository, address))
        if not opened and first_error is not None:
            raise first_error
        return opened

    def evidence_repository(self) -> str:
        """Return the repository that evidence goes to: the one that is furthest from all primaries."""
        home = {name: self.plan.site_of_host(item.primary.host) for name, item in self.plan.clusters.items()}

        def distance(repository: str) -> int:
            settings = self.plan.repositories[repository]
            return sum(
                (settings.site != home[cluster]) + self.plan.is_off_host(cluster, repository)
                for cluster in home
            )

        return max(self.plan.repositories, key=distance)  # the plan's first of several

    def evidence_ledger(self, repository: str | None = None, name: str | None = None) -> Ledger:
        """Return the ledger of evidence in a repository, else in :meth:`evidence_repository`.

        It may not have been begun. No key of the repository is needed. Raises NameUnknown, RepositoryMissing.
        """
        from seawall.evidence.ledger import Ledger
        from seawall.evidence.places import place_in
        from seawall.repository.errors import RepositoryMissing
        from seawall.repository.layout import HEADER_KEY

        chosen = self.repository_names(only=repository)[0] if repository else self.evidence_repository()
        store = self.open_store(chosen)
        if store.stat(HEADER_KEY) is None:
            raise RepositoryMissing(f"there is no repository at {store.url}")
        return Ledger(place_in(store, name), clock=self.clock)

    def evidence_key(self) -> SigningKey:
        """Return this host's key for signing evidence, made on first use in the plan's ``state``.

        Raises EvidenceKeyUnusable, EvidenceKeyExposed.
        """
        from seawall.evidence.keys import load_or_create_key

        servers = [cluster.primary.data for cluster in self.plan.clusters.values()]
        urls = [settings.url for settings in self.plan.repositories.values()]
        folders = [Path(url.removeprefix("file://")) for url in urls if url.startswith("file:///")]
        owners = [folder.stat() for folder in servers if folder.exists()]
        return load_or_create_key(
            self.plan.state,
            apart_from=[*servers, *folders],
            folder_owner=(owners[0].st_uid, owners[0].st_gid) if owners else None,
        )

    def audit_target(self, cluster: str) -> ClusterTarget:
        """Return what an audit looks at for ``cluster``; stores and servers are reached only then."""
        from seawall.audit.observe import ClusterTarget

        settings = self.plan.clusters[cluster]
        return ClusterTarget(
            name=cluster,
            primary_dsn=settings.primary.dsn,
            standby_dsns={name: standby.dsn for name, standby in settings.standbys.items()},
            repositories={
                name: functools.partial(self.open_repository, name)
                for name in self.plan.repositories_of(cluster)
            },
            ledger=self.evidence_ledger,
        )

    def seawall_command(self) -> str:
        """Return how a shell starts this very Seawall: PostgreSQL's commands know no PATH of ours."""
        script = os.path.join(os.path.dirname(sys.executable), "seawall")
        if os.access(script, os.X_OK):
            return shlex.quote(script)
        return f"{shlex.quote(sys.executable)} -m seawall"

    def archive_command(self, cluster: str) -> str:
        """Return the ``archive_command`` of a primary of ``cluster`` under this plan."""
        from seawall.postgres.wal_program import archive_command

        return archive_command(self.seawall_command(), os.path.abspath(self.plan.path), cluster)

    def primary_claim(self, cluster: str, claimed_by: str | None) -> PrimaryClaim:
        """Return how a restored server takes ``cluster`` over; by this user if nobody is named."""
        import getpass

        from seawall.restore.planning.request import PrimaryClaim

        return PrimaryClaim(claimed_by or getpass.getuser(), self.plan.state, self.archive_command(cluster))

    def login_user(self, cluster: str) -> str | None:
        """Return the role of the plan's connection string, None where it leaves that open."""
        from seawall.postgres.session import parse_dsn

        return parse_dsn(self.plan.clusters[cluster].primary.dsn).get("user")

    def checks(self, cluster: str) -> tuple[Check, ...]:
        """Return the plan's SQL checks that apply after a restore of ``cluster``."""
        from seawall.plan.model import CheckWhen
        from seawall.restore.planning.request import Check

        return tuple(
            Check(item.name, item.database or "postgres", item.sql)
            for item in self.plan.checks
            if item.sql and item.cluster in (None, cluster) and item.when is not CheckWhen.DRILL
        )

    def source(self, cluster: str) -> ClusterSource:
        """Return the primary of ``cluster`` as the backup engine takes it."""
        from seawall.backup.physical import ClusterSource

        primary = self.plan.clusters[cluster].primary
        return ClusterSource(
            name=cluster,
            dsn=primary.dsn,
            data_directory=primary.data,
            state_directory=self.plan.state,
            config_directories=primary.config,
            plan_text=self.plan.text,
        )

    def backup_policy(
        self, cluster: str, *, jobs: int | None = None, wal_timeout_s: float = 300.0
    ) -> BackupPolicy:
        """Return how backups of ``cluster`` are taken; ``jobs`` overrides the plan."""
        from seawall.backup.physical import BackupPolicy
        from seawall.repository.format.codec import CompressionPolicy
        from seawall.storage.limit import Throttle

        settings = self.plan.clusters[cluster].backup
        throttle = None
        if settings.throttle_bytes_per_s:
            throttle = Throttle(settings.throttle_bytes_per_s, clock=self.clock).take
        return BackupPolicy(
            jobs=jobs or settings.jobs or os.cpu_count() or 1,
            compression=CompressionPolicy(level=settings.compression),
            throttle=throttle,
            wal_timeout_s=wal_timeout_s,
            checks_pages=settings.checksums,
        )


def credential_references(credentials: Credentials | None) -> dict[str, str] | None:
    """Return a store's account as references, in the words of a plan."""
    if credentials is None:
        return None
    found = {"key_id": str(credentials.key_id), "secret": str(credentials.secret)}
    if credentials.token is not None:
        found["token"] = str(credentials.token)
    return found


def open_described_store(
    url: str,
    region: str | None,
    endpoint: str | None,
    credentials: Mapping[str, str] | None,
    coordination: str | None = None,
    *,
    patience_s: float = 120.0,
) -> ObjectStore:
    """Return the store of a plan's (or a restore's) words; ``credentials`` are references.

    ``coordination`` is the URL of the store for control objects, where the first can't create conditionally;
    the same account opens it.

    Raises StoreUrlInvalid, SecretUnusable.
    """
    account = None
    if credentials is not None:
        account = {
            name: resolve(SecretReference.parse(reference)).reveal_text()
            for name, reference in credentials.items()
        }
    retry = None
    if not url.startswith("file:"):
        from seawall.storage.retry import RetryPolicy

        retry = RetryPolicy(deadline_s=patience_s)
    store = open_store(url, StoreOptions(region=region, endpoint=endpoint, credentials=account, retry=retry))
    if coordination is None:
        return store
    from seawall.storage.coordinated import CoordinatedStore

    return CoordinatedStore(store, open_store(coordination, StoreOptions(credentials=account, retry=retry)))


def resolve_keys(references: Sequence[SecretReference]) -> list[SlotSecret]:
    """Return what ``references`` lead to, as keys of a repository. Raises SecretUnusable."""
    secrets: list[SlotSecret] = []
    for reference in references:
        secrets += _as_keys(reference)
    return secrets


def _as_keys(reference: SecretReference) -> list[SlotSecret]:
    """Return what one reference may be: a key file, words, a recovery code, or a readable escrow document."""
    from seawall.repository.errors import NameInvalid
    from seawall.repository.secrets import KeyFile, Passphrase, RecoveryCode

    label = key_label(reference)
    secret = resolve(reference)
    content = secret.reveal()
    if content.startswith(b"{") and b'"escrow"' in content:
        from seawall.repository.key_ring import open_escrow

        return [open_escrow(content)]
    if not reference.is_passphrase:
        return [KeyFile(label, content)]
    words = secret.reveal_text()
    try:
        return [RecoveryCode.parse(words, label), Passphrase(label, words)]
    except NameInvalid:
        return [Passphrase(label, words)]


def parse_key_reference(text: str) -> SecretReference:
    """Read a key's reference as ``str`` wrote it. Raises ValueError."""
    marked = text.removeprefix(_PASSPHRASE)
    reference = SecretReference.parse(marked)
    return SecretReference(reference.scheme, reference.target, is_passphrase=marked != text)


def key_label(reference: SecretReference) -> str:
    """Return the public name of a key slot for a reference: its file's or variable's name, never more."""
    name = os.path.basename(reference.target.split()[0]) if reference.target else "key"
    cleaned = "".join(letter if letter.isalnum() or letter in "._@-" else "-" for letter in name).strip(
        "-._@"
    )
    return cleaned[:64] or "key"
