"""The WAL client's cache: as good as the plan, or not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seawall.plan.compiled import (
    CompiledPlan,
    compile_plan,
    identify,
    load_compiled,
    read_compiled,
    write_compiled,
)
from seawall.plan.errors import PlanInvalid
from seawall.plan.load import load_plan

GOLDEN = Path(__file__).parents[2] / "golden" / "plans"
LONG_AGO_NS = 1_500_000_000_000_000_000


@pytest.fixture
def plan_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan file whose cache lies under ``tmp_path``."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "plan.yaml"
    path.write_text((GOLDEN / "everything.yaml").read_text())
    return path


def cache_it(path: Path) -> Path:
    """Cache the plan as it would be once its file is older than a tick of the clock; return the cache's file."""
    identity = identify(str(path))
    assert identity is not None
    settled = identity | {"mtime_ns": LONG_AGO_NS, "ctime_ns": LONG_AGO_NS}
    assert write_compiled(settled, compile_plan(load_plan(path)))
    (file,) = cache_files(path)
    record = json.loads(file.read_text())
    record["key"] |= identity
    file.write_text(json.dumps(record))
    return file


def cache_files(path: Path) -> list[Path]:
    return sorted((path.parent / "cache" / "seawall" / "plans").glob("*"))


def facts(plan: CompiledPlan) -> object:
    main = plan.clusters["main"]
    repositories = [{name: getattr(one, name) for name in one.__slots__} for one in main.repositories]
    return plan.path, plan.service, plan.state, main.data, main.compression, repositories


def test_the_cache_says_what_the_plan_says(plan_path: Path) -> None:
    direct = CompiledPlan(str(plan_path), compile_plan(load_plan(plan_path)))

    cache_it(plan_path)
    cached = read_compiled(str(plan_path))

    assert cached is not None
    assert facts(cached) == facts(direct) == facts(load_compiled(str(plan_path)))
    far = {one.name: one for one in cached.clusters["main"].repositories}["far"]
    assert (far.ack, far.is_off_host, far.is_encrypted) == ("any", True, True)
    assert far.keys == ["file:/etc/seawall/shop.key", "passphrase:command:pass show seawall"]
    assert far.credentials == {
        "key_id": "env:S3_KEY_ID",
        "secret": "file:/etc/seawall/s3.secret",
        "token": "command:vault read -field=token s3",
    }


def test_loading_writes_the_cache_once_the_plan_has_settled(plan_path: Path) -> None:
    """A plan that was written this very moment may be written again within the same tick, unseen."""
    load_compiled(str(plan_path))
    assert cache_files(plan_path) == []


def test_the_cache_is_private(plan_path: Path) -> None:
    file = cache_it(plan_path)

    assert file.stat().st_mode & 0o7777 == 0o600
    assert file.parent.stat().st_mode & 0o7777 == 0o700
    assert cache_files(plan_path) == [file]


@pytest.mark.parametrize("change", ["content", "times", "replaced", "gone"])
def test_another_state_of_the_plan_makes_it_stale(plan_path: Path, change: str) -> None:
    cache_it(plan_path)
    assert read_compiled(str(plan_path)) is not None

    if change == "content":
        plan_path.write_text(plan_path.read_text() + "# more\n")
    elif change == "times":
        os.utime(plan_path, ns=(1, 1))
    elif change == "replaced":
        copy = plan_path.with_suffix(".new")
        copy.write_text(plan_path.read_text())
        os.utime(copy, ns=(plan_path.stat().st_atime_ns, plan_path.stat().st_mtime_ns))
        os.replace(copy, plan_path)
    else:
        plan_path.unlink()

    assert read_compiled(str(plan_path)) is None


