"""Audits of test servers: the command as a person runs it, its findings by rule."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from seawall.cli.main import run
from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import wait_until
from tests.support.servers import TestCluster

SOUND_SETTINGS = {
    "fsync": "on",
    "archive_timeout": "60",
    "max_slot_wal_keep_size": "10GB",
    "max_prepared_transactions": "5",
}
"""What the quiet settings of test servers have wrong, put right."""

Results = dict[str, set[str]]


class Auditor:
    """Runs ``seawall audit --json`` and remembers the last document."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.document: Any = None
        self.status = -1

    def __call__(self, *arguments: str) -> Results:
        """Run and return the results of every rule."""
        self._capsys.readouterr()
        self.status = run(["audit", *arguments, "--json"])
        told = self._capsys.readouterr()
        assert self.status in (0, 3), told.err
        self.document = json.loads(told.out)
        found: Results = {}
        for finding in self.document["findings"]:
            found.setdefault(finding["rule"], set()).add(finding["result"])
        return found

    def finding(self, rule: str, result: str = "fail") -> Any:
        """Return the first finding of a rule with that result in the last audit."""
        return next(f for f in self.document["findings"] if f["rule"] == rule and f["result"] == result)


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str]) -> Auditor:
    """The command, ready to run."""
    return Auditor(capsys)


@contextmanager
def archiving_server(
    programs: ServerPrograms, settings: dict[str, str] | None = None
) -> Iterator[TestCluster]:
    """A running server that archives soundly into a folder beside its data directory."""
    cluster = TestCluster.create(programs, settings={**SOUND_SETTINGS, **(settings or {})})
    try:
        archive = cluster.folder / "archive"
        archive.mkdir(mode=0o777)
        archive.chmod(0o777)
        cluster.archive_with(sound_command(cluster))
        cluster.start()
        yield cluster
    finally:
        cluster.destroy()


def sound_command(cluster: TestCluster) -> str:
    archive = cluster.folder / "archive"
    return f"test ! -f {archive}/%f && cp %p {archive}/%f && sync {archive}/%f"


def set_and_reload(cluster: TestCluster, **settings: str | None) -> None:
    """Change settings (None: as in the file) and wait until new sessions see them."""
    for name, value in settings.items():
        literal = "DEFAULT" if value is None else "'" + value.replace("'", "''") + "'"
        cluster.sql(f"ALTER SYSTEM SET {name} = {literal}")
    before = cluster.value("SELECT pg_conf_load_time()")
    cluster.reload()
    wait_until(lambda: cluster.value("SELECT pg_conf_load_time()") != before, "the reload")
    names = ", ".join(f"'{name}'" for name in settings)
    pending = f"SELECT count(*) FROM pg_settings WHERE pending_restart AND name IN ({names})"
    assert cluster.value(pending) == 0, "needs a restart"
