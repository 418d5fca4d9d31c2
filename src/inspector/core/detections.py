"""Raw network output -> Detections, in pixels of the image as captured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspector.core.geometry import Boxes, Letterbox, intersection_over_union

RAW_FLOOR = 0.05
"""Detections below this confidence are forgotten; those above stay in the ledger."""

CLASS_OFFSET_PX = 7680
"""Boxes of different classes are moved apart by this much, so that one NMS serves all (as Ultralytics does)."""

MAX_CANDIDATES = 30_000

Output = NDArray[np.float32]
"""(1, 4 + classes, anchors) float32: centre x, centre y, width, height in input pixels, and a confidence in 0..1 for
each class."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """N detections, the most confident first."""

    boxes: Boxes
    """(N, 4) float32: left, top, right, bottom in image pixels, within the image."""
    confidences: NDArray[np.float32]
    """(N,) float32 in 0..1, falling."""
    class_ids: NDArray[np.int64]
    """(N,) int64."""

    def __len__(self) -> int:
        return len(self.confidences)

    @classmethod
    def none(cls) -> Detections:
        """No detection at all."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))

    def where(self, chosen: NDArray[np.bool_]) -> Detections:
        """Those for which ``chosen`` (N,) is true."""
        return Detections(self.boxes[chosen], self.confidences[chosen], self.class_ids[chosen])


def decode(
    output: Output, letterbox: Letterbox, *, confidence: float, iou: float, max_detections: int
) -> Detections:
    """Decode the output of an Ultralytics YOLOv8 export.

    Detections below ``confidence`` are dropped; of two of one class that overlap by more than ``iou`` the more
    confident stays; at most ``max_detections`` are returned. Same result as
    ``ultralytics.utils.nms.non_max_suppression`` and ``scale_boxes``. Raises ValueError where the output is not
    finite.
    """
    require_finite(output)
    candidates = output[0].T
    confidences = candidates[:, 4:].max(axis=1)
    chosen = np.flatnonzero(confidences >= np.float32(confidence))
    order = chosen[np.argsort(-confidences[chosen], kind="stable")][:MAX_CANDIDATES]
    class_ids = candidates[order, 4:].argmax(axis=1)
    boxes_input = _corners(candidates[order, :4])
    apart = boxes_input + (class_ids[:, None] * CLASS_OFFSET_PX).astype(np.float32)
    kept = suppress(apart, iou)[:max_detections]
    return Detections(letterbox.to_image(boxes_input[kept]), confidences[order][kept], class_ids[kept])


def require_finite(output: NDArray[np.float32]) -> None:
    """Raise ValueError where the output is not finite: a defect would be below every threshold."""
    if not np.isfinite(output).all():
        raise ValueError("the network's output is not finite")


def suppress(boxes: Boxes, iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes (N, 4), best first, that none before overlaps."""
    kept: list[int] = []
    remaining = np.arange(len(boxes))
    while len(remaining):
        best, others = remaining[0], remaining[1:]
        kept.append(int(best))
        remaining = others[intersection_over_union(boxes[best], boxes[others]) <= np.float32(iou)]
    return np.array(kept, np.intp)


def _corners(centred: NDArray[np.float32]) -> Boxes:
    half = centred[:, 2:4] / 2
    return np.hstack([centred[:, :2] - half, centred[:, :2] + half])
