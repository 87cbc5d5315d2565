"""docs/format.md is enough: a verifier written from it alone agrees with ours, and shell tools do the rest."""

from __future__ import annotations

import ast
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seawall.evidence.entry import Entry
from seawall.evidence.model import STATEMENTS
from seawall.evidence.places import place_in
from seawall.storage.memory import MemoryStore
from tests.unit.evidence import stranger_verifier
from tests.unit.evidence.sample_ledger import copied_to, filled, key, proven

SOURCE = Path(stranger_verifier.__file__)
DOCS = SOURCE.parents[3] / "docs"
PEMS = [key(1).public.pem.encode(), key(2).public.pem.encode()]


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    filled(made)
    return made


def test_a_stranger_finds_a_sound_ledger_sound(store: MemoryStore, tmp_path: Path) -> None:
    assert stranger_verifier.verify(copied_to(tmp_path, store), PEMS) == proven(store).head


def test_a_stranger_needs_all_keys(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(stranger_verifier.Wrong, match=r"000005\.json.*not given"):
        stranger_verifier.verify(copied_to(tmp_path, store), PEMS[:1])


def test_both_find_the_same_flipped_bits(store: MemoryStore, tmp_path: Path) -> None:
    folder = copied_to(tmp_path, store)
    drawn = random.Random(4)
    for path in sorted(folder.glob("*.json")):
        written = path.read_bytes()
        for _ in range(60):
            bit = drawn.randrange(8 * len(written))
            path.write_bytes(
                written[: bit // 8] + bytes([written[bit // 8] ^ 1 << bit % 8]) + written[bit // 8 + 1 :]
            )
            with pytest.raises(stranger_verifier.Wrong):
                stranger_verifier.verify(folder, PEMS)
        path.write_bytes(written)
    assert stranger_verifier.verify(folder, PEMS)


@pytest.mark.parametrize("number", range(1, 6))
def test_both_find_a_removed_entry(store: MemoryStore, tmp_path: Path, number: int) -> None:
    folder = copied_to(tmp_path, store)
    (folder / f"{number:06d}.json").unlink()
    with pytest.raises(stranger_verifier.Wrong):
        stranger_verifier.verify(folder, PEMS)


def test_the_stranger_runs_by_itself(store: MemoryStore, tmp_path: Path) -> None:
    folder = copied_to(tmp_path / "ledger", store)
    names = []
    for number, pem in enumerate(PEMS):
        (tmp_path / f"{number}.pem").write_bytes(pem)
        names.append(str(tmp_path / f"{number}.pem"))
    command = [sys.executable, str(SOURCE), str(folder), *names]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == proven(store).head


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
    assert len(text.splitlines()) < 100


def test_the_commands_of_the_document_work(store: MemoryStore, tmp_path: Path) -> None:
    """docs/evidence.md, "By hand": the shell lines, run as they stand."""
    if not all(map(shutil.which, ("bash", "jq", "openssl", "sha256sum", "base64"))):
        pytest.skip("the shell tools are not all here")
    folder = copied_to(tmp_path, store)
    (folder / "host.pem").write_bytes(PEMS[0])
    script = re.search(r"<!-- by hand -->\n```sh\n(.*?)```", (DOCS / "evidence.md").read_text(), re.DOTALL)
    assert script is not None
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script[1]],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    second = json.loads(proven(store).entries[1].envelope.payload)
    assert "Verified Successfully" in done.stdout
    assert second["previous"] in done.stdout and key(1).public.fingerprint in done.stdout
    assert '"type": "drill"' in done.stdout
    altered = folder / "000002.json"
    altered.write_bytes(altered.read_bytes().replace(b"A", b"B", 1))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script[1]],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Verified Successfully" not in done.stdout


def test_the_document_names_every_type_and_member() -> None:
    text = (DOCS / "format.md").read_text()
    section = text[text.index("## Evidence") : text.index("## What is written when")]
    for name, kind in STATEMENTS.items():
        assert f"`{name}`" in section
        assert [member for member in kind.__struct_fields__ if f"`{member}`" not in section] == []
    payload = json.loads(filled(MemoryStore())[0].envelope.payload)
    assert [member for member in payload if f"`{member}`" not in section] == []


def test_the_hash_is_that_of_the_file(store: MemoryStore) -> None:
    entry: Entry = proven(store).entries[-1]
    assert hashlib.sha256(store.get(place_in(store).key(entry.number))).hexdigest() == entry.sha256
