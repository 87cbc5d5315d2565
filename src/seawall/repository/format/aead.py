"""AES-256-GCM by the shortest import: the compiled class itself, without the package around it.

``cryptography.hazmat.primitives.ciphers.aead`` re-exports this class, after 10 ms of imports that ``wal push``
would pay for each segment. Where a release keeps the class elsewhere, the public path is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
else:
    try:
        from cryptography.hazmat.bindings._rust import openssl

        AESGCM = openssl.aead.AESGCM
    except (ImportError, AttributeError):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["AESGCM", "invalid_tag"]


def invalid_tag() -> type[Exception]:
    """Return the class to catch; an ``except`` clause calls this only once something was raised."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag
