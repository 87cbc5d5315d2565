"""The error tree: what went wrong, in which category, and what to type next.

Every failure that a user can meet is a leaf of :class:`SeawallError`. A leaf has a stable ``code``
and a process exit ``status`` of its own inside its category's ranges; scripts may rely on both.
Categories say what may be done about it: only :class:`Unavailable` is worth a retry, and
:class:`Refused` promises that nothing was changed. A category's second range is for packages that came when
the first was given away; 124 and above mean something to ``timeout(1)`` and to shells.
"""

from __future__ import annotations

from typing import ClassVar

REGISTRY: dict[str, type[SeawallError]] = {}
"""Every leaf by code, filled as modules define them; docs/errors.md is generated from it."""


class SeawallError(Exception):
    """Base of all errors that are shown to a user.

    ``message`` is one sentence that names the thing at fault; ``hint`` is the remedy, ideally the
    next command to type; ``fields`` are the facts for ``--json`` (never secrets). A leaf whose remedy
    is always the same states it once as its ``default_hint``.
    """

    code: ClassVar[str] = ""
    status: ClassVar[int] = 0
    status_ranges: ClassVar[tuple[range, ...]] = (range(1, 126),)
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.fields = fields

    def __init_subclass__(cls, *, code: str = "", status: int = 0) -> None:
        super().__init_subclass__()
        if not code:
            return  # a category
        if code in REGISTRY or any(other.status == status for other in REGISTRY.values()):
            raise TypeError(f"error code {code!r} or exit status {status} is defined twice")
        if not any(status in span for span in cls.status_ranges):
            raise TypeError(f"{code}: exit status {status} is outside its category's {cls.status_ranges}")
        cls.code, cls.status = code, status
        REGISTRY[code] = cls


class InvalidInput(SeawallError):
    """What the user wrote can't be used: plan, option, URL, recovery target."""

    status_ranges = (range(10, 30), range(100, 105))


class NotFound(SeawallError):
    """Something that was named does not exist."""

    status_ranges = (range(30, 40), range(105, 109))


class Conflict(SeawallError):
    """Somebody else got there first, or holds it."""

    status_ranges = (range(40, 50), range(109, 111))


class Unavailable(SeawallError):
    """A server, store or network could not be reached in time. The only category that is retried."""

    status_ranges = (range(50, 60), range(111, 114))


class IntegrityError(SeawallError):
    """Stored or read bytes are not what was written."""

    status_ranges = (range(60, 70), range(114, 118))


class Refused(SeawallError):
    """Doing it would be unsafe; nothing was changed."""

    status_ranges = (range(70, 95), range(118, 124))


class Bug(SeawallError):
    """Seawall broke a promise of its own."""

    status_ranges = (range(95, 100),)


class UnexpectedFailure(Bug, code="unexpected-failure", status=99):
    """Anything that no other error covers; the CLI's last edge wraps stray exceptions in it."""
