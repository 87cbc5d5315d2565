"""Keys and passwords never reach an output, a log, an argument list or a repository.

Every secret of this shop carries a mark; after all commands ran, everything that they could have written to is
searched for it, and the arguments of all processes are sampled the while.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seawall.postgres.programs import ServerPrograms
from tests.support.recovery import Protected, protected

pytestmark = pytest.mark.postgres

PASSWORD = "hunter2-MARK-of-the-password"
KEY = b"MARK-of-the-key-file-" + b"k" * 40
NEW_KEY = b"MARK-of-the-second-key-" + b"n" * 40
WORDS = "MARK-of-the-passphrase correct horse battery staple"


@contextmanager
def arguments_sampled() -> Iterator[set[bytes]]:
    """Collect the argument lists of all processes of the machine while the block runs."""
    seen: set[bytes] = set()
    is_over = threading.Event()

    def sample() -> None:
        while not is_over.wait(0.05):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        seen.add(Path(entry.path, "cmdline").read_bytes())
                    except OSError:
                        continue

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def test_no_secret_leaves_its_place(
    one_pg_programs: ServerPrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with protected(one_pg_programs) as shop:
        places = prepare(shop, tmp_path, monkeypatch)
        with arguments_sampled() as arguments:
            said = everything_said(shop, tmp_path)
        assert len(arguments) > 5, "the sampling saw no processes"
        marks = [PASSWORD.encode(), b"MARK-of-the", *(base64.b64encode(s)[:24] for s in (KEY, NEW_KEY))]
        for mark in marks:
            assert mark not in said.encode(), "a secret was printed"
            assert not [line for line in arguments if mark in line], "a secret is in an argument list"
            for path in files_to_search(shop, tmp_path, places):
                assert mark not in path.read_bytes(), f"a secret is in {path}"


def prepare(shop: Protected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Let the server ask for a password, mark every secret, and return the files where the secrets live."""
    shop.cluster.sql(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
    password_file = tmp_path / "pgpass"
    password_file.write_text(f"*:*:*:*:{PASSWORD}\n")
    password_file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(password_file))
    monkeypatch.setenv("SEAWALL_TEST_WORDS", WORDS)
    hba = shop.cluster.data / "pg_hba.conf"
    hba.write_text("local all all scram-sha-256\n")
    shop.cluster.program("pg_ctl", "reload", "-D", shop.cluster.data)
    new_key = tmp_path / "new.key"
    new_key.write_bytes(NEW_KEY)
    new_key.chmod(0o600)
    marked = tmp_path / "marked.key"
    marked.write_bytes(KEY)
    marked.chmod(0o600)
    shop.run("key", "rotate", "far", "key", "--new", f"file:{marked}", "--label", "marked").succeeded()
    shop.plan.write_text(shop.plan.read_text().replace(f"{shop.folder}/key", str(marked)))
    return {password_file, new_key, marked}


def everything_said(shop: Protected, tmp_path: Path) -> str:
    """Run every command that handles a secret, well and badly, and return all that was printed."""
    dsn = f"postgresql://postgres:{PASSWORD}@/postgres?host={shop.cluster.socket_directory}&port=5432"
    wrong = dsn.replace("port=5432", "port=5433")
    outcomes = [
        shop.run("backup"),
        shop.run("backup", "--json"),
        shop.run("check"),
        shop.run("check", "--json"),
        shop.run("list"),
        shop.run("verify"),
        shop.run("repository", "list"),
        shop.run("key", "add", "far", "--new", f"file:{tmp_path / 'new.key'}", "--label", "second"),
        shop.run("key", "add", "far", "--new", "env:SEAWALL_TEST_WORDS", "--passphrase", "--label", "words"),
        shop.run("key", "add", "far", "--new", WORDS),
        shop.run("key", "list", "far"),
        shop.run(
            "key",
            "export",
            "far",
            "--output",
            tmp_path / "escrow",
            "--seal-with",
            f"file:{tmp_path / 'new.key'}",
        ),
        shop.run("key", "remove", "far", "second"),
        seawall_init(dsn, tmp_path / "init.yaml", tmp_path),
        seawall_init(wrong, tmp_path / "init2.yaml", tmp_path),
        seawall_init(dsn + "&nonsense=1", tmp_path / "init3.yaml", tmp_path),
        seawall_init(dsn + "&port=no", tmp_path / "init4.yaml", tmp_path),
    ]
    restored = shop.try_restore("--immediate")
    assert restored.outcome.status == 0, restored.outcome
    by_process = shop.popen("backup")
    out, err = by_process.communicate(timeout=60)
    assert by_process.returncode == 0, err
    assert [outcome.status for outcome in outcomes[:2]] == [0, 0], outcomes[0]
    return "\n".join(
        [*(f"{o.out}\n{o.err}" for o in outcomes), restored.outcome.out, restored.outcome.err, out, err]
    )


def seawall_init(dsn: str, output: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    from tests.support.recovery import seawall

    return seawall("init", dsn, "--output", output, "--state", tmp_path / "state")


def files_to_search(shop: Protected, tmp_path: Path, places: set[Path]) -> list[Path]:
    roots = [
        shop.folder / "far",
        shop.folder / "state",
        tmp_path,
        *shop.folder.glob("*.yaml"),
        shop.folder / "log",
    ]
    found = [
        path for root in roots for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file()
    ]
    crash_reports = list(Path("/tmp").glob(f"seawall-crash-{os.geteuid()}-*"))
    restored = [path for path in Path("/tmp").glob("sw-*/data.seawall/*") if path.is_file()]
    return [path for path in [*found, *crash_reports, *restored] if path not in places]
