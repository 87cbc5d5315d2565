"""What can be wrong with a repository, each with its own exit status.

Statuses of this package: InvalidInput 16-18, NotFound 32-34, Conflict 41-44, Unavailable 52,
IntegrityError 60-63, Refused 75-78. No message or field ever holds a secret.
"""

from __future__ import annotations

from seawall.model.errors import Conflict, IntegrityError, InvalidInput, NotFound, Refused


class WrongKey(InvalidInput, code="wrong-key", status=16):
    """None of the given secrets opens any key slot of the repository."""

    default_hint = (
        "give the key file, passphrase or recovery code of one of its slots; see `seawall key list`"
    )


class KeyNeeded(InvalidInput, code="key-needed", status=17):
    """The repository is (or is to be) encrypted and no secret was given."""

    default_hint = "name a key under `keys:` in the plan"


class NameInvalid(InvalidInput, code="repository-name-invalid", status=18):
    """A cluster name, backup id, slot label or secret can't be used in the repository."""

    default_hint = "see `seawall list` and `seawall key list` for the names there are"


class RepositoryMissing(NotFound, code="repository-missing", status=32):
    """The store holds no repository."""

    default_hint = "check the URL; `seawall repository init` makes a new one"


class BackupMissing(NotFound, code="backup-missing", status=33):
    """The catalog has no complete backup of that name."""

    default_hint = "`seawall list` shows what there is"


class RepositoryExists(Conflict, code="repository-exists", status=41):
    """The store already holds a repository; nothing was changed."""

    default_hint = "use it, or choose another URL"


class BackupCollected(Conflict, code="backup-collected", status=42):
    """The backup was declared dead and collected before its writer could commit it."""

    default_hint = "run the backup again"


class FrameDamaged(IntegrityError, code="object-damaged", status=60):
    """Bytes of an object are not what was written: flipped, cut, moved or of another repository."""

    default_hint = (
        "`seawall verify` tells what else is damaged; restore from another repository or an older backup"
    )


class ExtentDamaged(IntegrityError, code="extent-damaged", status=61):
    """The bytes of one extent of a file can't be had as they were stored; names pack and offset."""

    default_hint = (
        "`seawall verify` tells what else is damaged; restore from another repository or an older backup"
    )


class ControlDamaged(IntegrityError, code="control-damaged", status=62):
    """``seawall.json`` or a key slot was changed after it was written."""

    default_hint = "restore this object from another copy of the repository; no key slot needs another one"


class FormatTooNew(Refused, code="format-too-new", status=75):
    """The repository was written by a later Seawall, in a format that this one can't read."""

    default_hint = "use the Seawall that wrote it, or a later one"


class EncryptionMismatch(Refused, code="encryption-mismatch", status=76):
    """The repository is not encrypted although keys were given: a downgrade, or the wrong repository."""

    default_hint = (
        "set `encryption: none` in the plan if that is meant; if not, somebody replaced the repository"
    )


class LastKeySlot(Refused, code="last-key-slot", status=77):
    """Removing this slot would leave nothing that opens the repository."""

    default_hint = "add another with `seawall key add`, or replace it with `seawall key rotate`"
