"""Configuration files are followed wherever they are; what a restore needs is derived purely."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seawall.model.lsn import Lsn
from seawall.postgres.config_files import find_config_files, outside
from seawall.postgres.observe import RECOVERY_SETTINGS, facts_for_restore
from seawall.postgres.server_facts import (
    ArchiverStatus,
    ArchiveSettings,
    Database,
    DatabaseReport,
    Extension,
    FileLocations,
    Locale,
    ServerFacts,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)
GERMAN = Locale("libc", "de_DE.utf8", "2.36", "2.36")


def facts() -> ServerFacts:
    database = Database(5, "shop", 100, True, False, True, "UTF8", "de_DE.utf8", "de_DE.utf8", GERMAN)
    settings = dict.fromkeys(RECOVERY_SETTINGS, "7") | {
        "shared_preload_libraries": ' pg_stat_statements,"auto_explain" ,',
    }
    return ServerFacts(
        server="postgresql://db1/",
        version_num=160004,
        version="PostgreSQL 16.4",
        system_identifier=1,
        observed_at=NOW,
        started_at=NOW,
        is_in_recovery=False,
        timeline=1,
        position=Lsn(0),
        block_bytes=8192,
        relation_segment_bytes=1 << 30,
        wal_block_bytes=8192,
        wal_segment_bytes=16 << 20,
        has_checksums=True,
        files=None,
        archive=ArchiveSettings("off", "", "", 0),
        archiver=ArchiverStatus(0, None, None, 0, None, None),
        tablespaces=(),
        databases=(database, replace(database, name="broken", is_valid=False, locale=Locale("libc", "x"))),
        standbys=(),
        slots=(),
        settings=settings,
        pending_restart=(),
        denied=(),
    )


def test_what_a_restore_needs_is_derived_from_the_facts() -> None:
    postgis = Extension("postgis", "3.4")
    icu = Locale("icu", "und", "153.1", "153.1")
    reports = (
        DatabaseReport("shop", extensions=(postgis,), locales=(icu,)),
        DatabaseReport("maps", extensions=(postgis,)),
        DatabaseReport("template0", refusal="no", is_meant_to_refuse=True),
    )
    needs = facts_for_restore(facts(), reports)
    assert needs.major == 16
    assert needs.settings == dict.fromkeys(RECOVERY_SETTINGS, 7)
    assert needs.shared_preload_libraries == ("pg_stat_statements", "auto_explain")
    assert needs.extensions == {postgis: ("shop", "maps")}
    assert needs.locales == (icu, GERMAN), "a database whose DROP was interrupted needs nothing"


@pytest.mark.parametrize(
    ("locale", "has_changed"),
    [
        (Locale("libc", "x", "2.36", "2.36"), False),
        (Locale("libc", "x", "2.31", "2.36"), True),
        (Locale("libc", "C", None, None), False),
        (Locale("libc", "x", None, "2.36"), False),
    ],
)
def test_a_changed_collation_version_is_noticed(locale: Locale, has_changed: bool) -> None:
    assert locale.has_changed is has_changed


def located(etc: Path, data: Path) -> FileLocations:
    return FileLocations(data, etc / "postgresql.conf", etc / "pg_hba.conf", etc / "pg_ident.conf")


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_includes_are_followed_as_the_server_does(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    main = write(
        etc / "postgresql.conf",
        "include_dir = 'conf.d'   # comment\n"
        "  include 'o''brien.conf'\n"
        "include_if_exists = missing.conf\n"
        "#include 'commented.conf'\n"
        "include_directory_like_name = 1\n",
    )
    quoted = write(etc / "o'brien.conf", "include '../far.conf'\n")
    far = write(tmp_path / "far.conf", "include 'etc/postgresql.conf'\n")  # a circle
    second, first = write(etc / "conf.d" / "2.conf"), write(etc / "conf.d" / "10.conf")
    write(etc / "conf.d" / ".hidden.conf")
    write(etc / "conf.d" / "README")
    hba = write(
        etc / "pg_hba.conf", "local @dbs all peer # @not_this\ninclude_dir hba.d\nlocal all @nobody peer\n"
    )
    names = write(etc / "dbs", "shop\n")
    extra = write(etc / "hba.d" / "a.conf")
    ident = write(etc / "pg_ident.conf")
    files = find_config_files(located(etc, tmp_path / "data"))
    assert files.found == (main, first, second, quoted, far, hba, names, extra, ident)
    assert files.unreadable == ()


def test_what_cant_be_read_is_named(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    write(etc / "postgresql.conf", "include 'gone.conf'\n")
    files = find_config_files(located(etc, tmp_path / "data"))
    assert files.found == (etc / "postgresql.conf",)
    assert files.unreadable == (etc / "gone.conf", etc / "pg_hba.conf", etc / "pg_ident.conf")


def test_debians_own_files_belong_to_the_configuration(tmp_path: Path) -> None:
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "start.conf", "environment"):
        write(tmp_path / name)
    found = {path.name for path in find_config_files(located(tmp_path, tmp_path / "data")).found}
    assert found == {"postgresql.conf", "pg_hba.conf", "pg_ident.conf", "start.conf", "environment"}


def test_outside_means_outside_after_links_and_not_by_prefix(tmp_path: Path) -> None:
    """Danger 12: /data2 is not inside /data."""
    data = tmp_path / "data"
    inside = write(data / "pg_hba.conf")
    neighbour = write(tmp_path / "data2" / "postgresql.conf")
    linked = data / "postgresql.conf"
    os.symlink(neighbour, linked)
    assert outside(data, (inside, neighbour, linked)) == (neighbour, linked)
    assert outside(tmp_path / "data" / ".." / "data", (inside,)) == ()
