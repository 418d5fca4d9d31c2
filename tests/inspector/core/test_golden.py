"""What a model finds in a golden picture, against what is expected of it."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.core.detections import Detections
from inspector.core.golden import CONFIDENCE_TOLERANCE, compare, verdict_on
from inspector.core.package import GoldenDetection, Thresholds

FLOOR = 0.25
EXPECTED = (
    GoldenDetection(0, 0.80, 10, 20, 40, 30),
    GoldenDetection(1, 0.60, 100, 20, 40, 30),
)


def found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Of left, top, right, bottom, confidence, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


FIRST, SECOND = (10, 20, 50, 50, 0.80, 0), (100, 20, 140, 50, 0.60, 1)


def confidence(value: float) -> tuple[float, float, float, float, float, int]:
    return (10, 20, 50, 50, value, 0)


@pytest.mark.parametrize(
    "same",
    [
        found(FIRST, SECOND),
        found(SECOND, FIRST),
        found(FIRST, SECOND, (200, 200, 240, 240, 0.24, 0)),
        found(confidence(0.80 + CONFIDENCE_TOLERANCE - 0.001), SECOND),
        found((10, 20, 51, 51, 0.80, 0), SECOND),
    ],
    ids=["equal", "another order", "one below the floor", "confidence", "box"],
)
def test_the_same(same: Detections) -> None:
    """Whatever their order, what is below the floor, and what another processor rounds otherwise."""
    assert compare(EXPECTED, same, FLOOR) is None


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (found(FIRST), "1 detections, expected 2"),
        (found(FIRST, SECOND, SECOND), "3 detections, expected 2"),
        (found(FIRST, FIRST), "none like class 1, confidence 0.6, at 100, 20"),
        (found(confidence(0.80 + CONFIDENCE_TOLERANCE + 0.001), SECOND), "none like class 0"),
        (found((10, 20, 50, 50, 0.80, 1), SECOND), "none like class 0"),
        (found((14, 20, 54, 50, 0.80, 0), SECOND), "none like class 0"),
    ],
    ids=["too few", "too many", "one twice", "confidence", "class", "box"],
)
def test_different(other: Detections, difference: str) -> None:
    """Said so that a person finds the detection."""
    assert (compare(EXPECTED, other, FLOOR) or "").startswith(difference)


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.24, "pass"), (0.26, "review"), (0.49, "review"), (0.51, "fail")]
)
def test_the_verdict_is_that_of_the_packages_own_thresholds(value: float, verdict: str) -> None:
    assert verdict_on(found(confidence(value)), ("scratch",), Thresholds(0.5, FLOOR)) == verdict
