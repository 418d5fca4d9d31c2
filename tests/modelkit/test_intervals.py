"""Intervals are those of the books, and parts are drawn whole."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import binomtest

from modelkit.intervals import percentile, resample, wilson

PARTS = ["a", "b", "a", "c", "b", "a"]


@pytest.mark.parametrize("of", [1, 3, 10, 191, 5000])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.5, 0.99, 1])
def test_a_share_has_the_interval_that_scipy_gives_it(share: float, of: int) -> None:
    count = round(share * of)
    expected = binomtest(count, of).proportion_ci(0.95, "wilson")
    assert wilson(count, of) == pytest.approx((expected.low, expected.high))


def test_none_of_ten_may_be_one_in_four() -> None:
    """As Newcombe 1998 has it."""
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)


def test_of_nothing_there_is_no_interval() -> None:
    assert wilson(0, 0) is None
    assert percentile(np.array([])) is None
    assert percentile(np.array([np.nan])) is None


def test_parts_are_drawn_whole_as_many_as_there_are() -> None:
    """All pictures of a part or none of them, as often as it was drawn."""
    pictures_of = {part: [place for place, each in enumerate(PARTS) if each == part] for part in PARTS}
    for drawn in resample(PARTS, 200):
        times = Counter(drawn.tolist())
        by_part = {part: {times[picture] for picture in pictures} for part, pictures in pictures_of.items()}
        assert all(len(each) == 1 for each in by_part.values())
        assert sum(next(iter(each)) for each in by_part.values()) == len(pictures_of)


def test_every_part_is_drawn_as_often_as_any() -> None:
    """Over many draws, however few pictures it has."""
    drawn = Counter(picture for draw in resample(PARTS, 3000) for picture in draw.tolist())
    assert [drawn[0], drawn[1], drawn[3]] == pytest.approx([3000] * 3, rel=0.05)


def test_the_same_draws_each_time() -> None:
    """A figure can be had again."""
    again = zip(resample(PARTS, 5), resample(PARTS, 5), strict=True)
    assert all((one == other).all() for one, other in again)


def test_95_of_100_lie_within() -> None:
    """What cannot be said of a draw is left out."""
    values = np.array([*np.arange(101.0), np.nan])
    assert percentile(values) == pytest.approx((2.5, 97.5))
