"""Durations and sizes as people write them (``15m``, ``20GiB``) and as we show them."""

from __future__ import annotations

import re

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_BYTES = {
    "B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip


def parse_duration_s(text: str) -> float:
    """Read ``90s``, ``15m``, ``1h30m``, ``35d`` as seconds. Raises ValueError."""
    position, total = 0, 0.0
    for match in _DURATION_PART.finditer(text):
        if match.start() != position:
            break
        total += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    if not text or position != len(text):
        raise ValueError(f"not a duration: {text!r} (write a number and a unit: 30s, 15m, 1h30m, 35d)")
    return total


def parse_size_bytes(text: str) -> int:
    """Read ``512MiB``, ``20GB`` or a plain number of bytes. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a size: {text!r} (write a number and a unit: 512MiB, 20GiB, 1TB)")
    whole, _, decimals = match[1].partition(".")
    scale: int = 10 ** len(decimals)
    return int(whole + decimals) * _BYTES[match[2] or "B"] // scale


def format_bytes(count: float) -> str:
    """Show a byte count in binary units, at least three significant digits: ``1.42 GiB``, ``1023 KiB``."""
    if abs(count) < 1023.5:
        return f"{count:.0f} B"
    units = iter(("KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = "B"
    while abs(count) >= 1023.5 and unit != "PiB":
        count, unit = count / 1024, next(units)
    return f"{count:.3g} {unit}" if abs(count) < 999.5 else f"{count:.0f} {unit}"


def format_duration(seconds: float) -> str:
    """Show seconds as a person says them: ``0.42 s``, ``14 s``, ``3 m 05 s``, ``2 h 10 m``, ``3 d 4 h``."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 0.0005:
        return "0 s"
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
