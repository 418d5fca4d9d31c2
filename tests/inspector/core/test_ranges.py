"""Ranges of numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.ranges import Range, merged

RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda each: (each[0], sum(each))))


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], []),
        ([(3, 3)], [(3, 3)]),
        ([(1, 2), (3, 4)], [(1, 4)]),
        ([(1, 2), (4, 5)], [(1, 2), (4, 5)]),
        ([(4, 5), (1, 2), (3, 3)], [(1, 5)]),
        ([(1, 9), (2, 3)], [(1, 9)]),
    ],
)
def test_merged(ranges: list[Range], expected: list[Range]) -> None:
    """What touches or overlaps becomes one range."""
    assert merged(ranges) == expected


@given(RANGES)
def test_the_same_numbers(ranges: list[Range]) -> None:
    """No number comes or goes, and no two ranges touch."""

    def numbers(each: list[Range]) -> set[int]:
        return {number for first, last in each for number in range(first, last + 1)}

    result = merged(ranges)
    assert numbers(result) == numbers(ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(result))
