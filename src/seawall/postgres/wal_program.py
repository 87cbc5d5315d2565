"""How PostgreSQL starts Seawall for its WAL: the words of ``archive_command`` and ``restore_command``, in one way
wherever they are proposed, written or compared."""

from __future__ import annotations

import os
import shlex

WAL_PROGRAM = "seawall-wal"
"""``seawall wal`` under a name of its own, without what pip puts around a console script: a few milliseconds,
once for every WAL segment."""


def wal_words(seawall: str) -> list[str]:
    """Return what ``push`` or ``get`` follows. ``seawall`` is how a shell starts Seawall: the path of its program,
    or an interpreter and ``-m seawall``."""
    words = shlex.split(seawall)
    beside = os.path.join(os.path.dirname(words[0]), WAL_PROGRAM)
    if len(words) == 1 and os.access(beside, os.X_OK):
        return [beside]
    return [*words, "wal"]


def archive_command(seawall: str, plan: str, cluster: str) -> str:
    """Return the command: absolute paths only, since it runs in the data directory (docs 26.3.1)."""
    words = [*wal_words(seawall), "push", "--plan", plan, "--cluster", cluster]
    return shlex.join(words).replace("%", "%%") + ' "%p"'
