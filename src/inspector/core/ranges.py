"""Ranges of sequence numbers."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]
"""The first number and the last, both included."""


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in as few ranges as possible, in order; ranges may touch and overlap."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result
