"""The ``archive_command`` of a cluster, written in one way wherever it is proposed or compared."""

from __future__ import annotations

import os
import shlex

PUSH_PROGRAM = "seawall-wal-push"
"""``seawall wal push`` under a name of its own, without what pip puts around a console script: a few
milliseconds, once for every WAL segment."""


def archive_command(seawall: str, plan: str, cluster: str) -> str:
    """Return the command: absolute paths only, since it runs in the data directory (docs 26.3.1).

    ``seawall`` is how a shell starts Seawall: the path of its program, or an interpreter and ``-m seawall``.
    """
    words = [*_push_words(seawall), "--plan", plan, "--cluster", cluster]
    return shlex.join(words).replace("%", "%%") + ' "%p"'


def _push_words(seawall: str) -> list[str]:
    words = shlex.split(seawall)
    beside = os.path.join(os.path.dirname(words[0]), PUSH_PROGRAM)
    if len(words) == 1 and os.access(beside, os.X_OK):
        return [beside]
    return [*words, "wal", "push"]
