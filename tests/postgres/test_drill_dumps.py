"""Dumps of every kind, restored by a drill: sound ones pass, and each way in which a dump can be bad is caught."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seawall.postgres.programs import ServerPrograms, find_all_programs
from tests.support.drills import SHOP
from tests.support.recovery import Outcome, seawall
from tests.support.servers import TestCluster, temporary_folder

pytestmark = pytest.mark.postgres

FAILED, INCOMPLETE = 116, 120


@dataclass(slots=True)
class Dumps:
    """Sound dumps of one database, and a place for bad copies of them."""

    folder: Path
    programs: ServerPrograms

    def path(self, name: str) -> Path:
        return self.folder / name

    def drill(self, path: Path, *options: str | os.PathLike[str]) -> Outcome:
        return seawall(
            *("drill", "restore", path, "--json", "--scratch", "/tmp", "--state", self.folder / "state"),
            *("--pg-bin", self.programs.folder, "--jobs", "2"),
            *options,
        )

    def whole(self, name: str, *options: str | os.PathLike[str]) -> Outcome:
        """Drill a dump together with its roles."""
        return self.drill(self.path(name), "--globals", self.path("globals.sql"), *options)


@pytest.fixture(scope="module")
def dumps(one_pg_programs: ServerPrograms) -> Iterator[Dumps]:
    """Dumps of a database with one of everything, in all formats."""
    cluster = TestCluster.create(one_pg_programs)
    (cluster.folder / "space").mkdir(mode=0o700)
    made = Dumps(temporary_folder(), one_pg_programs)
    try:
        cluster.start()
        cluster.sql(
            "CREATE ROLE app LOGIN PASSWORD 'secret'", 'CREATE ROLE "Auditors"', "CREATE DATABASE shop"
        )
        cluster.sql(f"CREATE TABLESPACE fast LOCATION '{cluster.folder / 'space'}'")
        cluster.sql(
            *SHOP,
            "ALTER TABLE orders OWNER TO app",
            'GRANT SELECT ON customers TO "Auditors"',
            database="shop",
        )
        cluster.program("pg_dump", "-Fc", "-d", cluster.dsn("shop"), "-f", made.path("alone.dump"))
        cluster.sql("ALTER TABLE pairs SET TABLESPACE fast", database="shop")
        counted = seawall("drill", "capture", cluster.url(), "--digests").succeeded()
        assert counted.document["shop"]["public.orders"]["rows"] == 1000
        shop_alone = {"shop": counted.document["shop"]}
        made.path("captured.json").write_text(json.dumps(shop_alone))
        for letter, name in (("c", "shop.dump"), ("d", "shop.dir"), ("t", "shop.tar"), ("p", "shop.sql")):
            cluster.program("pg_dump", f"-F{letter}", "-d", cluster.dsn("shop"), "-f", made.path(name))
        cluster.program("pg_dump", "--create", "-d", cluster.dsn("shop"), "-f", made.path("create.sql"))
        cluster.program("pg_dumpall", "--globals-only", "-d", cluster.dsn(), "-f", made.path("globals.sql"))
        cluster.program("pg_dumpall", "-d", cluster.dsn(), "-f", made.path("all.sql"))
        cluster.sql(
            "SELECT setval('orders_id_seq', 5)",
            "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey",
            "DELETE FROM customers WHERE id = 7",
            "ALTER TABLE orders ADD CONSTRAINT late FOREIGN KEY (customer) REFERENCES customers NOT VALID",
            database="shop",
        )
        cluster.program("pg_dump", "-Fc", "-d", cluster.dsn("shop"), "-f", made.path("behind.dump"))
        cluster.sql("CREATE DATABASE wide")
        cluster.sql(
            "CREATE TABLE t AS SELECT n, repeat('x', 1900) FROM generate_series(1, 32000) n", database="wide"
        )
        cluster.program("pg_dump", "-Fc", "-d", cluster.dsn("wide"), "-f", made.path("wide.dump"))
        made.path("shop.sql.gz").write_bytes(gzip.compress(made.path("shop.sql").read_bytes()))
        yield made
    finally:
        cluster.destroy()
        shutil.rmtree(made.folder, ignore_errors=True)


@pytest.mark.parametrize("name", ["shop.dump", "shop.dir", "shop.tar", "shop.sql.gz", "create.sql"])
def test_a_sound_dump_passes(name: str, dumps: Dumps) -> None:
    document = dumps.whole(name, "--check", "orders=SELECT count(*) = 1000 FROM orders").succeeded().document

    found = {item["name"]: item for item in document["assertions"]}
    assert {item["outcome"] for item in found.values()} == {"passed"}
    assert {"restored and started", "check: orders", "roles", "amcheck", "foreign keys", "sequences"} <= set(
        found
    )
    assert found["rows"]["figures"]["rows"] == 1106
    assert document["source"]["tool"] == "pg_dump"
    assert document["measures"]["restored_bytes"] > 0
    assert document["recorded"] is None


def test_a_whole_cluster_in_zstd(dumps: Dumps) -> None:
    zstd = pytest.importorskip("backports.zstd")
    packed = dumps.path("all.sql.zst")
    packed.write_bytes(zstd.compress(dumps.path("all.sql").read_bytes()))
    orders = "orders=SELECT count(*) = 1000 FROM orders"
    place = "place=SELECT pg_tablespace_location(oid) ~ '/seawall-drill-' FROM pg_tablespace WHERE spcname = 'fast'"
    outcome = dumps.drill(packed, "--database", "shop", "--check", orders, "--check", place)
    document = outcome.succeeded().document

    (roles,) = (item for item in document["assertions"] if item["name"] == "roles")
    assert roles["figures"]["roles"] == 4, "postgres, app, Auditors and the drill's own"
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    _fails(dumps.drill(packed), "restored and started", "cut off")


def _sql(text: Callable[[str], str]) -> Callable[[Dumps, Path], Path]:
    def change(dumps: Dumps, folder: Path) -> Path:
        path = folder / "bad.sql"
        path.write_text(text(dumps.path("create.sql").read_text()))
        return path

    return change


def _cut(name: str, share: float) -> Callable[[Dumps, Path], Path]:
    def change(dumps: Dumps, folder: Path) -> Path:
        path = folder / name
        content = dumps.path(name).read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return change


def _member(change: Callable[[Path], None]) -> Callable[[Dumps, Path], Path]:
    """Change the largest data file of a directory dump."""

    def copy(dumps: Dumps, folder: Path) -> Path:
        path = folder / "bad.dir"
        shutil.copytree(dumps.path("shop.dir"), path)
        change(max(path.glob("*.dat.gz"), key=lambda file: file.stat().st_size))
        return path

    return copy


def _one_row_less(text: str) -> str:
    head, copy, rest = text.partition("COPY public.customers")
    first, _, others = rest.partition("\n")
    return head + copy + first + "\n" + others.partition("\n")[2]


_END = "-- PostgreSQL database dump complete"
BAD: dict[str, tuple[Callable[[Dumps, Path], Path], str]] = {
    "error-in-the-middle": (
        _sql(lambda text: text.replace("ALTER TABLE ONLY", "ALTER TABEL ONLY", 1)),
        "syntax error",
    ),
    "row-of-another-shape": (
        _sql(
            lambda text: text.replace(
                "COPY public.pairs (a, b) FROM stdin;\n1\t1", "COPY public.pairs (a, b) FROM stdin;\n1", 1
            )
        ),
        "missing data for column",
    ),
    "row-missing": (_sql(_one_row_less), "foreign key constraint"),
    "cut-off": (_sql(lambda text: text[: len(text) // 2]), "cut off"),
    "end-missing": (_sql(lambda text: text.partition(_END)[0]), "cut off"),
    "cut-off-archive": (_cut("shop.dump", 0.8), "pg_restore"),
    "cut-off-header": (_cut("shop.dump", 0.05), "can't be read"),
    "cut-off-gzip": (_cut("shop.sql.gz", 0.7), "cut off"),
    "cut-off-member": (_member(lambda file: os.truncate(file, file.stat().st_size - 9)), "cut off"),
    "member-missing": (_member(lambda file: file.unlink()), "could not open"),
    "extension-missing": (
        _sql(lambda text: text.replace("CREATE TABLE", "CREATE EXTENSION postgis;\nCREATE TABLE", 1)),
        "postgis",
    ),
    "locale-missing": (_sql(lambda text: text.replace("LOCALE = 'C'", "LOCALE = 'xx_XX'")), "xx_XX"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_dump_fails(kind: str, dumps: Dumps, tmp_path: Path) -> None:
    change, says = BAD[kind]
    path = change(dumps, tmp_path)
    assert path.exists()
    _fails(dumps.drill(path, "--globals", dumps.path("globals.sql")), "restored and started", says)


def test_a_dump_that_names_roles_which_nobody_carries(dumps: Dumps) -> None:
    document = _fails(dumps.drill(dumps.path("alone.dump")), "roles", "app is named and not carried")
    assert any("stand-ins" in item for item in document["deviations"])
    assert [item["name"] for item in document["assertions"] if item["outcome"] != "passed"] == ["roles"]
    assert "Auditors is named" in str(document)
    left_out = dumps.drill(dumps.path("alone.dump"), "--no-owner").succeeded().document
    assert any("--no-owner" in item for item in left_out["deviations"])
    _fails(dumps.drill(dumps.path("shop.dump")), "restored and started", "tablespace")


def test_data_that_its_dump_does_not_complain_of(dumps: Dumps) -> None:
    """A sequence behind its table comes back without a word; a constraint that was never valid examinations nothing."""
    document = dumps.whole("behind.dump").failed_with(FAILED, "orders_id_seq is behind").document
    assert [item["name"] for item in document["assertions"] if item["outcome"] != "passed"] == ["sequences"]


def test_counts_captured_with_the_dump(dumps: Dumps, tmp_path: Path) -> None:
    captured = tmp_path / "counts.json"
    captured.write_text(dumps.path("captured.json").read_text())
    assert "digest" in captured.read_text()
    dumps.whole("shop.dump", "--expect", captured).succeeded()
    captured.write_text(json.dumps({"shop": {"public.orders": 2000}}))
    _fails(dumps.whole("shop.dump", "--expect", captured), "rows", "has 1000 rows, had 2000")


def test_objectives_of_the_command_line(dumps: Dumps) -> None:
    kept = (
        dumps.whole("shop.dump", "--rto", "1h", "--detection", "3m", "--full-size", "1TiB")
        .succeeded()
        .document
    )
    assert 180_000 < kept["rto"]["reached_ms"] < 3_600_000
    assert kept["forecast"]["rto_ms"] > kept["rto"]["reached_ms"] and kept["forecast"]["raw_bytes"] == 1 << 40
    os.utime(dumps.path("shop.dump"), (1_600_000_000, 1_600_000_000))
    missed = dumps.whole("shop.dump", "--rto", "10s", "--detection", "11s", "--rpo", "1d")
    missed.failed_with(FAILED, "the RTO was missed", "the RPO was missed")
    assert {item["outcome"] for item in missed.document["assertions"]} == {"passed"}


def test_what_is_no_dump_is_refused_without_evidence(dumps: Dumps, tmp_path: Path) -> None:
    keep = ("--evidence", str(tmp_path / "evidence"))
    dumps.drill(tmp_path / "none.dump", *keep).failed_with(106, "can't be read")
    for name, content in (("empty.sql", b""), ("text.sql", b"SELECT 1;\n"), ("noise.dump", os.urandom(4096))):
        (tmp_path / name).write_bytes(content)
        dumps.drill(tmp_path / name, *keep).failed_with(103)
    (tmp_path / "folder").mkdir()
    dumps.drill(tmp_path / "folder", *keep).failed_with(103, "toc.dat")
    assert seawall("drill", "list", "--json", *keep).document["drills"] == []


def test_a_dump_of_a_newer_server_is_refused_before_it_starts(dumps: Dumps) -> None:
    older = next((item for item in find_all_programs() if item.major < dumps.programs.major), None)
    newer = dumps.path("newer.sql")
    major = dumps.programs.major
    newer.write_text(
        dumps.path("create.sql")
        .read_text()
        .replace(f"from database version {major}", f"from database version {major + 1}")
    )
    assert older is None or older.major < major
    dumps.drill(newer).failed_with(102, f"PostgreSQL {major + 1}", "older server")


def test_a_full_scratch_disk_is_no_failure_of_the_dump(dumps: Dumps) -> None:
    """Space is checked first; what is larger than it looks, by its compression, meets the full disk itself."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small file system")
    small = temporary_folder()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m,mode=1777", "none", small], check=True, timeout=60
    )
    try:
        blocked = small / "blocks"
        blocked.write_bytes(bytes(40 << 20))
        refused = dumps.whole("shop.dump", "--scratch", small).failed_with(
            INCOMPLETE, "free, and the drill needs"
        )
        blocked.unlink()
        assert refused.document["outcome"] == "incomplete"
        document = dumps.drill(dumps.path("wide.dump"), "--scratch", small).failed_with(INCOMPLETE).document
        (started,) = document["assertions"]
        assert started["outcome"] == "could-not-run" and "is full" in started["detail"]
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True, timeout=60)


def _fails(outcome: Outcome, assertion: str, says: str) -> Any:
    """Check that the drill failed by that assertion, with these words, and return its document."""
    document = outcome.failed_with(FAILED).document
    assert document["outcome"] == "failed"
    failed = {item["name"]: item["detail"] for item in document["assertions"] if item["outcome"] == "failed"}
    assert assertion in failed, failed
    assert says in failed[assertion], failed
    return document
