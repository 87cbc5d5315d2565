"""This host's own public key, which its reader trusts without being given it."""

from __future__ import annotations

import os
from pathlib import Path

from seawall.evidence.errors import EvidenceKeyExposed, EvidenceKeyUnusable
from seawall.evidence.keys import KEY_NAME, PublicKey, load_or_create_key


def own_public_key(state_directory: Path) -> PublicKey | None:
    """Return the public half of this host's signing key, None where there is none or this user may not read it.

    Makes no key: whoever only reads evidence shall not become a signer.
    """
    if not os.path.exists(state_directory / KEY_NAME):
        return None
    try:
        return load_or_create_key(state_directory).public
    except (EvidenceKeyUnusable, EvidenceKeyExposed):
        return None
