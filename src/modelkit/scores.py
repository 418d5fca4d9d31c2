"""Predictions -> what one precision is worth: its figures, and how far each can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspector.core.package import Precision, Thresholds
from inspector.core.verdict import Doubt, Policy, VerdictName, judge
from modelkit.average_precision import Coco
from modelkit.calibration import Bin, expected_calibration_error, reliability
from modelkit.intervals import Interval, percentile, wilson
from modelkit.predictions import Prediction, Predictions

SHARES = {"escapes": "defective", "overkill": "good", "review": "images"}
"""Of which pictures each is a share."""
_RATIOS = {
    **SHARES,
    "precision": "found",
    "recall": "labelled",
    "precision_low": "found_low",
    "recall_low": "labelled",
}
_COUNTED_FOR = {"precision": "true", "recall": "true", "precision_low": "true_low", "recall_low": "true_low"}

Samples = dict[str, NDArray[np.float64]]
"""Of each figure (R,) values, one for each resampling."""


class Share(msgspec.Struct, frozen=True):
    """``count`` pictures of ``of``, and two 95 % intervals of that share."""

    count: int
    of: int
    share: float | None
    """Null of none."""
    wilson: Interval | None
    """As if pictures were independent."""
    by_part: Interval | None
    """By resampling parts; null where every draw gives the same, as of no picture at all."""


class Scores(msgspec.Struct, frozen=True):
    """What one precision is worth on labelled pictures. Counts are of pictures; null: there was nothing to count."""

    map50: float | None
    map50_95: float | None
    escapes: int
    """Defective parts judged pass."""
    overkill: int
    """Good parts judged fail."""
    review: int
    """Parts of either kind sent to a person."""
    images: int
    unusual: int
    """Of those in review, how many are there for nothing but an unusual picture."""
    precision: float | None
    """Share of true ones among the detections at or above the accepting threshold."""
    recall: float | None
    """Share of labelled boxes that those find."""
    precision_low: float | None
    """The same of the detections at or above the floor."""
    recall_low: float | None
    ece: float | None
    """Expected calibration error of all detections."""
    shares: dict[str, Share]
    intervals: dict[str, Interval | None]
    """95 %, by resampling parts; null where every draw gives the same."""
    reliability: tuple[Bin, ...]


def verdict(picture: Prediction, precision: Precision, names: tuple[str, ...], by: Thresholds) -> VerdictName:
    """What the device would decide of the picture."""
    doubts: tuple[Doubt, ...] = ("unusual_image",) if picture.is_unusual else ()
    return judge(picture.raw(precision), names, Policy(by), doubts=doubts).name


def score(
    predictions: Predictions,
    precision: Precision,
    thresholds: Thresholds,
    resamples: Sequence[NDArray[np.intp]] = (),
    advance: Callable[[], object] = lambda: None,
) -> tuple[Scores, Samples]:
    """Every figure, and what it would have been on each of ``resamples``, indices of pictures.

    ``advance`` is called after each resampling.
    """
    sheet = _Sheet.of(predictions, precision, thresholds)
    rows = []
    for pictures in resamples:
        rows.append(sheet.figures(pictures))
        advance()
    whole = sheet.figures(np.arange(len(predictions.pictures)))
    samples = {name: np.array([row[name] for row in rows], np.float64) for name in whole}
    intervals = {name: _interval(values) for name, values in samples.items()}
    return _scores(predictions, precision, sheet, whole, intervals), samples


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What is counted in each of N pictures."""

    coco: Coco
    counts: dict[str, NDArray[np.int64]]
    """(N,) each."""

    @classmethod
    def of(cls, predictions: Predictions, precision: Precision, thresholds: Thresholds) -> _Sheet:
        pictures, names = predictions.pictures, predictions.class_names
        coco = Coco(
            [each.labels for each in pictures], [each.raw(precision) for each in pictures], len(names)
        )
        rows = [_count(each, precision, names, thresholds) for each in pictures]
        return cls(coco, {name: np.array([row[name] for row in rows], np.int64) for name in rows[0]})

    def figures(self, pictures: NDArray[np.intp]) -> dict[str, float]:
        """Every figure of these pictures; NaN where there is nothing to count."""
        mean = self.coco.mean(pictures)
        ratios = {
            name: _ratio(self.total(_COUNTED_FOR.get(name, name), pictures), self.total(of, pictures))
            for name, of in _RATIOS.items()
        }
        return {"map50": mean.map50, "map50_95": mean.map50_95, **ratios}

    def total(self, name: str, pictures: NDArray[np.intp] | None = None) -> int:
        counts = self.counts[name]
        return int((counts if pictures is None else counts[pictures]).sum())


def _count(
    picture: Prediction, precision: Precision, names: tuple[str, ...], thresholds: Thresholds
) -> dict[str, int]:
    name = verdict(picture, precision, names, thresholds)
    confidences = picture.raw(precision).confidences
    true = np.array([box.is_true for box in picture.detections[precision]], np.bool_)
    accepted = confidences >= np.float32(thresholds.confidence)
    above_floor = confidences >= np.float32(thresholds.low_confidence)
    return {
        "images": 1,
        "defective": picture.is_defective,
        "good": not picture.is_defective,
        "escapes": picture.is_defective and name == "pass",
        "overkill": not picture.is_defective and name == "fail",
        "review": name == "review",
        "unusual": name == "review" and not above_floor.any(),
        "labelled": len(picture.labels),
        "found": accepted.sum(),
        "true": (accepted & true).sum(),
        "found_low": above_floor.sum(),
        "true_low": (above_floor & true).sum(),
    }


def _scores(
    predictions: Predictions,
    precision: Precision,
    sheet: _Sheet,
    whole: dict[str, float],
    intervals: dict[str, Interval | None],
) -> Scores:
    boxes = [box for picture in predictions.pictures for box in picture.detections[precision]]
    bins = reliability(
        np.array([box.confidence for box in boxes]), np.array([box.is_true for box in boxes], np.bool_)
    )
    figures = {name: _known(value) for name, value in whole.items()}
    return Scores(
        map50=figures["map50"],
        map50_95=figures["map50_95"],
        escapes=sheet.total("escapes"),
        overkill=sheet.total("overkill"),
        review=sheet.total("review"),
        images=sheet.total("images"),
        unusual=sheet.total("unusual"),
        precision=figures["precision"],
        recall=figures["recall"],
        precision_low=figures["precision_low"],
        recall_low=figures["recall_low"],
        ece=expected_calibration_error(bins),
        shares={name: _share(name, sheet, intervals[name]) for name in SHARES},
        intervals={name: interval for name, interval in intervals.items() if name not in SHARES},
        reliability=tuple(bins),
    )


def _share(name: str, sheet: _Sheet, by_part: Interval | None) -> Share:
    count, of = sheet.total(name), sheet.total(SHARES[name])
    return Share(count, of, _known(_ratio(count, of)), wilson(count, of), by_part)


def _interval(values: NDArray[np.float64]) -> Interval | None:
    """By resampling; None where every draw gives the same, as of no escape at all: that is no interval."""
    interval = percentile(values)
    return None if interval is None or np.nanmin(values) == np.nanmax(values) else interval


def _ratio(count: int, of: int) -> float:
    return count / of if of else float("nan")


def _known(figure: float) -> float | None:
    return None if np.isnan(figure) else figure
