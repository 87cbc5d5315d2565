"""One flipped bit in every region of every kind of object: found by verify and by whatever restore reads it.

Every byte of every kind is flipped in tests/unit/repository/test_verify.py; here a bit of each *region* goes
through the real commands, and no damaged byte may end in a directory that a server could start on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.recovery import Outcome, Protected, remove

pytestmark = pytest.mark.postgres

HEADER_BYTES, FRAME_HEADER_BYTES, TAG_BYTES = 64, 12, 16
FOUND_BY_VERIFY = {60, 62, 63}
"""Object damaged, control object damaged, repository damaged."""
FOUND_BY_RESTORE = {16, 32, 33, 38, 60, 61, 62, 67, 68, 75}
"""The same, or: no key slot opens it, no such repository, no readable backup, a format from the future."""

KINDS = {
    "seawall.json": "seawall.json",
    "key slot": "keys/*",
    "term": "clusters/*/term/*",
    "commit": "clusters/*/*/commits/*",
    "manifest": "clusters/*/*/backups/*/manifest",
    "pack": "clusters/*/*/backups/*/pack/*",
    "wal": "clusters/*/*/wal/*/*",
}


def objects_of(shop: Protected, kind: str) -> list[Path]:
    return sorted(path for path in (shop.folder / "far").glob(KINDS[kind]) if path.is_file())


def regions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and a byte of each region of an object."""
    data = path.read_bytes()
    if not data.startswith(b"SEAWALL"):
        for part in range(8):
            yield f"text {part}/8", part * len(data) // 8
        yield "last byte", len(data) - 1
        return
    for name, offset in (
        ("magic", 1),
        ("version", 8),
        ("kind", 10),
        ("flags", 12),
        ("salt", 30),
        ("zero", 60),
    ):
        yield f"header, {name}", offset
    starts = list(frames(data))
    for start in sorted({starts[0], starts[len(starts) // 2], starts[-1]}):
        stored = int.from_bytes(data[start : start + 4], "little")
        for name, offset in (
            ("stored", 0),
            ("raw", 4),
            ("content", 8),
            ("codec", 9),
            ("flags", 10),
            ("zero", 11),
        ):
            yield f"frame at {start}, {name}", start + offset
        if stored:
            yield f"frame at {start}, payload", start + FRAME_HEADER_BYTES + stored // 2
        yield f"frame at {start}, tag", start + FRAME_HEADER_BYTES + stored + TAG_BYTES - 1


def frames(data: bytes) -> Iterator[int]:
    offset = HEADER_BYTES
    while offset < len(data):
        yield offset
        offset += FRAME_HEADER_BYTES + int.from_bytes(data[offset : offset + 4], "little") + TAG_BYTES


def flip(path: Path, offset: int) -> bytes:
    """Flip one bit, and return what was there before."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[offset] ^= 1 << offset % 7
    path.chmod(0o600)
    path.write_bytes(changed)
    return before


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_before_anything_relies_on_it(kind: str, shop: Protected) -> None:
    candidates = objects_of(shop, kind)
    assert candidates, f"there is no {kind} to spoil"
    path = candidates[-1]  # of WAL the newest, which every restore to the latest moment reads
    unread_by_restore: list[str] = []
    for region, offset in regions(path):
        before = flip(path, offset)
        try:
            verified = shop.run("verify")
            assert verified.status in FOUND_BY_VERIFY | {16, 32, 75}, f"{kind}, {region}: {verified}"
            assert_told(verified, path, kind, region)
            restored, target = restore(shop)
            if restored.status == 0:
                unread_by_restore.append(region)
            else:
                assert restored.status in FOUND_BY_RESTORE, f"{kind}, {region}: {restored}"
                assert "→" in restored.err and "Traceback" not in restored.err
                assert not (target / "global" / "pg_control").exists(), (
                    f"{kind}, {region}: it could be started"
                )
        finally:
            path.write_bytes(before)
    assert shop.run("verify").status == 0
    assert_only_harmless(kind, unread_by_restore)


def assert_told(verified: Outcome, path: Path, kind: str, region: str) -> None:
    said = verified.out + verified.err
    assert "→" in verified.err and "Traceback" not in said, said
    if verified.status == 63:
        assert path.name in said, f"{kind}, {region}: verify doesn't name the object\n{said}"


def restore(shop: Protected) -> tuple[Outcome, Path]:
    target = shop.new_folder() / "data"
    outcome = shop.run("restore", "--latest", "--into", target, "--pg-bin", shop.cluster.programs.folder)
    if outcome.status == 0:
        remove(target)
    return outcome, target


def assert_only_harmless(kind: str, regions_unread: list[str]) -> None:
    """A restore may succeed beside damage only where it never needs the bytes: it names pack frames itself."""
    if kind == "term":
        return  # who may write next is no matter of a copy
    trailers = [name for name in regions_unread if name.startswith("frame at")]
    if kind == "pack":
        assert len({name.split(",")[0] for name in trailers}) <= 1, (
            f"only a trailer is never read: {trailers}"
        )
        regions_unread = [name for name in regions_unread if name not in trailers]
    assert not regions_unread, f"restore took damaged bytes of a {kind}: {regions_unread}"
