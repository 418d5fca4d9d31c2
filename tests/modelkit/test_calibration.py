"""Confidence against truth, worked out by hand."""

import numpy as np
import pytest

from modelkit.calibration import expected_calibration_error, reliability


def bins(*seen: tuple[float, bool]):
    return reliability(np.array([each[0] for each in seen]), np.array([each[1] for each in seen], np.bool_))


def test_the_error_is_the_mean_gap_over_detections() -> None:
    """Three of 0.8, one of them true; one of 0.3, true: (3 x |0.8 - 1/3| + 1 x |0.3 - 1|) / 4."""
    found = bins((0.82, True), (0.8, False), (0.84, False), (0.35, True))
    assert expected_calibration_error(found) == pytest.approx((3 * abs(0.82 - 1 / 3) + 0.65) / 4)
    assert [each.count for each in found] == [0, 0, 0, 1, 0, 0, 0, 0, 3, 0]


def test_what_means_what_it_says_has_no_error() -> None:
    found = bins(*((0.75, number < 3) for number in range(4)))
    assert expected_calibration_error(found) == pytest.approx(0)


def test_a_confidence_of_1_is_in_the_last_bin() -> None:
    found = bins((1.0, True), (0.0, False))
    assert (found[-1].count, found[0].count) == (1, 1)


def test_of_no_detection_there_is_no_error() -> None:
    assert expected_calibration_error(bins()) is None
