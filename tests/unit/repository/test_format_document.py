"""docs/format.md is enough: a reader written from it alone reads what Seawall writes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from seawall.repository.backups.record import BackupRecord
from seawall.repository.format.frames import ObjectKind
from seawall.repository.layout import wal_key
from seawall.repository.repository import Repository
from seawall.repository.secrets import KeyFile
from seawall.repository.wal.objects import seal_wal
from tests.unit.repository import stranger_reader
from tests.unit.repository.test_backups import ID, SYSTEM, contents, write_backup
from tests.unit.repository.tiny_store import TinyStore

SOURCE = Path(stranger_reader.__file__)


def open_as_stranger(repository: Repository, store: TinyStore, key_file: KeyFile) -> stranger_reader.Stranger:
    slots = [key for key in sorted(store.objects) if key.startswith("keys/")]
    return stranger_reader.Stranger(store.get, slots, key_file.content if repository.encrypted else None)


def test_a_stranger_reads_every_file(repository: Repository, store: TinyStore, key_file: KeyFile) -> None:
    write_backup(repository, contents())
    stranger = open_as_stranger(repository, store, key_file)
    assert stranger.files("main", str(SYSTEM), ID) == contents()
    assert stranger.commit("main", str(SYSTEM), ID)["start_lsn"] == "0/2000028"


def test_a_stranger_reads_wal(repository: Repository, store: TinyStore, key_file: KeyFile) -> None:
    name = "0000000100000000000000FE"
    key, raw = wal_key("main", SYSTEM, 1, 1, name), bytes(range(256)) * 10_000
    sealed = seal_wal(repository.context, key, name=name, raw=raw, system_identifier=SYSTEM)
    store.put(key, sealed.data)
    assert open_as_stranger(repository, store, key_file).wal(key) == raw


def test_the_stranger_runs_by_itself(
    repository: Repository, store: TinyStore, key_file: KeyFile, tmp_path: Path
) -> None:
    write_backup(repository, contents())
    for key, data in store.objects.items():
        (tmp_path / "r" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "r" / key).write_bytes(data)
    (tmp_path / "key").write_bytes(key_file.content + b"\n")
    key = str(tmp_path / "key") if repository.encrypted else "-"
    command = [sys.executable, str(SOURCE), str(tmp_path / "r"), key, "main", str(SYSTEM), ID, "PG_VERSION"]
    assert subprocess.run(command, capture_output=True, check=True, timeout=60).stdout == b"18\n"


def test_the_stranger_shares_no_code_and_is_short() -> None:
    text = SOURCE.read_text()
    imported = {
        name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [item.name for item in node.names]
        )
    }
    assert not [name for name in imported if name.startswith(("seawall", "tests"))]
    assert len(text.splitlines()) < 200


def test_the_document_names_every_fact_of_a_backup() -> None:
    text = (SOURCE.parents[3] / "docs" / "format.md").read_text()
    commits = text[text.index("## Commits") : text.index("## WAL")]
    missing = [name for name in BackupRecord.__struct_fields__ if f"`{name}`" not in commits]
    assert not missing


def test_the_document_names_every_kind_and_derivation() -> None:
    text = (SOURCE.parents[3] / "docs" / "format.md").read_text()
    for kind in ObjectKind:
        assert f"| {kind.value} {kind.name.lower()} |" in text
    for info in ("object", "repository", "slot", "frame", "recovery code"):
        assert f"`seawall {info} v1`" in text