@pytest.mark.parametrize(
    "key", ["path", "size", "mtime_ns", "ctime_ns", "inode", "device", "seawall", "format", "user"]
)
def test_each_part_of_the_key_counts(plan_path: Path, key: str) -> None:
    file = cache_it(plan_path)
    record = json.loads(file.read_text())
    record["key"][key] = "other"
    file.write_text(json.dumps(record))

    assert read_compiled(str(plan_path)) is None


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o602, 0o700, 0o400])
def test_a_cache_of_another_mode_is_ignored(plan_path: Path, mode: int) -> None:
    cache_it(plan_path).chmod(mode)

    assert read_compiled(str(plan_path)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_cache_of_another_owner_is_ignored(plan_path: Path, what: str) -> None:
    file = cache_it(plan_path)
    os.chown(file if what == "file" else file.parent, 12345, 12345)

    assert read_compiled(str(plan_path)) is None


def test_a_folder_that_others_can_write_is_neither_read_nor_written(plan_path: Path) -> None:
    file = cache_it(plan_path)
    file.parent.chmod(0o777)
    identity = identify(str(plan_path))
    assert identity is not None

    assert read_compiled(str(plan_path)) is None
    before = file.read_bytes()
    record: dict[str, object] = {"service": "x", "state": "/x", "clusters": {}}
    assert not write_compiled(identity | {"mtime_ns": 1, "ctime_ns": 1}, record, [str(file.parent)])
    assert file.read_bytes() == before


def test_a_link_is_not_followed(plan_path: Path) -> None:
    file = cache_it(plan_path)
    real = file.rename(file.with_name("elsewhere"))
    file.symlink_to(real)

    assert read_compiled(str(plan_path)) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, '{"key": 1}', "\udcff"])
def test_a_damaged_cache_is_no_cache(plan_path: Path, content: str) -> None:
    cache_it(plan_path).write_bytes(content.encode("utf-8", "surrogateescape"))

    assert read_compiled(str(plan_path)) is None
    assert load_compiled(str(plan_path)).service == "shop"


@pytest.mark.parametrize("field", ["clusters", "service", "state"])
def test_a_cache_that_lacks_something_is_no_cache(plan_path: Path, field: str) -> None:
    file = cache_it(plan_path)
    record = json.loads(file.read_text())
    del record[field]
    file.write_text(json.dumps(record))

    assert read_compiled(str(plan_path)) is None


@pytest.mark.parametrize(
    "clusters", [[1], {"main": 1}, {"main": {}}, {"main": {"data": "/", "repositories": [1]}}]
)
def test_a_cache_of_another_shape_is_no_cache(plan_path: Path, clusters: object) -> None:
    file = cache_it(plan_path)
    record = json.loads(file.read_text()) | {"clusters": clusters}
    file.write_text(json.dumps(record))

    assert read_compiled(str(plan_path)) is None


def test_no_secret_value_is_cached(plan_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_KEY_ID", "AKIAHUNTER2")

    assert "AKIAHUNTER2" not in cache_it(plan_path).read_text()


def test_an_unwritable_cache_is_no_error(plan_path: Path) -> None:
    (plan_path.parent / "cache").write_text("a file where a folder belongs")

    assert load_compiled(str(plan_path)).service == "shop"


def test_an_invalid_plan_is_never_cached(plan_path: Path) -> None:
    plan_path.write_text("version: 1\n")
    os.utime(plan_path, ns=(LONG_AGO_NS, LONG_AGO_NS))

    with pytest.raises(PlanInvalid):
        load_compiled(str(plan_path))
    assert cache_files(plan_path) == []


def test_reading_it_imports_nothing_but_json_and_os(plan_path: Path) -> None:
    """PostgreSQL starts a process for every segment: whatever is imported here is paid each time."""
    cache_it(plan_path)
    program = (
        "import json, os, sys, __future__\n"
        "before = set(sys.modules)\n"
        "from seawall.plan.compiled import read_compiled\n"
        f"assert read_compiled({str(plan_path)!r}) is not None\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == [
        "seawall",
        "seawall.plan",
        "seawall.plan.compiled",
        "seawall.plan.locate",
        "seawall.plan.private_files",
    ]
