"""Signing keys: made once, kept to their user, never where they could be copied along."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from seawall.evidence.errors import EvidenceKeyExposed, EvidenceKeyUnusable
from seawall.evidence.keys import KEY_NAME, PublicKey, SigningKey, load_or_create_key, read_public_key
from tests.unit.evidence.sample_ledger import key


def test_the_first_use_makes_a_private_file(tmp_path: Path) -> None:
    made = load_or_create_key(tmp_path / "state")
    path = tmp_path / "state" / KEY_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(tmp_path / "state").public.fingerprint == made.public.fingerprint
    assert os.listdir(tmp_path / "state") == [KEY_NAME], "no temporary file is left"
    assert load_or_create_key(tmp_path / "other").public.fingerprint != made.public.fingerprint


def test_racing_first_uses_agree(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_or_create_key(tmp_path).public.fingerprint))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / KEY_NAME).chmod(mode)
    with pytest.raises(EvidenceKeyExposed, match="open to other users"):
        load_or_create_key(tmp_path)


@pytest.mark.parametrize("inside", ["data", "data/state", "link/state"])
def test_a_key_never_lies_in_what_is_copied(tmp_path: Path, inside: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with pytest.raises(EvidenceKeyExposed, match="copied with it"):
        load_or_create_key(tmp_path / inside, apart_from=[tmp_path / "data"])
    assert os.listdir(tmp_path / "data") == []
    load_or_create_key(tmp_path / "database", apart_from=[tmp_path / "data"])


def test_a_link_and_a_pipe_are_no_keys(tmp_path: Path) -> None:
    load_or_create_key(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / KEY_NAME).symlink_to(tmp_path / "a" / KEY_NAME)
    with pytest.raises(EvidenceKeyUnusable, match="can't be opened"):
        load_or_create_key(tmp_path / "b")
    (tmp_path / "c").mkdir()
    os.mkfifo(tmp_path / "c" / KEY_NAME, 0o600)
    with pytest.raises(EvidenceKeyUnusable, match="no regular file"):
        load_or_create_key(tmp_path / "c")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives anything away")
def test_root_gives_the_state_directory_away_and_keeps_the_key(tmp_path: Path) -> None:
    """``wal push`` runs as the server's user, and has to write in the same directory."""
    load_or_create_key(tmp_path / "made", folder_owner=(12345, 12346))
    made = (tmp_path / "made").stat()
    assert (made.st_uid, made.st_gid) == (12345, 12346)
    assert (tmp_path / "made" / KEY_NAME).stat().st_uid == 0
    (tmp_path / "there").mkdir()
    load_or_create_key(tmp_path / "there", folder_owner=(12345, 12346))
    assert (tmp_path / "there").stat().st_uid == 0, "what is there is left as it is"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_a_key_that_another_user_put_there_is_not_used(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    os.chown(tmp_path / KEY_NAME, 12345, 12345)
    with pytest.raises(EvidenceKeyExposed, match="another user"):
        load_or_create_key(tmp_path)


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceKeyUnusable):
        load_or_create_key(tmp_path / "file" / "state")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 100])
def test_garbage_is_no_signing_key(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_NAME).write_bytes(content)
    (tmp_path / KEY_NAME).chmod(0o600)
    with pytest.raises(EvidenceKeyUnusable) as raised:
        load_or_create_key(tmp_path)
    assert "move it aside" in raised.value.hint and (tmp_path / KEY_NAME).read_bytes() == content


def test_only_ed25519_counts(tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048)
    private = rsa.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / KEY_NAME).write_bytes(private)
    (tmp_path / KEY_NAME).chmod(0o600)
    with pytest.raises(EvidenceKeyUnusable, match="not Ed25519"):
        load_or_create_key(tmp_path)
    public = rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(EvidenceKeyUnusable, match="not Ed25519"):
        PublicKey.parse(public, "it")


def test_a_private_key_is_not_taken_for_a_public_one(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    with pytest.raises(EvidenceKeyUnusable, match="holds a private key") as raised:
        read_public_key(tmp_path / KEY_NAME)
    secret = (tmp_path / KEY_NAME).read_text().splitlines()[1]
    assert secret not in str(raised.value) + raised.value.hint


def test_public_keys_travel_as_pem(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text(key().public.pem)
    assert read_public_key(tmp_path / "k.pem").fingerprint == key().public.fingerprint
    for name in ("missing.pem", "."):
        with pytest.raises(EvidenceKeyUnusable, match="can't be read"):
            read_public_key(tmp_path / name)


def test_a_key_shows_no_secret() -> None:
    made = SigningKey.generate()
    secret = made.render().decode().splitlines()[1]
    assert secret not in repr(made) + str(made.public)
