"""Which kept images go first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.curation import KeptImage, evictions

REASONS = st.sampled_from(["error", "audit", "novel", "uncertain"])
KEPT = st.lists(
    st.builds(
        KeptImage,
        id=st.just("x"),
        seq=st.integers(1, 50),
        reasons=st.lists(REASONS, min_size=1, max_size=3).map(tuple),
        size_bytes=st.integers(1, 1_000),
    ),
    max_size=30,
)


def kept(seq: int, *reasons: str, size_bytes: int = 10) -> KeptImage:
    return KeptImage(f"id-{seq}", seq, reasons, size_bytes)


IMAGES = [
    kept(1, "uncertain"),
    kept(2, "novel"),
    kept(3, "audit"),
    kept(4, "error"),
    kept(5, "audit", "uncertain"),
    kept(6, "audit"),
    kept(7, "error"),
    kept(8, "something newer than this version"),
]


@pytest.mark.parametrize(
    ("budget_bytes", "gone"),
    [
        (80, []),
        (79, [4]),
        (70, [4]),
        (50, [4, 7, 8]),
        (40, [4, 7, 8, 3]),
        (20, [4, 7, 8, 3, 6, 2]),
        (0, [4, 7, 8, 3, 6, 2, 1, 5]),
    ],
)
def test_the_least_informative_go_first_the_oldest_of_them_before(budget_bytes, gone) -> None:
    """Errors, then audits, then novel ones, then uncertain ones; an image is worth its best reason."""
    assert [each.seq for each in evictions(IMAGES, budget_bytes)] == gone


@given(KEPT, st.integers(0, 10_000))
def test_the_rest_fits_and_none_goes_needlessly(images, budget_bytes) -> None:
    """What remains is within the budget; one fewer removed would not be."""
    gone = evictions(images, budget_bytes)
    remaining = sum(each.size_bytes for each in images) - sum(each.size_bytes for each in gone)
    assert remaining <= budget_bytes
    if gone:
        assert remaining + gone[-1].size_bytes > budget_bytes
