"""Predictions -> the thresholds of a package, by a rule that is written down.

1. ``low_confidence`` is the highest floor at which at most ``max_escapes`` of the defective pictures pass, less a
   margin.
2. ``confidence`` is the lowest, but not below that floor, at which at most ``max_false_alarms`` of all pictures have
   a false alarm, a detection that touches no labelled defect, plus the margin.
3. Both hold for every precision.

Without the margin no other thresholds within the limits send fewer pictures to review: a higher floor means more
escapes, a lower ``confidence`` more false alarms. But that is of the parts that there were. On others a model is less
sure, or more, and on another processor by a little: what is within the margin of the floor goes to a person, so that
nothing is failed on the one and passed on the other.

False alarms stand for good parts judged fail, of which there may be hardly a picture: what is not labelled is good
surface, on a defective part too. A defect that nobody labelled counts as good surface, which makes for more review.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspector.core.detections import RAW_FLOOR
from inspector.core.geometry import intersection_over_union
from inspector.core.package import Precision, Thresholds
from modelkit.labels import corners
from modelkit.predictions import Prediction, Predictions

STEPS = tuple(hundredths / 100 for hundredths in range(round(RAW_FLOOR * 100), 96))
"""What is tried."""
DEFAULT = Thresholds(confidence=0.5, low_confidence=0.25)


class ThresholdsError(Exception):
    """No thresholds satisfy the rule; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How much may go wrong, in shares of pictures (0..1), and what is set: None is for the rule to choose."""

    max_escapes: float = 0.01
    max_false_alarms: float = 0.02
    margin: float = 0.1
    """Of confidences."""
    confidence: float | None = None
    low_confidence: float | None = None


def choose(predictions: Predictions | None, rule: Rule) -> Thresholds:
    """Choose what is not set; without predictions it is ``DEFAULT``'s.

    Raises ThresholdsError where no threshold satisfies the rule, and where the floor is above what is set.
    """
    if predictions is None:
        low = DEFAULT.low_confidence if rule.low_confidence is None else rule.low_confidence
        high = DEFAULT.confidence if rule.confidence is None else rule.confidence
    else:
        high, low = _by_rule(predictions, rule)
    for name, value in (("confidence", high), ("low_confidence", low)):
        if not 0 <= value <= 1:
            raise ThresholdsError(f"{name} is {value}, not 0 to 1")
    try:
        return Thresholds(high, low)
    except ValueError as error:
        raise ThresholdsError(f"{error}; set neither, or both") from error


def _by_rule(predictions: Predictions, rule: Rule) -> tuple[float, float]:
    found = {precision: _strongest(predictions, precision) for precision in predictions.precisions}
    if rule.low_confidence is None:
        weakest = _weakest(found, rule)
        low = max(STEPS[0], round(weakest - rule.margin, 2))
    else:
        weakest = low = rule.low_confidence
    high = rule.confidence
    if high is None:
        loudest = max(weakest, _loudest(found, rule))
        high = min(STEPS[-1], round(loudest + rule.margin, 2))
    return high, low


def explain(predictions: Predictions, rule: Rule, thresholds: Thresholds) -> str:
    """By what the thresholds were chosen, and how often that goes wrong with them, for the manifest."""
    found = {precision: _strongest(predictions, precision) for precision in predictions.precisions}
    defective = sum(picture.is_defective for picture in predictions.pictures)
    escapes = [f"{name} {each.escapes(thresholds.low_confidence)}" for name, each in found.items()]
    alarms = [f"{name} {each.false_alarms(thresholds.confidence)}" for name, each in found.items()]
    margin = f"{rule.margin:g}, within {STEPS[0]:g} to {STEPS[-1]:g}"
    floor = f"the highest at which at most {rule.max_escapes * 100:g} % of the defective pictures pass, less {margin}"
    accepting = (
        f"the lowest at which at most {rule.max_false_alarms * 100:g} % of the pictures have a false alarm, but not "
        f"below the former, plus {margin}"
    )
    return (
        f"low_confidence: {floor if rule.low_confidence is None else 'set by hand'} "
        f"(of {defective}, these pass: {', '.join(escapes)}); "
        f"confidence: {accepting if rule.confidence is None else 'set by hand'} "
        f"(of {len(predictions.pictures)}, these have one: {', '.join(alarms)})"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Strongest:
    """The confidence of the strongest detection of its kind in each of N pictures, 0 where there is none."""

    in_defective: NDArray[np.float32]
    """(N,) of any kind; the defective pictures."""
    false: NDArray[np.float32]
    """(N,) of those that touch no labelled defect; all pictures."""

    def escapes(self, floor: float) -> int:
        """So many defective pictures have nothing at or above the floor."""
        return int((self.in_defective < np.float32(floor)).sum())

    def false_alarms(self, confidence: float) -> int:
        """So many pictures have a false alarm."""
        return int((self.false >= np.float32(confidence)).sum())


def _weakest(found: Mapping[Precision, _Strongest], rule: Rule) -> float:
    """The highest floor that satisfies the rule, without the margin."""
    defective = len(next(iter(found.values())).in_defective)
    if not defective:
        raise ThresholdsError("no picture is defective, so nothing tells what escapes; give --low-confidence")
    fitting = [
        step
        for step in STEPS
        if all(each.escapes(step) / defective <= rule.max_escapes for each in found.values())
    ]
    if not fitting:
        escapes = max(each.escapes(STEPS[0]) for each in found.values())
        raise ThresholdsError(
            f"even with a low_confidence of {STEPS[0]} {escapes} of {defective} defective pictures pass, "
            f"{escapes / defective:.1%} and not {rule.max_escapes:.1%}; raise --max-escapes, or train a better model"
        )
    return fitting[-1]


def _loudest(found: Mapping[Precision, _Strongest], rule: Rule) -> float:
    """The lowest accepting threshold that satisfies the rule, without the margin."""
    pictures = len(next(iter(found.values())).false)
    for step in STEPS:
        if all(each.false_alarms(step) / pictures <= rule.max_false_alarms for each in found.values()):
            return step
    alarms = max(each.false_alarms(STEPS[-1]) for each in found.values())
    raise ThresholdsError(
        f"even with a confidence of {STEPS[-1]} {alarms} of {pictures} pictures have a false alarm, "
        f"{alarms / pictures:.1%} and not {rule.max_false_alarms:.1%}; raise --max-false-alarms, or look whether "
        "defects are missing in the labels"
    )


def _strongest(predictions: Predictions, precision: Precision) -> _Strongest:
    pictures = predictions.pictures
    any_kind = [
        float(picture.raw(precision).confidences[:1].sum()) for picture in pictures if picture.is_defective
    ]
    false = [_strongest_false(picture, precision) for picture in pictures]
    return _Strongest(np.array(any_kind, np.float32), np.array(false, np.float32))


def _strongest_false(picture: Prediction, precision: Precision) -> float:
    labelled = corners(picture.labels)
    found = picture.raw(precision)
    touches = [bool((intersection_over_union(box, labelled) > 0).any()) for box in found.boxes]
    return float(found.where(~np.array(touches, np.bool_)).confidences[:1].sum())
