"""Who may write a cluster's lineage: one data directory on one host, bound by a term in the repository.

Clones, snapshots and test restores share the system identifier of their source, so the identifier alone
protects nothing (pgbackrest#1616, barman#11). A writer therefore proves itself by a key that lives outside
the data directory, so it is never copied with it, joined with the directory's real path.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from seawall.backup.errors import WriterNotBound, WrongServer
from seawall.repository.repository import Repository
from seawall.repository.wal.terms import Term, TermLog


class Binding(NamedTuple):
    """What the term log says of a writer: the epoch it may write in, or that its epoch is over."""

    epoch: int
    is_superseded: bool


def bind(
    repository: Repository, *, cluster: str, system_identifier: int, fingerprint: str, data_directory: Path
) -> Binding:
    """Return the writer's place in the cluster's lineage, claiming the first term of a new lineage.

    Raises:
        WrongServer: the lineage belongs to another database system.
        WriterNotBound: the lineage is another writer's, and this one never held it.
    """
    log = TermLog(repository, cluster)
    head = log.head()
    if head is None:
        head = log.claim_first(
            system_identifier=system_identifier, writer=fingerprint, data_directory=str(data_directory)
        )
    if head.system_identifier != system_identifier:
        raise WrongServer(
            f"cluster {cluster!r} in {repository.store.url} belongs to system {head.system_identifier}, "
            f"but this server is system {system_identifier}",
            hint="after pg_upgrade or a new initdb, use another cluster name; "
            "otherwise this is the wrong server or the wrong repository",
        )
    if head.writer == fingerprint:
        return Binding(head.epoch, is_superseded=False)
    earlier = _earlier_term(log, head, fingerprint)
    if earlier is not None:
        return Binding(earlier.epoch, is_superseded=True)
    raise WriterNotBound(
        f"cluster {cluster!r} in {repository.store.url} is written by another data directory "
        f"({head.data_directory}), not by {data_directory}",
        hint="a copy or a test restore must not archive: set archive_mode = off there. If this is the "
        "new primary, restore it with `seawall restore --as primary`",
    )


def _earlier_term(log: TermLog, head: Term, fingerprint: str) -> Term | None:
    for number in range(head.number - 1, 0, -1):
        term = log.read(number)
        if term.writer == fingerprint:
            return term
    return None
