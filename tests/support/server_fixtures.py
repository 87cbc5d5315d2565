"""pytest fixtures for real servers, for every folder of tests (a plugin of tests/conftest.py).

``pg_programs``   the programs of every major in turn: a test that asks for it runs once for each
``server``        a fresh, running cluster of that major
``one_pg_programs`` the programs of one version (15, else the newest), for tests that don't care
``one_server``    a fresh, running cluster of that one version
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.server_programs import default_programs, server_programs, wanted_majors
from tests.support.servers import TestCluster


@pytest.fixture(scope="session", params=wanted_majors(), ids=lambda major: f"pg{major}")
def pg_programs(request: pytest.FixtureRequest) -> ServerPrograms:
    """The programs of each major; skips where this machine has none."""
    programs = server_programs(request.param)
    if programs is None:
        pytest.skip(f"no PostgreSQL {request.param} on this machine, and none could be fetched")
    return programs


@pytest.fixture(scope="session")
def one_pg_programs() -> ServerPrograms:
    """The programs of one version."""
    programs = default_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine, and none could be fetched")
    return programs


@pytest.fixture
def server(pg_programs: ServerPrograms) -> Iterator[TestCluster]:
    """A fresh server of each major, started and removed."""
    yield from _running(pg_programs)


@pytest.fixture
def one_server(one_pg_programs: ServerPrograms) -> Iterator[TestCluster]:
    """A fresh server of one version, started and removed."""
    yield from _running(one_pg_programs)


def _running(programs: ServerPrograms) -> Iterator[TestCluster]:
    cluster = TestCluster.create(programs)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.destroy()
