"""What can be wrong with a ledger, an entry or a key.

Statuses of this package: InvalidInput 100-101, NotFound 105, Conflict 109, IntegrityError 114-115, Refused 118-119.
"""

from __future__ import annotations

from seawall.model.errors import Conflict, IntegrityError, InvalidInput, NotFound, Refused


class EvidenceUnfit(InvalidInput, code="evidence-unfit", status=100):
    """What is to be recorded contradicts itself, or can't be written down exactly."""

    default_hint = "docs/evidence.md says what an entry may state"


class EvidenceKeyUnusable(InvalidInput, code="evidence-key-unusable", status=101):
    """A key file holds no usable Ed25519 key, or this user can't read or make it."""

    default_hint = "`seawall evidence keys show` prints this host's public key"


class LedgerMissing(NotFound, code="ledger-missing", status=105):
    """There is no ledger, or no such entry in it."""

    default_hint = "`seawall evidence list` shows what there is; the first drill begins a ledger"


class LedgerBusy(Conflict, code="ledger-busy", status=109):
    """Other writers took every number that was tried; nothing was appended."""

    default_hint = "run the command again"


class LedgerDamaged(IntegrityError, code="ledger-damaged", status=114):
    """An entry was altered, removed, reordered or inserted, or a head that is known is not in the chain."""

    default_hint = (
        "keep this copy as it is and compare it with another one; a new ledger can be begun with --name"
    )


class SignerUnproven(IntegrityError, code="signer-unproven", status=115):
    """Entries are signed by keys that are none of those given with --public-key."""

    default_hint = (
        "get that host's public key from the host itself (`seawall evidence keys show`) and give it too"
    )


class SignerUnknown(Refused, code="signer-unknown", status=118):
    """The ledger does not know this host's key, or no longer accepts it; nothing was appended."""

    default_hint = "on a host that may sign: seawall evidence keys add PUBLIC_KEY_FILE --label THIS_HOST"


class EvidenceKeyExposed(Refused, code="evidence-key-exposed", status=119):
    """The signing key is readable by others, or lies where what it signs could be changed with it."""

    default_hint = "keep it in the state directory, with mode 0600"
