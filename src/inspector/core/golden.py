"""What a model finds in a golden picture, against what its package expects: the same on every device.

Arithmetic may round differently from one processor to the next; what it decides may not differ. So every detection
must be there, at its place, and its confidence may be off by less than it is from any threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inspector.core.detections import Detections
from inspector.core.geometry import intersection_over_union
from inspector.core.package import GoldenDetection, Thresholds
from inspector.core.verdict import Policy, VerdictName, judge

CONFIDENCE_TOLERANCE = 0.05
"""Half the distance that a golden detection keeps from the thresholds."""
LEAST_IOU = 0.9


def compare(expected: Sequence[GoldenDetection], found: Detections, floor: float) -> str | None:
    """How the detections at or above ``floor`` differ from those expected; None where they are the same."""
    found = found.where(found.confidences >= floor)
    if len(found) != len(expected):
        return f"{len(found)} detections, expected {len(expected)}"
    unmatched = list(range(len(found)))
    for each in expected:
        match = next((index for index in unmatched if _is_same(each, found, index)), None)
        if match is None:
            return (
                f"none like class {each.class_id}, confidence {each.confidence}, at {each.left}, {each.top}"
            )
        unmatched.remove(match)
    return None


def verdict_on(found: Detections, labels: tuple[str, ...], thresholds: Thresholds) -> VerdictName:
    """What a package's own thresholds make of the detections in one of its golden pictures."""
    return judge(found, labels, Policy(thresholds)).name


def _is_same(expected: GoldenDetection, found: Detections, index: int) -> bool:
    right, bottom = expected.left + expected.width, expected.top + expected.height
    box = np.array([expected.left, expected.top, right, bottom], np.float32)
    return bool(
        expected.class_id == found.class_ids[index]
        and abs(expected.confidence - found.confidences[index]) <= CONFIDENCE_TOLERANCE
        and intersection_over_union(box, found.boxes[[index]])[0] >= LEAST_IOU
    )
