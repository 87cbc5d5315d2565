"""Words on standard error that change no exit status, whatever becomes of them."""

from __future__ import annotations

import os
import sys


def tell(text: str) -> None:
    """Print to standard error; where that can't be written, the exit status still has to be the right one.

    A server's log on a full disk, or a log collector that died, would else turn "the store does not answer" into
    status 1 (or 120, from the interpreter's last flush), which PostgreSQL takes for the end of the WAL, and a
    segment that is safe into one that is pushed for ever.
    """
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
