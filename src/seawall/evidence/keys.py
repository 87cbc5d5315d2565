"""The Ed25519 keys (RFC 8032) that sign entries: one for each host, made on first use, and the public halves.

The signing key is a PEM file in the host's state directory, readable by the user who made it alone. It is never
given away to the server's user: whoever can read files as that user (``pg_read_file`` is enough) could sign.
It must not lie in a data directory or a repository: clones and copies would carry it along.

A key is named by its fingerprint, the SHA-256 of its DER form (SubjectPublicKeyInfo), so that
``openssl pkey -pubin -in FILE -outform DER | sha256sum`` shows the same.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from seawall.evidence.errors import EvidenceKeyExposed, EvidenceKeyUnusable

KEY_NAME = "evidence.key"
_MOST_BYTES = 64 << 10


class PublicKey:
    """What proves a signature. Equal keys have equal fingerprints."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.fingerprint = hashlib.sha256(der).hexdigest()

    @classmethod
    def parse(cls, pem: bytes, where: str) -> PublicKey:
        """Read a PEM public key. Raises EvidenceKeyUnusable; a private key is refused, and never shown."""
        if b"PRIVATE KEY" in pem:
            raise EvidenceKeyUnusable(
                f"{where} holds a private key", hint="hand out the public one: seawall evidence keys show"
            )
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise EvidenceKeyUnusable(
                f"{where} holds no public key in PEM form",
                hint="it begins with -----BEGIN PUBLIC KEY-----; `seawall evidence keys show` prints one",
            ) from None
        if not isinstance(key, Ed25519PublicKey):
            raise EvidenceKeyUnusable(f"{where} holds a key that is not Ed25519")
        return cls(key)

    @property
    def pem(self) -> str:
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(encoding, form).decode("ascii")

    def is_signature(self, signature: bytes, message: bytes) -> bool:
        """Say whether the holder of the private half signed ``message``."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"PublicKey({self.fingerprint[:16]})"


class SigningKey:
    """What signs. The private half is never shown."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def render(self) -> bytes:
        """Return the secret PEM file (PKCS #8), as ``openssl genpkey -algorithm ed25519`` writes it."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def __repr__(self) -> str:
        return f"SigningKey({self.public.fingerprint[:16]})"


def read_public_key(path: Path) -> PublicKey:
    """Read a public key from a file. Raises EvidenceKeyUnusable."""
    try:
        with open(path, "rb") as file:
            return PublicKey.parse(file.read(_MOST_BYTES), str(path))
    except OSError as error:
        raise EvidenceKeyUnusable(f"the public key {path} can't be read: {error.strerror}") from error


def load_or_create_key(
    state_directory: Path, *, apart_from: Iterable[Path] = (), folder_owner: tuple[int, int] | None = None
) -> SigningKey:
    """Return this host's signing key, making it on first use.

    ``apart_from`` are folders that must not hold it: data directories, repositories. The state directory belongs
    to the server's user (``wal push`` keeps its key there): where root has to make it, it is given to
    ``folder_owner``, a user and group id. The signing key stays root's.

    Raises:
        EvidenceKeyUnusable, EvidenceKeyExposed: nothing was changed.
    Crash: the key file is there whole (link) or not at all.
    """
    path = state_directory / KEY_NAME
    _require_apart(path, apart_from)
    try:
        return _read_key(path)
    except FileNotFoundError:
        pass  # first use: made below
    try:
        _create_key(path, folder_owner)
        return _read_key(path)
    except OSError as error:
        raise EvidenceKeyUnusable(
            f"the signing key {path} can't be made: {error.strerror}",
            hint="run it as the user whom the state directory belongs to (`state:` in the plan)",
        ) from error


def _require_apart(path: Path, folders: Iterable[Path]) -> None:
    real = Path(os.path.realpath(path))
    for folder in folders:
        if real.is_relative_to(os.path.realpath(folder)):
            raise EvidenceKeyExposed(
                f"the signing key would lie in {folder}, and be copied with it",
                hint="choose a state directory (`state:` in the plan) outside data directories and repositories",
            )


def _read_key(path: Path) -> SigningKey:
    """Read the key from a regular file that is this user's alone; checks the open file, not the path."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EvidenceKeyUnusable(
            f"the signing key {path} can't be opened: {error.strerror}",
            hint="run it as the user who made the key; another user's drills need another `state:`",
        ) from error
    with open(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise EvidenceKeyUnusable(f"the signing key {path} is no regular file")
        if state.st_uid != os.geteuid():
            raise EvidenceKeyExposed(
                f"the signing key {path} is that of another user (uid {state.st_uid}), who could sign with it",
                hint=f"run it as that user, or move the key aside: ls -l {path}",
            )
        if state.st_mode & 0o077:
            raise EvidenceKeyExposed(
                f"the signing key {path} is open to other users (mode {stat.S_IMODE(state.st_mode):04o})",
                hint=f"chmod 600 {path}; if others could have read it, retire it: seawall evidence keys retire",
            )
        content = file.read(_MOST_BYTES)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise EvidenceKeyUnusable(
            f"{path} holds no Ed25519 private key in PEM form",
            hint="move it aside: a new key is made on the next use, and has to be added to the ledger",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceKeyUnusable(f"{path} holds a key that is not Ed25519", hint="move it aside")
    return SigningKey(key)


def _create_key(path: Path, folder_owner: tuple[int, int] | None) -> None:
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder_owner is not None and os.geteuid() == 0:
            os.chown(path.parent, *folder_owner)
    temporary = path.with_name(f".{KEY_NAME}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(SigningKey.generate().render())
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process was first, and its key counts
    finally:
        os.unlink(temporary)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
