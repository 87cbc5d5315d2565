"""Secrets are resolved late, from places that are closed to others, and never shown."""

from __future__ import annotations

import base64
import os
import stat
import time
from pathlib import Path

import pytest

from seawall.plan.errors import SecretUnusable
from seawall.plan.secrets import MOST_BYTES, Secret, SecretReference, generate_key_file, resolve


def secret_file(folder: Path, content: bytes = b"hunter2\n", mode: int = 0o600) -> SecretReference:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return SecretReference("file", str(path))


@pytest.mark.parametrize(
    "text", ["env:PGPASS_1", "file:/etc/seawall/a b.key", "command:vault read -field=x y:z"]
)
def test_a_reference_reads_and_shows_the_same(text: str) -> None:
    assert str(SecretReference.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "file",
        "file:",
        "file:x",
        "env: ",
        "env:A-B",
        "http://x",
        "File:/x",
        "command:",
        "file:/\0",
    ],
)
def test_what_is_no_reference_is_rejected_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        SecretReference.parse(text)

    assert len(text) < 5 or text not in str(caught.value)


def test_a_secret_hides_from_every_way_of_showing() -> None:
    secret = Secret(b"hunter2")

    shown = [repr(secret), str(secret), f"{secret}", repr([secret]), repr({"key": secret})]
    assert not any("hunter2" in text for text in shown)
    assert secret.reveal() == b"hunter2"


def test_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAWALL_TEST_SECRET", "pa ss\n")

    assert resolve(SecretReference("env", "SEAWALL_TEST_SECRET")).reveal() == b"pa ss"


def test_an_environment_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEAWALL_TEST_SECRET", raising=False)

    with pytest.raises(SecretUnusable, match="SEAWALL_TEST_SECRET is not set") as caught:
        resolve(SecretReference("env", "SEAWALL_TEST_SECRET"))
    assert "file:" in caught.value.hint


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_file_closed_to_others(tmp_path: Path, mode: int) -> None:
    assert resolve(secret_file(tmp_path, mode=mode)).reveal() == b"hunter2"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o660])
def test_a_file_open_to_others_is_refused_with_the_chmod(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SecretUnusable) as caught:
        resolve(secret_file(tmp_path, mode=mode))

    assert "chmod" in caught.value.hint
    assert "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value.fields}"


def test_only_the_last_line_end_is_no_part_of_it(tmp_path: Path) -> None:
    assert resolve(secret_file(tmp_path, b" one\ntwo \r\n")).reveal() == b" one\ntwo "


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\r\n"])
def test_an_empty_secret_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SecretUnusable, match="is empty"):
        resolve(secret_file(tmp_path, content))


def test_a_missing_file_says_who_looked(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match="can't be opened") as caught:
        resolve(SecretReference("file", str(tmp_path / "none")))
    assert f"uid {os.geteuid()}" in caught.value.hint


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)

    with pytest.raises(SecretUnusable, match="not a regular file"):
        resolve(SecretReference("file", str(tmp_path / "fifo")))


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match="not a regular file"):
        resolve(SecretReference("file", str(tmp_path)))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match="1 MiB"):
        resolve(secret_file(tmp_path, b"x" * (MOST_BYTES + 1)))


def test_a_command_gives_its_output() -> None:
    assert resolve(SecretReference("command", "printf 'a b\\n'")).reveal() == b"a b"


def test_a_failed_command_is_an_error_that_repeats_no_output() -> None:
    with pytest.raises(SecretUnusable, match="status 3") as caught:
        resolve(SecretReference("command", "echo $((6*7000000)); echo $((6*7000000)) >&2; exit 3"))

    assert "42000000" not in f"{caught.value}{caught.value.hint}{caught.value.fields}"


def test_a_command_that_hangs_ends_with_its_children(tmp_path: Path) -> None:
    left_behind = tmp_path / "alive"
    began = time.monotonic()

    with pytest.raises(SecretUnusable, match="no answer"):
        resolve(SecretReference("command", f"(sleep 1; touch {left_behind}) & sleep 60"), timeout_s=0.3)

    assert time.monotonic() - began < 5
    time.sleep(1.2)
    assert not left_behind.exists()


def test_a_command_that_never_stops_talking_is_refused() -> None:
    with pytest.raises(SecretUnusable, match="1 MiB"):
        resolve(SecretReference("command", "exec cat /dev/zero"))


def test_text_that_is_not_utf8_is_an_error() -> None:
    with pytest.raises(SecretUnusable, match="UTF-8"):
        Secret(b"\xff").reveal_text()


def test_a_generated_key_file_is_usable_private_and_new_each_time(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        generate_key_file(tmp_path / "one.key")
    finally:
        os.umask(before)
    generate_key_file(tmp_path / "two.key")

    one, two = (
        resolve(SecretReference("file", str(tmp_path / f"{name}.key"))).reveal() for name in ("one", "two")
    )
    assert len(base64.b64decode(one, validate=True)) == 32
    assert one != two
    assert stat.S_IMODE((tmp_path / "one.key").stat().st_mode) == 0o600
    assert (tmp_path / "one.key").read_bytes().endswith(b"\n")


def test_a_key_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "shop.key").write_text("precious")

    with pytest.raises(SecretUnusable, match="exists already"):
        generate_key_file(tmp_path / "shop.key")
    assert (tmp_path / "shop.key").read_text() == "precious"


def test_a_key_file_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match="can't be created"):
        generate_key_file(tmp_path / "none" / "shop.key")
