"""Where the repositories of a first plan are, and which folders of configuration go along."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.cli.init_facts import config_folders, read_repositories
from seawall.cli.usage import UsageInvalid
from seawall.plan.init_plan import RepositoryFacts
from seawall.postgres.server_facts import FileLocations


def test_a_folder_is_near_and_a_bucket_is_far_unless_told_otherwise() -> None:
    found = read_repositories(
        ("file:///near", "s3://bucket", "s3://other?a=b", "old@eu=file:///old", "dr=gs://x"), "home", "db1"
    )
    assert found == (
        RepositoryFacts("near", "home", "file:///near", "db1"),
        RepositoryFacts("far", "elsewhere", "s3://bucket"),
        RepositoryFacts("far2", "elsewhere", "s3://other?a=b"),
        RepositoryFacts("old", "eu", "file:///old", "eu-host"),
        RepositoryFacts("dr", "elsewhere", "gs://x"),
    )


@pytest.mark.parametrize(
    "texts", [("/var/lib/seawall",), ("Name=file:///x",), ("=file:///x",), ("a=file:///x", "a=file:///y")]
)
def test_a_repository_that_cant_be_read_is_refused_with_an_example(texts: tuple[str, ...]) -> None:
    with pytest.raises(UsageInvalid) as caught:
        read_repositories(texts, "home", "db1")
    assert "--repository" in caught.value.hint


def test_configuration_goes_along_by_folder_without_folders_inside_others(tmp_path: Path) -> None:
    etc, data = tmp_path / "etc", tmp_path / "data"
    for path in (
        etc / "postgresql.conf",
        etc / "conf.d" / "a.conf",
        data / "pg_hba.conf",
        data / "pg_ident.conf",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("include_dir 'conf.d'\n" if path.name == "postgresql.conf" else "")
    files = FileLocations(data, etc / "postgresql.conf", data / "pg_hba.conf", data / "pg_ident.conf")
    assert config_folders(files) == (etc,)
    inside = FileLocations(data, data / "postgresql.conf", data / "pg_hba.conf", data / "pg_ident.conf")
    assert config_folders(inside) == ()
