"""Predictions -> the worst errors in them, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inspector.core.package import Precision, Thresholds
from modelkit.predictions import Prediction, Predictions
from modelkit.scores import verdict

Kind = Literal["escape", "overkill", "elsewhere", "false", "missed"]
TITLES: dict[Kind, str] = {
    "escape": "Escapes: defective parts judged pass",
    "overkill": "Overkill: good parts judged fail",
    "elsewhere": "Defective parts failed for accepted detections that match no label",
    "false": "Other accepted detections that match no label",
    "missed": "Labelled defects that no detection matches, in parts that did not pass",
}


@dataclass(frozen=True, slots=True)
class Error:
    """A picture, and what is wrong with how it was judged."""

    kind: Kind
    picture: Prediction
    precisions: tuple[Precision, ...]
    """Which of them got it wrong so."""
    badness: float


def worst(predictions: Predictions, by: Thresholds) -> dict[Kind, list[Error]]:
    """The errors of each kind, the worst first; of a picture that both precisions get wrong alike, one."""
    found: dict[tuple[Kind, str], Error] = {}
    for precision in predictions.precisions:
        for picture in predictions.pictures:
            if (error := _error(picture, precision, predictions.class_names, by)) is not None:
                known = found.get((error.kind, picture.image))
                found[error.kind, picture.image] = _both(known, error) if known else error
    ranked = sorted(found.values(), key=lambda error: -error.badness)
    return {kind: [error for error in ranked if error.kind == kind] for kind in TITLES}


def _both(one: Error, other: Error) -> Error:
    precisions = (*one.precisions, *other.precisions)
    return Error(one.kind, one.picture, precisions, max(one.badness, other.badness))


def _error(picture: Prediction, precision: Precision, names: tuple[str, ...], by: Thresholds) -> Error | None:
    judged = verdict(picture, precision, names, by)
    boxes = picture.detections[precision]
    accepted = [box for box in boxes if box.confidence >= by.confidence]
    false = [box.confidence for box in accepted if not box.is_true]
    strongest = max((box.confidence for box in boxes), default=0.0)
    true_count = sum(box.is_true for box in boxes if box.confidence >= by.low_confidence)
    missed = len(picture.labels) - true_count
    kind: Kind
    if picture.is_defective and judged == "pass":
        kind, badness = "escape", 1 - strongest
    elif not picture.is_defective and judged == "fail":
        kind, badness = "overkill", strongest
    elif picture.is_defective and accepted and len(false) == len(accepted):
        kind, badness = "elsewhere", strongest
    elif picture.is_defective and false:
        kind, badness = "false", max(false)
    elif missed:
        kind, badness = "missed", missed
    else:
        return None
    return Error(kind, picture, (precision,), badness)
