"""Detections -> whether their confidence means what it says: of those of 0.8, are 8 in 10 true?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

BINS = 10


class Bin(msgspec.Struct, frozen=True):
    """The detections with a confidence of ``low`` to below ``high``."""

    low: float
    high: float
    count: int
    confidence: float | None
    """Their mean; null of none."""
    true: float | None
    """The share of them that is true."""


def reliability(confidences: NDArray[np.float64], true: NDArray[np.bool_]) -> list[Bin]:
    """Ten bins of equal width, of N detections: confidence (N,) in 0..1, and whether it is true (N,)."""
    place = np.minimum((confidences * BINS).astype(np.intp), BINS - 1)
    return [_bin(number, confidences[place == number], true[place == number]) for number in range(BINS)]


def expected_calibration_error(bins: Sequence[Bin]) -> float | None:
    """How far confidence and share of true ones lie apart, mean over detections (Naeini, Cooper and Hauskrecht 2015);
    None of none."""
    total = sum(each.count for each in bins)
    apart = [
        each.count * abs(each.confidence - each.true)
        for each in bins
        if each.confidence is not None and each.true is not None
    ]
    return sum(apart) / total if total else None


def _bin(number: int, confidences: NDArray[np.float64], true: NDArray[np.bool_]) -> Bin:
    low, high, count = number / BINS, (number + 1) / BINS, len(confidences)
    if not count:
        return Bin(low, high, 0, None, None)
    return Bin(low, high, count, float(confidences.mean()), float(true.mean()))
