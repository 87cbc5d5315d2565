"""What a person or a machine holds to open a repository. Values only; who reads files or prompts is above.

No class here shows its secret in ``repr`` and none is ever part of an error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING

from seawall.repository.errors import NameInvalid
from seawall.repository.format.crypto import KEY_BYTES

if TYPE_CHECKING:
    from pathlib import Path

MIN_KEY_FILE_BYTES = 32
MIN_PASSPHRASE_CHARACTERS = 8
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_RECOVERY_CHECK_BYTES = 3


def check_label(label: str) -> str:
    """Return ``label``. Raises NameInvalid."""
    if not _LABEL.fullmatch(label):
        raise NameInvalid(
            f"{label!r} can't be a key's label: up to 64 letters, digits and . _ @ -, beginning with a letter or digit",
            hint="labels are public: name the holder, never the secret",
        )
    return label


class _Secret:
    """Equal by kind, label and secret; shown without the secret.

    Written out, since ``dataclasses`` costs each `wal push` more than all of this package's own work to open
    a repository.
    """

    __slots__ = ("_secret", "label")

    def __init__(self, label: str, secret: bytes) -> None:
        self.label = check_label(label)
        self._secret = secret

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.label == other.label and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash((type(self), self.label))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(label={self.label!r})"


class KeyFile(_Secret):
    """The content of a key file: at least 32 bytes that nobody can guess."""

    __slots__ = ()

    def __init__(self, label: str, content: bytes) -> None:
        super().__init__(label, content)
        if len(content) < MIN_KEY_FILE_BYTES:
            raise NameInvalid(
                f"the key file {label!r} is shorter than {MIN_KEY_FILE_BYTES} bytes",
                hint="make one with: head -c 64 /dev/urandom | base64 > FILE && chmod 600 FILE",
            )

    @property
    def content(self) -> bytes:
        return self._secret

    @classmethod
    def read(cls, path: Path, label: str = "key-file") -> KeyFile:
        """Read a key file; a trailing line end is not part of the key. Raises OSError."""
        return cls(label, path.read_bytes().rstrip(b"\r\n"))


class Passphrase(_Secret):
    """Words that a person remembers; stretched by Argon2id, so each try costs time and memory."""

    __slots__ = ()

    def __init__(self, label: str, text: str) -> None:
        super().__init__(label, text.encode())
        if len(text) < MIN_PASSPHRASE_CHARACTERS:
            raise NameInvalid(
                f"the passphrase {label!r} has fewer than {MIN_PASSPHRASE_CHARACTERS} characters"
            )

    @property
    def text(self) -> str:
        return self._secret.decode()


class MasterKey(_Secret):
    """The repository's master key itself, out of escrow. Opens it without any slot."""

    __slots__ = ()

    def __init__(self, label: str, key: bytes) -> None:
        super().__init__(label, key)
        if len(key) != KEY_BYTES:
            raise NameInvalid("a master key has 32 bytes")

    @property
    def key(self) -> bytes:
        return self._secret

    @classmethod
    def generate(cls, label: str = "new") -> MasterKey:
        return cls(label, os.urandom(KEY_BYTES))


class RecoveryCode(_Secret):
    """256 random bits, printed in groups of letters and kept in a safe: the escrow slot's secret."""

    __slots__ = ()

    def __init__(self, label: str, key: bytes) -> None:
        super().__init__(label, key)
        if len(key) != KEY_BYTES:
            raise NameInvalid("a recovery code has 32 bytes")

    @property
    def key(self) -> bytes:
        return self._secret

    @classmethod
    def generate(cls, label: str = "escrow") -> RecoveryCode:
        return cls(label, os.urandom(KEY_BYTES))

    @classmethod
    def parse(cls, text: str, label: str = "escrow") -> RecoveryCode:
        """Read a code as it was printed, whatever case and spacing. Raises NameInvalid for a typing error."""
        return cls(label, parse_groups(text))

    def reveal(self) -> str:
        """Return the code to print. The only place where it becomes text."""
        return format_groups(self.key)


SlotSecret = KeyFile | Passphrase | RecoveryCode | MasterKey
"""Anything that :meth:`Repository.open` accepts."""


def format_groups(key: bytes) -> str:
    """Write 32 bytes and a check of 3 as 56 base-32 letters in groups of seven."""
    letters = base64.b32encode(key + _check(key)).decode("ascii")
    return "-".join(letters[start : start + 7] for start in range(0, len(letters), 7))


def parse_groups(text: str) -> bytes:
    """Read what :func:`format_groups` wrote. Raises NameInvalid."""
    letters = re.sub(r"[\s-]", "", text).upper().replace("0", "O").replace("1", "I").replace("8", "B")
    try:
        data = base64.b32decode(letters)
    except ValueError:
        data = b""
    key, check = data[:KEY_BYTES], data[KEY_BYTES:]
    if len(key) != KEY_BYTES or check != _check(key):
        raise NameInvalid(
            "this is not a recovery code: a letter is missing or mistyped",
            hint="a code has eight groups of seven letters and digits (2 to 7)",
        )
    return key


def _check(key: bytes) -> bytes:
    return hashlib.sha256(b"seawall recovery code v1" + key).digest()[:_RECOVERY_CHECK_BYTES]
