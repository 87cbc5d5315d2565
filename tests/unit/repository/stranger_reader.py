"""A reader of the repository format, written from docs/format.md alone: nothing of Seawall is imported.

    python stranger_reader.py REPOSITORY_FOLDER KEY_FILE|- CLUSTER SYSID ID PATH > file

It reads objects through any function from key to bytes, as slowly and as simply as it can.
"""

from __future__ import annotations

import hmac
import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Get = Callable[[str], bytes]


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def canonical(members: dict[str, Any]) -> bytes:
    return (json.dumps(members, indent=2, sort_keys=True) + "\n").encode("ascii")


def control(data: bytes) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(data)
    rest = {name: value for name, value in members.items() if name != "checksum"}
    assert data == canonical(members) and members["checksum"] == blake3(canonical(rest)).hexdigest()
    return rest


class Stranger:
    """One repository, opened with a key file's content or with nothing."""

    def __init__(self, get: Get, slot_keys: list[str], key_file: bytes | None) -> None:
        self.get = get
        header = control(get("seawall.json"))
        assert header["seawall"] == "repository" and header["format"] == 1
        self.id = bytes.fromhex(header["repository"])
        self.master = None
        if header["encryption"] == "aes-256-gcm":
            assert key_file is not None
            self.master = self._unseal([control(get(key)) for key in slot_keys], key_file)
            mac = header.pop("mac")
            mac_key = hkdf(self.master, self.id, b"seawall repository v1")
            assert hmac.digest(mac_key, canonical(header), "sha256").hex() == mac

    def _unseal(self, slots: list[dict[str, Any]], key_file: bytes) -> bytes:
        for slot in slots:
            if slot["kind"] == "key-file" and slot["repository"] == self.id.hex():
                sealed = bytes.fromhex(slot.pop("sealed"))
                salt = bytes.fromhex(slot["derivation"]["salt"])
                cipher = AESGCM(hkdf(key_file.rstrip(b"\r\n"), salt, b"seawall slot v1"))
                return cipher.decrypt(bytes.fromhex(slot["nonce"]), sealed, canonical(slot))
        raise LookupError("no slot for a key file")

    def frame(self, key: str, header: bytes, frame: bytes, offset: int) -> bytes:
        stored, raw, _, codec = struct.unpack_from("<IIBB", frame)
        payload, tag = frame[12 : 12 + stored], frame[12 + stored :]
        place = struct.pack("<Q", offset) + frame[:12] + key.encode()
        associated = b"seawall frame v1" + self.id + header + place
        if self.master is None:
            assert blake3(associated + payload).digest() == tag
        else:
            object_key = hkdf(self.master, header[16:48], b"seawall object v1")
            payload = AESGCM(object_key).decrypt(offset.to_bytes(12, "big"), payload + tag, associated)
        if codec == 1:
            payload = zstd.decompress(payload)
        assert len(payload) == raw
        return payload

    def header(self, kind: int, salt: bytes) -> bytes:
        flags = 0 if self.master is None else 1
        return struct.pack("<8sHHI32s16s", b"SEAWALL\1", 1, kind, flags, salt, bytes(16))

    def frames(self, key: str, kind: int) -> Iterator[tuple[int, bytes]]:
        """Yield (content, payload) of every frame of an object."""
        data = self.get(key)
        header, offset, flags = data[:64], 64, 0
        assert header == self.header(kind, header[16:48])
        while not flags:
            stored, _, content, _, flags, _ = struct.unpack_from("<IIBBBB", data, offset)
            end = offset + 12 + stored + (32 if self.master is None else 16)
            yield content, self.frame(key, header, data[offset:end], offset)
            offset = end
        assert offset == len(data)

    def commit(self, cluster: str, system: str, backup_id: str) -> dict[str, Any]:
        key = f"clusters/{cluster}/{system}/commits/{backup_id}"
        payload = b"".join(payload for _, payload in self.frames(key, 3))
        record: dict[str, Any] = json.loads(payload)["backup"]
        assert (record["cluster"], str(record["system_identifier"]), record["id"]) == (
            cluster,
            system,
            backup_id,
        )
        return record

    def files(self, cluster: str, system: str, backup_id: str) -> dict[str, bytes]:
        """Return every file of a backup, by path."""
        backups = f"clusters/{cluster}/{system}/backups"
        record, manifest = self.commit(cluster, system, backup_id), f"{backups}/{backup_id}/manifest"
        data = self.get(manifest)
        assert len(data) == record["manifest"]["size"]
        assert blake3(data).hexdigest() == record["manifest"]["hash"]
        entries: dict[str, tuple[int, bytes]] = {}
        packs: list[Any] = []
        for content, payload in self.frames(manifest, 2):
            if content == 1:
                for line in msgspec.msgpack.decode(payload):
                    path, kind, size, extents = line[0].decode(), line[1], line[8], line[10]
                    if kind == 0:
                        entries[path] = (size, entries.get(path, (0, b""))[1] + extents)
            elif content == 2:
                packs += msgspec.msgpack.decode(payload)
        return {
            path: self._content(backups, packs, size, extents) for path, (size, extents) in entries.items()
        }

    def _content(self, backups: str, packs: list[Any], size: int, extents: bytes) -> bytes:
        content, filled = bytearray(size), 0
        for extent in struct.iter_unpack("<QIBBHIQII16s", extents):
            start, length, kind, flags, reserved, pack, offset, whole, inner, digest = extent
            assert start == filled and kind in (0, 1) and not flags and not reserved
            filled += length
            if kind == 0:
                name, owner, salt, _ = packs[pack]
                key = f"{backups}/{owner}/pack/{name}"
                frame = self.get(key)[offset : offset + whole]
                data = self.frame(key, self.header(1, salt), frame, offset)[inner : inner + length]
                assert blake3(data).digest(length=16) == digest
                content[start : start + length] = data
        assert filled == size
        return bytes(content)

    def wal(self, key: str) -> bytes:
        """Return one archived WAL file."""
        (_, first), *rest = self.frames(key, 4)
        meta, content = json.loads(first), b"".join(payload for _, payload in rest)
        assert len(content) == meta["raw_bytes"] and blake3(content).hexdigest() == meta["hash"]
        return content


def main() -> None:
    folder, key_file, cluster, system, backup_id, path = sys.argv[1:]
    root = Path(folder)
    slots = [f"keys/{slot.name}" for slot in sorted(root.glob("keys/*.json"))]
    secret = None if key_file == "-" else Path(key_file).read_bytes()
    stranger = Stranger(lambda key: (root / key).read_bytes(), slots, secret)
    sys.stdout.buffer.write(stranger.files(cluster, system, backup_id)[path])


if __name__ == "__main__":
    main()
