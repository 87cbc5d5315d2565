"""``--as primary``: take the cluster over in its repositories, by a recorded claim on the next term.

The new epoch begins where recovery will end, on a timeline of its own. Until then the claim binds the
repository to this directory: what the old primary still sends is quarantined, never mixed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seawall.repository.repository import Repository
from seawall.repository.terms import ForkPoint, TermLog
from seawall.repository.writers import writer_fingerprint
from seawall.restore.errors import ClaimRefused
from seawall.restore.prove import ProvenPath
from seawall.restore.request import PrimaryClaim, RestoreRequest


def claim_primary(
    claim: PrimaryClaim, repositories: Sequence[Repository], request: RestoreRequest, path: ProvenPath
) -> None:
    """Claim the next epoch for ``request``'s directory in every repository.

    Raises:
        TermTaken: somebody else claimed it meanwhile.
        ClaimRefused: the cluster was never claimed, so there is nothing to take over.
    Crash: a re-run finds itself as the holder and goes on.
    """
    directory = Path(request.data_directory)
    fingerprint = writer_fingerprint(claim.state_directory, directory)
    for repository in repositories:
        log = TermLog(repository, request.cluster)
        head = log.head()
        if head is None:
            raise ClaimRefused(
                f"nobody ever wrote cluster {request.cluster!r} into {repository.store.url}",
                hint="restore as a copy, or check --cluster",
            )
        if head.writer == fingerprint:
            continue
        log.claim_next(
            head,
            system_identifier=head.system_identifier,
            writer=fingerprint,
            data_directory=str(directory),
            forked_from=ForkPoint(path.history.timeline, path.end),
            claimed_by=claim.claimed_by,
        )
