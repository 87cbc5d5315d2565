"""Pages, WAL pages and relation segments of other sizes, on servers built for it (`make soak`)."""

from __future__ import annotations

import pytest

from tests.postgres.test_restore_round_trip import check_structure, fill, load
from tests.support.odd_servers import odd_programs
from tests.support.recovery import contents, protected

pytestmark = [pytest.mark.postgres, pytest.mark.soak]


@pytest.mark.parametrize(
    ("page_kib", "wal_page_kib", "segment_pages"), [(16, 32, 64), (1, 1, 1024), (32, 64, 8)]
)
def test_round_trip_with_other_sizes(page_kib: int, wal_page_kib: int, segment_pages: int) -> None:
    """Small segments make one relation many files, as only a relation of gigabytes would be elsewhere."""
    programs = odd_programs(page_kib=page_kib, wal_page_kib=wal_page_kib, segment_pages=segment_pages)
    with protected(programs) as shop:
        cluster = shop.cluster
        fill(cluster)
        control = cluster.control()
        assert control.block_bytes == page_kib << 10
        assert control.relation_segment_bytes == segment_pages * page_kib << 10
        files = {path.name for path in (cluster.data / "base").rglob("*") if path.name.endswith(".2")}
        assert files, "a relation has three segments at least"
        with load(cluster):
            shop.backup()
        before = contents(cluster), contents(cluster, "second")
        shop.archive_now()
        restored = shop.restore("--latest")
        assert (contents(restored), contents(restored, "second")) == before
        check_structure(restored)
        restored.stop()
        assert "Bad checksums:  0" in restored.program("pg_checksums", "--check", "-D", restored.data)


def test_damage_is_named_by_its_block_in_a_later_segment() -> None:
    programs = odd_programs(page_kib=16, wal_page_kib=32, segment_pages=64)
    with protected(programs) as shop:
        fill(shop.cluster)
        shop.cluster.sql("CHECKPOINT")
        path = str(shop.cluster.value("SELECT pg_relation_filepath('big')"))
        shop.cluster.stop()
        with open(shop.cluster.data / f"{path}.2", "r+b") as file:
            file.seek(5 * (16 << 10) + 4000)
            file.write(b"\xff" * 16)
        shop.cluster.start()
        shop.run("backup").failed_with(67, f"{path}.2", "postgres.public.big", f"block {2 * 64 + 5}")
