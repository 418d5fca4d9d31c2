"""Which kept images go first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.curation import KeptImage, evictions, rank

REASONS = st.sampled_from(["error", "audit", "novel", "uncertain"])
KEPT = st.lists(
    st.builds(
        KeptImage,
        id=st.just("x"),
        suffix=st.just(".jpg"),
        reasons=st.lists(REASONS, min_size=1, max_size=3).map(tuple),
        kept_at_ns=st.integers(1, 50),
        size_bytes=st.integers(1, 1_000),
    ),
    max_size=30,
)


def kept(number: int, *reasons: str) -> KeptImage:
    return KeptImage(f"id-{number}", ".jpg", reasons, number, 10)


IMAGES = sorted(
    [
        kept(1, "uncertain"),
        kept(2, "novel"),
        kept(3, "audit"),
        kept(4, "error"),
        kept(5, "audit", "uncertain"),
        kept(6, "audit"),
        kept(7, "error"),
        kept(8, "something newer than this version"),
    ],
    key=rank,
)


@pytest.mark.parametrize(
    ("excess_bytes", "gone"),
    [
        (-1, []),
        (0, []),
        (1, [4]),
        (10, [4]),
        (11, [4, 7]),
        (30, [4, 7, 8]),
        (40, [4, 7, 8, 3]),
        (60, [4, 7, 8, 3, 6, 2]),
        (999, [4, 7, 8, 3, 6, 2, 1, 5]),
    ],
)
def test_the_least_informative_go_first_the_oldest_of_them_before(excess_bytes, gone) -> None:
    """Errors, then audits, then novel ones, then uncertain ones; an image is worth its best reason."""
    assert [each.kept_at_ns for each in evictions(IMAGES, excess_bytes, 100)] == gone


@given(KEPT, st.integers(0, 10_000), st.integers(0, 40))
def test_enough_goes_and_none_needlessly(images, excess_bytes, at_most) -> None:
    """The excess is gone, unless there are too few or too many for one step; one fewer would not have done."""
    ranked = sorted(images, key=rank)
    gone = evictions(ranked, excess_bytes, at_most)
    assert list(gone) == ranked[: len(gone)]
    assert sum(each.size_bytes for each in gone) >= excess_bytes or len(gone) == min(at_most, len(images))
    assert not gone or sum(each.size_bytes for each in gone[:-1]) < excess_bytes
