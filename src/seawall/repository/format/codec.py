"""The one place that knows zstd: a policy, a compressor that is reused, and a bounded decompressor.

``backports.zstd`` is the module that became ``compression.zstd`` in Python 3.14. Both release the GIL.
Compression is apart from sealing, so that one read of a source is compressed once for all repositories.
"""

from __future__ import annotations

import enum
import sys
from typing import NamedTuple

from seawall.repository.errors import FrameDamaged
from seawall.storage.protocol import Buffer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Codec(enum.IntEnum):
    """How a frame's payload is stored before encryption."""

    STORED = 0
    ZSTD = 1


class CompressionPolicy(NamedTuple):
    """How hard to try. ``min_match`` is zstd's shortest match in bytes; 0 leaves it to zstd, which knows the
    frame's size (docs/decisions/0002)."""

    level: int = 1
    min_match: int = 0


class Compressor:
    """A zstd context that one thread reuses for every frame."""

    __slots__ = ("_compressor",)

    def __init__(self, policy: CompressionPolicy | None = None) -> None:
        chosen = policy or CompressionPolicy()
        options = {
            int(zstd.CompressionParameter.compression_level): chosen.level,
            int(zstd.CompressionParameter.min_match): chosen.min_match,
        }
        self._compressor = zstd.ZstdCompressor(options=options)

    def compress(self, data: Buffer) -> bytes:
        """Return ``data`` as one zstd frame that states its content size."""
        return self._compressor.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)


def decompress(data: Buffer, raw_length: int) -> bytes:
    """Return the ``raw_length`` bytes that one zstd frame holds, never allocating more than that.

    Stating the bound is also ten times as fast as letting the output buffer grow.

    Raises:
        FrameDamaged: it isn't one whole zstd frame of exactly that content.
    """
    decompressor = zstd.ZstdDecompressor()
    try:
        raw = decompressor.decompress(data, max_length=raw_length)
        if not decompressor.eof and len(raw) == raw_length:
            # An empty or exactly filled output may leave the frame's checksum or end mark unread.
            raw += decompressor.decompress(b"", max_length=1)
    except (zstd.ZstdError, EOFError, ValueError) as error:
        raise FrameDamaged(f"a compressed frame can't be decompressed: {error}") from error
    if not decompressor.eof or decompressor.unused_data or len(raw) != raw_length:
        raise FrameDamaged(f"a compressed frame does not hold the {raw_length} bytes that it states")
    return raw
