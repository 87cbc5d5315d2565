"""Run commands of tests as an ordinary user, also where the tests run as root."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from seawall.postgres.server.user import user_namespace_prefix


def as_ordinary_user(argv: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the command line that runs ``argv`` with a user number that isn't root's.

    Root's files stay readable and writable for it. Skips the test where root can't do that.
    """
    command = [os.fspath(part) for part in argv]
    if os.geteuid() != 0:
        return command
    prefix = user_namespace_prefix()
    if prefix is None:
        pytest.skip("root, and this machine does not allow user namespaces")
    return [*prefix, *command]
