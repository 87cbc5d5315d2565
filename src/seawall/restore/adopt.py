"""``--as primary``: take the cluster over in its repositories, by a recorded claim on the next term.

The new epoch begins where recovery will end, on a timeline of its own. Until then the claim binds the
repository to this directory: what the old primary still sends is quarantined, never mixed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from seawall.repository.repository import Repository
from seawall.repository.wal.errors import TermTaken
from seawall.repository.wal.terms import ForkPoint, Term, TermLog
from seawall.repository.wal.writers import writer_fingerprint
from seawall.restore.errors import ClaimRefused
from seawall.restore.planning.prove import ProvenPath
from seawall.restore.planning.request import PrimaryClaim, RestoreRequest


def observe_heads(repositories: Sequence[Repository], cluster: str) -> dict[str, Term]:
    """Return each repository's newest term, by repository id, before the restore decides anything.

    Raises:
        ClaimRefused: the cluster was never claimed, so there is nothing to take over.
    """
    heads: dict[str, Term] = {}
    for repository in repositories:
        head = TermLog(repository, cluster).head()
        if head is None:
            raise ClaimRefused(
                f"nobody ever wrote cluster {cluster!r} into {repository.store.url}",
                hint="restore as a copy, or check --cluster",
            )
        heads[repository.id] = head
    return heads


def claim_primary(
    claim: PrimaryClaim,
    repositories: Sequence[Repository],
    heads: Mapping[str, Term],
    request: RestoreRequest,
    path: ProvenPath,
) -> None:
    """Claim the next epoch for ``request``'s directory in every repository.

    ``heads`` is what :func:`observe_heads` saw when the restore began: who claimed since then was first, and
    is not claimed over. Repositories are taken in the order of their ids, so that of two machines that
    restore at once one loses in the first repository that both know, before it has claimed another.

    Raises:
        TermTaken: somebody else claimed it meanwhile.
    Crash: a re-run finds itself as the holder and goes on.
    """
    directory = Path(request.data_directory)
    fingerprint = writer_fingerprint(claim.state_directory, directory)
    for repository in sorted(repositories, key=lambda item: item.id):
        log = TermLog(repository, request.cluster)
        seen = heads[repository.id]
        head = log.head(at_least=seen.number) or seen
        if head.writer == fingerprint:
            continue
        if head.epoch != seen.epoch:
            raise TermTaken(
                f"{head.host}:{head.data_directory} became the primary of cluster {request.cluster!r} in "
                f"{repository.store.url} while this restore was under way (by {head.claimed_by})",
                hint="two people restore at once: agree on one primary. This directory was not made one; "
                "restore it as a copy, or decide anew with `seawall restore --as primary`",
                cluster=request.cluster,
                term=head.number,
            )
        log.claim_next(
            head,
            system_identifier=head.system_identifier,
            writer=fingerprint,
            data_directory=str(directory),
            forked_from=ForkPoint(path.history.timeline, path.end),
            claimed_by=claim.claimed_by,
        )
