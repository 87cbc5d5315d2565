"""Change settings of a running server through ALTER SYSTEM, and nothing else.

The caller has asked ``server_owner`` whether that is allowed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from seawall.postgres.session import ServerSession

_RELOAD_TIMEOUT_S = 10.0


def apply_settings(
    session: ServerSession, statements: Iterable[str], names: Sequence[str]
) -> tuple[str, ...]:
    """Run ALTER SYSTEM ``statements``, reload, and return those of ``names`` that wait for a restart.

    Raises: ServerPermissionMissing, StatementRefused: those before the failed one are in
    postgresql.auto.conf and take effect at the next reload.
    Crash: the same; running it again is harmless.
    """
    for statement in statements:
        session.execute(statement)
    before = _loaded_at(session)
    session.execute("SELECT pg_reload_conf()")
    ends_at = time.monotonic() + _RELOAD_TIMEOUT_S
    while _loaded_at(session) == before and time.monotonic() < ends_at:
        time.sleep(0.05)
    rows = session.query_all(
        "SELECT name FROM pg_settings WHERE pending_restart AND name = ANY(%s) ORDER BY name", (list(names),)
    )
    return tuple(name for (name,) in rows)


def _loaded_at(session: ServerSession) -> object:
    """The postmaster reloads in its own time; a session has new values once its own reload is done."""
    (loaded_at,) = session.query_one("SELECT pg_conf_load_time()")
    return loaded_at
