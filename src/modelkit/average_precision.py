"""Labelled boxes and detections -> which detections are true, and the mean average precision. By pycocotools.

As COCO does it, but for two things: up to 300 detections of a class count in a picture, not 100, as many as the
detector returns; and boxes of every size count alike.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from inspector.core.detections import Detections
from modelkit.labels import LabelledBox

MAX_DETECTIONS = 300
_WHOLE_PLANE = [0, 1e10]
"""Least and greatest area of a box that counts, pixels."""


@dataclass(frozen=True, slots=True)
class MeanAveragePrecision:
    """0..1, the mean over those classes of which there is a labelled box; NaN where there is none at all."""

    map50: float
    """At an IoU of 0.5."""
    map50_95: float
    """Mean over the IoUs 0.5, 0.55 … 0.95."""


class Coco:
    """N pictures, their labelled boxes, and what one model finds in them, matched."""

    def __init__(
        self, labelled: Sequence[Sequence[LabelledBox]], found: Sequence[Detections], class_count: int
    ) -> None:
        self._sizes = [len(each) for each in found]
        truths = (_annotation(picture, box) for picture, boxes in enumerate(labelled) for box in boxes)
        detections = (each for picture, seen in enumerate(found) for each in _detections(picture, seen))
        with redirect_stdout(io.StringIO()):  # pycocotools tells its progress
            self._evaluator = COCOeval(
                _dataset(truths, len(found), class_count),
                _dataset(detections, len(found), class_count),
                "bbox",
            )
            self._evaluator.params.maxDets = [MAX_DETECTIONS]
            self._evaluator.params.areaRng = [_WHOLE_PLANE]
            self._evaluator.evaluate()
        self._matched: list[dict[str, Any] | None] = self._evaluator.evalImgs
        """Of the first class every picture, then of the second …; None where there is nothing to match."""

    def true(self) -> list[NDArray[np.bool_]]:
        """For each picture (N,) bool: which of its detections are true at an IoU of 0.5.

        Each takes, the most confident first, the labelled box of its class that it overlaps most, of those not taken.
        """
        first_ids = np.cumsum([1, *self._sizes])
        true = [np.zeros(size, np.bool_) for size in self._sizes]
        for matched in filter(None, self._matched):
            picture = matched["image_id"]
            places = np.array(matched["dtIds"], np.intp) - first_ids[picture]
            true[picture][places] = matched["dtMatches"][0] > 0
        return true

    def mean(self, pictures: Sequence[int] | NDArray[np.intp]) -> MeanAveragePrecision:
        """Of these pictures, by their index; one that is named twice counts twice."""
        count = len(self._sizes)
        starts = range(0, len(self._matched), count)
        evaluator = self._evaluator
        evaluator.evalImgs = [self._matched[start + picture] for start in starts for picture in pictures]
        evaluator.params.imgIds = list(range(len(pictures)))
        evaluator._paramsEval = (
            evaluator.params
        )  # those that it was matched by, which it looks pictures up in
        with redirect_stdout(io.StringIO()):
            evaluator.accumulate()
        precision = evaluator.eval["precision"][
            :, :, :, 0, 0
        ]  # IoU, recall, class; -1 where none is labelled
        return MeanAveragePrecision(_mean(precision[:1]), _mean(precision))


def _mean(precision: NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if len(known) else float("nan")


def _annotation(picture: int, box: LabelledBox) -> dict[str, Any]:
    return _box(picture, box.class_id, [box.left, box.top, box.width, box.height])


def _detections(picture: int, found: Detections) -> Iterator[dict[str, Any]]:
    rows = zip(found.boxes.tolist(), found.class_ids.tolist(), found.confidences.tolist(), strict=True)
    for (left, top, right, bottom), class_id, confidence in rows:
        yield {**_box(picture, class_id, [left, top, right - left, bottom - top]), "score": confidence}


def _box(picture: int, class_id: int, ltwh: list[float]) -> dict[str, Any]:
    area = ltwh[2] * ltwh[3]
    return {"image_id": picture, "category_id": class_id, "bbox": ltwh, "area": area, "iscrowd": 0}


def _dataset(boxes: Iterator[dict[str, Any]], picture_count: int, class_count: int) -> Any:
    dataset = COCO()
    dataset.dataset = {
        "images": [{"id": picture} for picture in range(picture_count)],
        "categories": [{"id": class_id} for class_id in range(class_count)],
        "annotations": [{**box, "id": number} for number, box in enumerate(boxes, start=1)],
    }
    dataset.createIndex()
    return dataset
