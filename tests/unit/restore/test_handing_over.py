"""Root restores a server of somebody else: what Seawall itself wrote has to be that one's, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seawall.restore.directory.ownership import hand_over, owner_to_serve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
OWNER, OTHER = (12345, 12346), (23456, 23456)


def test_what_root_wrote_is_the_servers_owners(tmp_path: Path) -> None:
    data, work = tmp_path / "data", tmp_path / "data.seawall"
    written = [
        *(data / name for name in ("backup_label", "postgresql.auto.conf", "global/pg_control")),
        data / "conf.d" / "deep" / "memory.conf",
        *(work / name for name in ("restore.json", "spool/000000010000000000000001")),
    ]
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    others, outside = data / "others", tmp_path / "outside"
    others.write_text("x")
    os.chown(others, *OTHER)
    theirs = data / "base"
    theirs.mkdir()
    (theirs / "root's").write_text("x")
    os.chown(theirs, *OTHER)
    outside.write_text("x")
    (data / "link").symlink_to(outside)
    hand_over(data, work, OWNER)
    for path in (data, data / "global", work, work / "spool", *written, data / "link"):
        assert (path.lstat().st_uid, path.lstat().st_gid) == OWNER, path
    assert (theirs / "root's").stat().st_uid == 0, "somebody's folder is not entered"
    assert others.stat().st_uid == OTHER[0] and outside.stat().st_uid == 0


def test_the_owner_is_whom_the_copied_directory_belongs_to(tmp_path: Path) -> None:
    assert owner_to_serve(tmp_path) is None
    os.chown(tmp_path, *OWNER)
    assert owner_to_serve(tmp_path) == OWNER
