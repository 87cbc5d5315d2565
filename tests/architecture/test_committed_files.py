"""What is committed belongs to any machine: no absolute places of one, no package index, no secrets."""

from __future__ import annotations

import re

from tests.architecture.source import ROOT, committed_files

PLACES = re.compile(r"(?<![\w/.~$}-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot"]) + r")/\w")
INDEXES = re.compile(
    "|".join(
        ["py" + r"pi\.org", "python" + r"hosted\.org", "deb" + r"\.debian\.org", "registry" + r"\.npmjs"]
    )
)
PRIVATE_KEY = re.compile("-----BEGIN " + r"(?:\w+ )?PRIVATE KEY-----")
SUFFIXES_OF_BYTES = {".zst", ".bin", ".png", ".gif", ".gz", ".pack"}
LARGEST_BYTES = 1 << 20


def test_no_file_names_a_place_on_one_machine() -> None:
    assert _files_with(PLACES) == []


def test_no_file_names_a_package_index() -> None:
    assert _files_with(INDEXES) == []


def test_no_file_holds_a_private_key() -> None:
    assert _files_with(PRIVATE_KEY) == []


def test_no_file_is_large() -> None:
    large = [str(path.relative_to(ROOT)) for path in committed_files() if path.stat().st_size > LARGEST_BYTES]
    assert not large


def test_scripts_can_be_run() -> None:
    run = ROOT / ".ci" / "run"
    assert run.stat().st_mode & 0o111
    assert run.read_text().startswith("#!/usr/bin/env bash")


def _files_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in committed_files():
        if path.suffix in SUFFIXES_OF_BYTES:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return found


def test_the_patterns_find_what_they_are_for() -> None:
    for text in ("cd /wo" + "rk/main", "in '/ro" + "ot/x'", "(/wo" + "rk/x)"):
        assert PLACES.search(text), text
    for text in (
        "src/wo" + "rk/x",
        "~/wo" + "rk/x",
        "a/root",
        "chroot",
        "/workers",
        '("/ro' + 'ot", "/srv")',
    ):
        assert not PLACES.search(text), text
