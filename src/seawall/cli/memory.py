"""Keep freed memory in the process: asking the kernel for it again costs more than the work done in it.

glibc gives blocks above 128 KiB back at once. Every frame that is compressed or decompressed is such a block, so
each would be taken, zeroed by the kernel page by page, and given back: up to half a second for each GB
(mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD). Frames are of bounded size, so what is kept is bounded too.
"""

from __future__ import annotations

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_FRAMES_BYTES = 16 << 20
_KEPT_BYTES = 256 << 20


def keep_freed_memory() -> bool:
    """Ask the C library to; return whether it understood. To be called before threads start."""
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # musl, macOS: another allocator, with its own ways
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, _FRAMES_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
