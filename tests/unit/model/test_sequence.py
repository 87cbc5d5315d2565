"""The end is found wherever it is, with few questions."""

from __future__ import annotations

import pytest

from seawall.model.sequence import last_number


@pytest.mark.parametrize("end", [*range(70), 1000, 65535, 65536, 1_000_001])
def test_the_end_is_found_from_anywhere(end: int) -> None:
    for at_least in {0, end // 2, end}:
        asked: list[int] = []

        def exists(number: int, asked: list[int] = asked) -> bool:
            asked.append(number)
            return 1 <= number <= end

        assert last_number(exists, at_least=at_least) == end
        assert len(asked) <= 2 * (end - at_least + 1).bit_length() + 1
