"""Streaming standbys of test clusters."""

from __future__ import annotations

import time

from tests.support.servers import TestCluster, temporary_folder

STREAMING_TIMEOUT_S = 30.0


def make_standby(primary: TestCluster, name: str = "standby") -> TestCluster:
    """Return a new standby of a running primary, started and streaming. The caller destroys it.

    pg_basebackup's own -R is not used: it writes down every option that its libpq knows, and the
    server's may be linked against an older one.
    """
    standby = TestCluster(primary.programs, temporary_folder())
    try:
        primary.program(
            "pg_basebackup",
            "-D",
            standby.data,
            "-d",
            primary.dsn(),
            "-c",
            "fast",
            "-X",
            "stream",
            "--no-sync",
        )
        (standby.data / "standby.signal").touch()
        standby.configure({"primary_conninfo": primary.dsn(), "cluster_name": name})
        standby.start()
        _wait_until_streaming(primary, name)
    except BaseException:
        standby.destroy()
        raise
    return standby


def _wait_until_streaming(primary: TestCluster, name: str) -> None:
    query = f"SELECT count(replay_lsn) FROM pg_stat_replication WHERE application_name = '{name}'"
    ends_at = time.monotonic() + STREAMING_TIMEOUT_S
    while not primary.value(query):
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{name} does not stream")
        time.sleep(0.05)
