"""Page checksums against every page of a real cluster, and against pg_checksums."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from seawall.postgres.files.checksums import PageChecksummer
from seawall.postgres.files.relation_files import has_page_checksums, parse_relation_file
from tests.support.servers import InitOptions, TestCluster

pytestmark = pytest.mark.postgres

BEYOND = 2**64 - 1

FILL = (
    "CREATE TABLE wide AS SELECT g AS id, md5(g::text) AS a, repeat(md5((g * 7)::text), 30) AS b"
    " FROM generate_series(1, 4000) g",
    "ALTER TABLE wide ADD PRIMARY KEY (id)",
    "CREATE INDEX ON wide USING hash (a)",
    "CREATE INDEX ON wide USING brin (id)",
    "CREATE INDEX ON wide USING gin (to_tsvector('simple', a))",
    "CREATE INDEX ON wide USING gist (point(id, id))",
    "CREATE INDEX ON wide USING spgist (a)",
    "CREATE UNLOGGED TABLE quick AS SELECT * FROM wide LIMIT 100",
    "CREATE SEQUENCE numbers",
    "DELETE FROM wide WHERE id % 3 = 0",
    "VACUUM wide",
)


def bad_blocks(cluster: TestCluster) -> dict[str, list[int]]:
    """Return the suspicious blocks of a stopped cluster by file."""
    control = cluster.control()
    checksummer = PageChecksummer(control.block_bytes)
    found = {}
    for path in sorted(cluster.data.rglob("*")):
        name = str(path.relative_to(cluster.data))
        relation = parse_relation_file(path.name)
        if relation is None or not has_page_checksums(name) or not path.is_file():
            continue
        first = relation.first_block(control.relation_segment_blocks)
        blocks = checksummer.suspicious_pages(path.read_bytes(), first, start_lsn=BEYOND, insert_lsn=BEYOND)
        if blocks.size:
            found[name] = blocks.tolist()
    return found


def pages_seen_by_pg_checksums(cluster: TestCluster) -> tuple[int, int]:
    """Return blocks scanned and bad checksums, as pg_checksums counts them."""
    done = subprocess.run(
        cluster.run_as.command([cluster.programs.path("pg_checksums"), "--check", "-D", cluster.data]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **cluster.run_as.popen_kwargs(),
    )
    numbers = dict(re.findall(r"(Blocks scanned|Bad checksums): +(\d+)", done.stdout))
    return int(numbers["Blocks scanned"]), int(numbers["Bad checksums"])


def relation_pages(cluster: TestCluster) -> int:
    """Count the pages of all relation files."""
    files = [path for path in cluster.data.rglob("*") if path.is_file()]
    checked = [path for path in files if has_page_checksums(str(path.relative_to(cluster.data)))]
    return sum(path.stat().st_size for path in checked) // cluster.control().block_bytes


def damage(path: Path, offset: int) -> None:
    """Flip one bit of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x40]))


def test_every_page_of_a_cluster(server: TestCluster) -> None:
    server.sql(*FILL)
    wide = server.data / server.value("SELECT pg_relation_filepath('wide')")
    index = server.data / server.value("SELECT pg_relation_filepath('wide_pkey')")
    server.stop()
    assert bad_blocks(server) == {}
    assert pages_seen_by_pg_checksums(server) == (relation_pages(server), 0)

    damage(wide, 3 * 8192 + 5000)
    damage(wide, 9 * 8192 + 20)
    damage(index, 8192 + 8)
    expected = {str(wide.relative_to(server.data)): [3, 9], str(index.relative_to(server.data)): [1]}
    assert bad_blocks(server) == expected
    assert pages_seen_by_pg_checksums(server)[1] == 3


def test_a_running_servers_recent_pages_are_left_alone(one_server: TestCluster) -> None:
    """An LSN check that confuses its halves or its limits would cry wolf on a live server."""
    one_server.sql(*FILL, "CHECKPOINT")
    start = one_server.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
    one_server.sql("UPDATE wide SET b = b || 'x'", "CHECKPOINT")
    path = one_server.data / one_server.value("SELECT pg_relation_filepath('wide')")
    copy = path.read_bytes()
    insert = int(one_server.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))
    checksummer = PageChecksummer(8192)
    assert checksummer.suspicious_pages(copy, 0, start_lsn=int(start), insert_lsn=insert).size == 0
    beyond = checksummer.suspicious_pages(copy, 0, start_lsn=int(start), insert_lsn=int(start) - 1)
    assert beyond.size > 0, "pages written since claim a later position"


def test_without_checksums_the_field_is_zero_and_everything_is_suspicious(one_server: TestCluster) -> None:
    """Whether a cluster has checksums is pg_control's word; pages alone can't tell."""
    cluster = TestCluster.create(one_server.programs, options=InitOptions(checksums=False))
    try:
        assert not cluster.control().has_checksums
        assert bad_blocks(cluster)
    finally:
        cluster.destroy()
