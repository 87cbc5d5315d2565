"""Our list of files against that of a real pg_basebackup of the same server."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.postgres.files.relation_files import (
    BackupRules,
    EntryKind,
    Treatment,
    empty_folders,
    path_inside,
    tablespace_version_folder,
    unlogged_relations,
)
from tests.support.servers import TestCluster

pytestmark = pytest.mark.postgres

WRITTEN_BY_PG_BASEBACKUP = {"backup_label", "backup_manifest", "tablespace_map"}


def kind_of(path: Path) -> EntryKind:
    """Return what lstat says."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return EntryKind.LINK
    if stat.S_ISDIR(mode):
        return EntryKind.FOLDER
    return EntryKind.FILE if stat.S_ISREG(mode) else EntryKind.OTHER


def copied(rules: BackupRules, data: Path, folder: str = "") -> Iterator[str]:
    """Yield the paths that our rules put into a backup; folders end in a slash."""
    names = os.listdir(data / folder)
    unlogged = unlogged_relations(names)
    for name in names:
        path = f"{folder}/{name}".lstrip("/")
        fate = rules.treatment(path, kind_of(data / path), unlogged)
        if fate in (Treatment.COPY, Treatment.COPY_LAST):
            yield path
        elif fate in (Treatment.DESCEND, Treatment.FOLLOW, Treatment.KEEP_EMPTY):
            yield f"{path}/"
        if fate in (Treatment.DESCEND, Treatment.FOLLOW):
            yield from copied(rules, data, path)


def found(data: Path, folder: str = "") -> Iterator[str]:
    """Yield everything in a directory, through tablespace links; folders end in a slash."""
    for name in os.listdir(data / folder):
        path = f"{folder}/{name}".lstrip("/")
        if (data / path).is_dir():
            yield f"{path}/"
            yield from found(data, path)
        else:
            yield path


def furnish(server: TestCluster) -> list[Path]:
    """Fill the server with every kind of thing that a backup copies or leaves out."""
    outside, inside = server.folder / "data2", server.data / "spaces" / "fast"
    inside.parent.mkdir()
    for place in (outside, inside):
        place.mkdir()
    server.sql(
        f"CREATE TABLESPACE outside LOCATION '{outside}'",
        f"CREATE TABLESPACE inside LOCATION '{inside}'",
        "CREATE TABLE logged AS SELECT g, repeat('x', 200) FROM generate_series(1, 3000) g",
        "CREATE TABLE far TABLESPACE outside AS SELECT * FROM logged",
        "CREATE TABLE near TABLESPACE inside AS SELECT * FROM logged",
        "CREATE UNLOGGED TABLE quick AS SELECT * FROM logged",
        "CREATE UNLOGGED TABLE far_quick (id int PRIMARY KEY) TABLESPACE outside",
        "VACUUM logged, quick, far",
        "CREATE DATABASE second TABLESPACE outside",
        "SELECT pg_create_physical_replication_slot('kept_by_a_standby')",
        "CHECKPOINT",
    )
    (outside / "PG_9.6_201608131").mkdir()
    (outside / "PG_9.6_201608131" / "old").touch()
    (outside / "stray").touch()
    for stray in ("notes.txt", "backup_label.old", "pgsql_tmp_mine", "postgresql.auto.conf.tmp"):
        (server.data / stray).touch()
    (server.data / "pg_stat_tmp" / "x.stat").touch()
    (server.data / "mine" / "pg_notify").mkdir(parents=True)
    (server.data / "mine" / "pg_notify" / "x").touch()
    (server.data / "base" / "pgsql_tmp").mkdir()
    (server.data / "base" / "pgsql_tmp" / "pgsql_tmp1.0").touch()
    return [outside, inside]


def test_the_list_of_files_is_pg_basebackups(server: TestCluster) -> None:
    places = furnish(server)
    copy = server.folder / "copy"
    moved = [f"--tablespace-mapping={place}={server.folder / f'moved-{place.name}'}" for place in places]
    with server.connect() as connection:
        connection.execute("CREATE TEMP TABLE fleeting AS SELECT * FROM logged")
        connection.execute("CREATE TEMP TABLE far_fleeting TABLESPACE outside AS SELECT * FROM logged")
        server.program(
            "pg_basebackup",
            *("--pgdata", copy, "--wal-method=none", "--checkpoint=fast", "--no-sync"),
            *("--dbname", server.dsn(), *moved),
        )
        control = server.control()
        inside = [path_inside(str(server.data), str(place.resolve())) for place in places]
        rules = BackupRules(
            tablespace_version_folder(server.major, control.catalog_version),
            frozenset(path for path in inside if path is not None),
        )
        ours = set(copied(rules, server.data)) | {f"{path}/" for path in empty_folders(server.major)}
    theirs = set(found(copy)) - WRITTEN_BY_PG_BASEBACKUP
    assert rules.tablespaces_inside == {"spaces/fast"}
    assert ours == theirs
    temporary = [path for path in theirs if path.rpartition("/")[2].startswith("t")]
    assert not temporary and any("_init" in path for path in theirs), "the test must have met its subjects"
