"""What an archive_command promises, over the ways in which people write it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.audit.archive_command import Flaw, find_flaws, local_targets

SOUND = [
    "test ! -f /a/%f && cp %p /a/%f && sync /a/%f",
    "[ ! -e /a/%f ] && dd if=%p of=/a/%f conv=fsync",
    "pgbackrest --stanza=main archive-push %p",
    "/opt/seawall/bin/seawall wal push --plan /etc/seawall/plan.yaml --cluster main %p",
    "envdir /etc/wal-g.d/env /usr/local/bin/wal-g wal-push %p",
    "WALG_S3_PREFIX=s3://b/p wal-g wal-push %p",
    "timeout 60 barman-wal-archive backup main %p",
    "barman-cloud-wal-archive s3://bucket main %p",
    "bash -c 'test ! -f /a/%f && cp %p /a/%f && sync /a/%f'",
    "test ! -f /a/%f && cp %p /a/%f && sync /a/%f && logger archived %f",
]
FLAWED = [
    ("/bin/true", {Flaw.DISCARDS}),
    ("true", {Flaw.DISCARDS}),
    (":", {Flaw.DISCARDS}),
    ("exit 0", {Flaw.DISCARDS}),
    ("echo archived %p", {Flaw.DISCARDS}),
    ("cp %p /a/%f || true", {Flaw.LIES}),
    ("cp %p /a/%f || :", {Flaw.LIES}),
    ("cp %p /a/%f || /bin/true", {Flaw.LIES}),
    ("cp %p /a/%f || exit 0", {Flaw.LIES}),
    ("cp %p /a/%f; exit 0", {Flaw.LIES}),
    ("cp %p /a/%f; true", {Flaw.LIES}),
    ("cp %p /a/%f; echo done", {Flaw.LIES}),
    ("cp %p /a/%f &", {Flaw.LIES}),
    ("cp %p /a/%f || logger failed", {Flaw.LIES}),
    ("cp %p /a/%f; cp %p /b/%f", {Flaw.LIES}),
    ("gzip -c %p | ssh backup 'cat > /a/%f.gz'", {Flaw.LIES}),
    ("pgbackrest archive-push %p || true", {Flaw.LIES}),
    ("sh -c 'wal-g wal-push %p || exit 0'", {Flaw.LIES}),
    ("if [ -d /a ]; then cp %p /a/%f; fi; exit 0", {Flaw.LIES}),
    ("(cp %p /a/%f || true)", {Flaw.LIES}),
    ("test -f /a/%f || cp %p /a/%f", {Flaw.SKIPS, Flaw.NOT_SYNCED}),
    ("cp %p /a/%f", {Flaw.OVERWRITES, Flaw.NOT_SYNCED}),
    ("cp -f %p /a/%f && sync", {Flaw.OVERWRITES}),
    ("gzip < %p > /a/%f.gz", {Flaw.OVERWRITES, Flaw.NOT_SYNCED}),
    ("test ! -f /a/%f && cp %p /a/%f", {Flaw.NOT_SYNCED}),
    ("cp -n %p /a/%f", {Flaw.NOT_SYNCED}),
    ("scp %p backup:/a/%f", {Flaw.OVERWRITES, Flaw.REMOTE_NOT_SYNCED}),
    ("rsync -a %p backup:/a/%f", {Flaw.OVERWRITES, Flaw.REMOTE_NOT_SYNCED}),
    ("rsync -a --ignore-existing %p backup:/a/%f", {Flaw.REMOTE_NOT_SYNCED}),
    ("rsync -a --fsync --ignore-existing %p backup:/a/%f", set()),
    ("aws s3 cp %p s3://bucket/%f", {Flaw.OVERWRITES}),
    ("cd /a && cp %p %f && sync", {Flaw.MOVES_AWAY, Flaw.OVERWRITES}),
    ("test ! -f /a/%f && cp pg_wal/%f /a/%f && sync", {Flaw.LACKS_FILE}),
    ("/usr/local/bin/archive.sh %p %f", {Flaw.UNREAD}),
    ("for i in 1 2 3; do cp %p /a/%f && break; done", {Flaw.UNREAD}),
    ("cp %p '/a/%f", {Flaw.UNREAD}),
]


@pytest.mark.parametrize("command", SOUND)
def test_a_sound_command_has_no_flaw(command: str) -> None:
    assert find_flaws(command) == {}


@pytest.mark.parametrize(("command", "flaws"), FLAWED)
def test_a_flawed_command_has_its_flaws(command: str, flaws: set[Flaw]) -> None:
    found = set(find_flaws(command))
    if Flaw.LIES in flaws:
        assert Flaw.LIES in found
    else:
        assert found == flaws


@pytest.mark.parametrize(
    "command",
    [
        *(text for text in SOUND if "cp " in text),
        *(text for text, _ in FLAWED if " /a" in text and "ssh" not in text),
    ],
)
def test_a_shell_agrees_about_lies(command: str, tmp_path: Path) -> None:
    """The real shell, with an archive that can't be written: whoever returns 0 then, lies."""
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal" / "00").write_bytes(b"wal")
    absent = tmp_path / "absent"
    text = command.replace("/a", str(absent)).replace("%p", "pg_wal/00").replace("%f", "00")
    if any(program in text for program in ("rsync", "scp", "/b/")):
        pytest.skip("needs another machine")
    done = subprocess.run(
        ["sh", "-c", text],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=20,
    )
    found = find_flaws(command)
    if done.returncode == 0:
        assert {Flaw.LIES, Flaw.UNREAD} & set(found), done
    elif Flaw.LIES in found:
        pytest.fail(f"called a liar, and ended with {done.returncode}")


@pytest.mark.parametrize(
    ("command", "folders"),
    [
        ("cp %p /mnt/wal/%f", ("/mnt/wal",)),
        ("test ! -f /mnt/wal/%f && cp %p /mnt/wal/%f", ("/mnt/wal",)),
        ("cp %p /mnt/wal", ("/mnt/wal",)),
        ("gzip < %p > /mnt/wal/%f.gz", ("/mnt/wal",)),
        ("cp %p '/mnt/a b/%f'", ("/mnt/a b",)),
        ("cp %p /a/%f && cp %p /b/%f", ("/a", "/b")),
        ("scp %p host:/a/%f", ()),
        ("pgbackrest archive-push %p", ()),
    ],
)
def test_where_it_copies_to(command: str, folders: tuple[str, ...]) -> None:
    assert local_targets(command) == folders


@given(st.text(alphabet="cp %f/a|&;() '\"\\exit0true:<>\n$`", max_size=40))
def test_any_text_is_read_without_a_crash(command: str) -> None:
    assert isinstance(find_flaws(command), dict)
    assert isinstance(local_targets(command), tuple)
