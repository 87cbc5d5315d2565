"""The control file: checksum, torn reads, versions that are not known. Real ones: tests/postgres."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path

import pytest

from seawall.postgres.errors import ControlFileInvalid
from seawall.postgres.files.control_file import (
    CONTROL_FILE_PATH,
    ClusterState,
    crc32c,
    parse_control_file,
    read_control_bytes,
    read_control_file,
)

BEFORE_CRC = 288
CRC = slice(BEFORE_CRC, BEFORE_CRC + 4)


def control_file(**changes: object) -> bytes:
    """Return a control file of PostgreSQL 15, built by offsets as its header file lays them out."""
    raw = bytearray(8192)
    fields: dict[str, tuple[int, str, object]] = {
        "system_identifier": (0, "<Q", 7712038907164211038),
        "control_version": (8, "<I", 1300),
        "catalog_version": (12, "<I", 202209061),
        "state": (16, "<I", 6),
        "modified_at": (24, "<q", 1795598983),
        "checkpoint": (32, "<Q", 0x1679000),
        "redo": (40, "<Q", 0x1678FF8),
        "timeline": (48, "<I", 3),
        "previous_timeline": (52, "<I", 2),
        "min_recovery": (136, "<Q", 0x2000028),
        "min_recovery_timeline": (144, "<I", 3),
        "wal_level": (172, "<i", 1),
        "max_connections": (180, "<i", 100),
        "float_format": (208, "<d", 1234567.0),
        "block_bytes": (216, "<I", 8192),
        "relation_segment_blocks": (220, "<I", 131072),
        "wal_segment_bytes": (228, "<I", 16777216),
        "data_checksum_version": (252, "<I", 1),
    }
    for name, (offset, kind, value) in fields.items():
        struct.pack_into(kind, raw, offset, changes.get(name, value))
    raw[CRC] = crc32c(bytes(raw[:BEFORE_CRC])).to_bytes(4, "little")
    return bytes(raw)


def test_crc32c_keeps_to_published_vectors() -> None:
    """RFC 3720, appendix B.4."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def test_fields_come_from_their_offsets() -> None:
    control = parse_control_file(control_file())
    assert control.major == 15
    assert control.system_identifier == 7712038907164211038
    assert control.state is ClusterState.IN_PRODUCTION
    assert (str(control.checkpoint_lsn), str(control.redo_lsn)) == ("0/1679000", "0/1678FF8")
    assert (control.timeline, control.previous_timeline) == (3, 2)
    assert (str(control.min_recovery_lsn), control.min_recovery_timeline) == ("0/2000028", 3)
    assert (control.wal_level, control.max_connections) == ("replica", 100)
    assert control.relation_segment_bytes == 1 << 30
    assert control.wal_segment_bytes == 16 << 20
    assert control.has_checksums


@pytest.mark.parametrize("offset", [0, 17, 100, 255, BEFORE_CRC, BEFORE_CRC + 3])
def test_a_flipped_bit_is_noticed(offset: int) -> None:
    raw = bytearray(control_file())
    raw[offset] ^= 0x10
    with pytest.raises(ControlFileInvalid, match="checksum"):
        parse_control_file(bytes(raw))


def test_an_unknown_layout_is_named() -> None:
    with pytest.raises(ControlFileInvalid, match="version 1900, which Seawall does not know"):
        parse_control_file(control_file(control_version=1900))


def test_an_older_release_with_a_known_layout_is_refused() -> None:
    with pytest.raises(ControlFileInvalid, match="catalog version 202007201"):
        parse_control_file(control_file(catalog_version=202007201))


def test_a_big_endian_machines_file_is_called_that() -> None:
    raw = bytearray(control_file())
    raw[8:12] = (1300).to_bytes(4, "big")
    with pytest.raises(ControlFileInvalid, match="big-endian"):
        parse_control_file(bytes(raw))


def test_another_architecture_is_refused() -> None:
    with pytest.raises(ControlFileInvalid, match="another architecture"):
        parse_control_file(control_file(float_format=1.5))


def test_a_short_file_is_refused() -> None:
    with pytest.raises(ControlFileInvalid, match="100 bytes"):
        parse_control_file(control_file()[:100])


def data_directory(folder: Path, raw: bytes) -> Path:
    """Return a data directory that has nothing but this control file."""
    path = folder / CONTROL_FILE_PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)
    return folder


def test_a_missing_file_says_what_a_data_directory_is(tmp_path: Path) -> None:
    with pytest.raises(ControlFileInvalid, match="No such file") as caught:
        read_control_file(tmp_path)
    assert "data directory" in caught.value.hint


def test_lasting_damage_is_reported_with_the_path(tmp_path: Path) -> None:
    raw = bytearray(control_file())
    raw[60] ^= 1
    directory = data_directory(tmp_path, bytes(raw))
    with pytest.raises(ControlFileInvalid) as caught:
        read_control_file(directory)
    assert caught.value.fields["path"] == str(directory / CONTROL_FILE_PATH)


def test_a_torn_read_is_read_again(tmp_path: Path) -> None:
    good = control_file()
    directory = data_directory(tmp_path, good[:50] + bytes(20) + good[70:])

    def finish_the_write() -> None:
        time.sleep(0.05)
        (directory / CONTROL_FILE_PATH).write_bytes(good)

    writer = threading.Thread(target=finish_the_write)
    writer.start()
    try:
        assert read_control_bytes(directory) == good
    finally:
        writer.join()
