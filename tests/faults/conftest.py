"""A protected shop with one backup and some WAL behind it, shared by the tests that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import Protected, protected


@pytest.fixture(scope="module")
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    """A cluster with a backup and archived WAL after it."""
    with protected(one_pg_programs) as found:
        found.cluster.sql("CREATE TABLE orders AS SELECT generate_series(1, 500) AS id")
        found.backup()
        found.archive_now()
        yield found
