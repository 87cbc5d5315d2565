"""The limits of the machine: what any program that reads, compresses and writes must at least take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

from benchmarks.contenders import JOBS
from benchmarks.timing import settle
from seawall.repository.format.codec import CompressionPolicy, Compressor

_PIECE_BYTES = 1 << 20


def read_seconds(folder: Path, *, is_cold: bool) -> float:
    """Return how long one thread takes to read every file."""
    settle(is_cold=is_cold)
    began = perf_counter()
    for _ in _pieces(folder):
        pass
    return perf_counter() - began


def compress_seconds(folder: Path) -> float:
    """Return how long zstd level 1 on every core takes, reading and writing nothing else."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "pg_wal" not in path.parts)
    shares = [b"".join(_file_pieces(files[number::JOBS])) for number in range(JOBS)]
    began = perf_counter()
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(_compress, shares))
    return perf_counter() - began


def write_seconds(place: Path, size: int) -> float:
    """Return how long a plain write of ``size`` bytes takes, fsync included."""
    settle(is_cold=False)
    block = os.urandom(_PIECE_BYTES)
    began = perf_counter()
    with open(place, "wb", buffering=0) as file:
        for _ in range(-(-size // _PIECE_BYTES)):
            file.write(block)
        os.fsync(file.fileno())
    seconds = perf_counter() - began
    place.unlink()
    return seconds


def _compress(data: bytes) -> int:
    compressor = Compressor(CompressionPolicy())
    view = memoryview(data)
    return sum(
        len(compressor.compress(view[start : start + _PIECE_BYTES]))
        for start in range(0, len(view), _PIECE_BYTES)
    )


def _pieces(folder: Path) -> Iterator[bytes]:
    return _file_pieces(
        sorted(path for path in folder.rglob("*") if path.is_file() and "pg_wal" not in path.parts)
    )


def _file_pieces(files: list[Path]) -> Iterator[bytes]:
    for path in files:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
