"""The end of a numbered sequence without holes, found without a listing: gallop, then halve."""

from __future__ import annotations

from collections.abc import Callable


def last_number(exists: Callable[[int], bool], *, at_least: int = 0) -> int:
    """Return the last number from 1 on that ``exists``, 0 if none does; ``at_least`` is known to.

    Asks for single numbers, about twice the logarithm of the distance: a store answers for a key sooner, and
    tells more surely what was just written, than it lists.
    """
    known, step = at_least, 1
    while exists(known + step):
        known += step
        step *= 2
    missing = known + step
    while missing - known > 1:
        middle = (known + missing) // 2
        if exists(middle):
            known = middle
        else:
            missing = middle
    return known
