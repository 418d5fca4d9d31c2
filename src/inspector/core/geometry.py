"""Boxes, and the letterbox that fits an image into the network input and maps boxes back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
"""(N, 4) float32: left, top, right, bottom in pixels."""


def intersection_over_union(box: Boxes, boxes: Boxes) -> NDArray[np.float32]:
    """IoU of one box (4,) with each of ``boxes`` (N, 4), in 0..1; boxes without area overlap nothing."""
    upper_left = np.maximum(box[:2], boxes[:, :2])
    lower_right = np.minimum(box[2:], boxes[:, 2:])
    overlap = np.prod(np.clip(lower_right - upper_left, 0, None), axis=1)
    union = _area(box[None]) + _area(boxes) - overlap
    iou: NDArray[np.float32] = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return iou


def _area(boxes: Boxes) -> NDArray[np.float32]:
    area: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How an image was scaled and padded to fill the network input.

    Rounding is that of ``ultralytics.data.augment.LetterBox`` and ``ultralytics.utils.ops.scale_boxes``.
    """

    image_width: int
    image_height: int
    resized_width: int
    resized_height: int
    pad_left: int
    pad_top: int
    pad_right: int
    pad_bottom: int

    @classmethod
    def fit(cls, image_width: int, image_height: int, input_width: int, input_height: int) -> Letterbox:
        """Fit an image into the input, aspect ratio kept, centred; all in pixels, all at least 1."""
        gain = min(input_height / image_height, input_width / image_width)
        width, height = max(round(image_width * gain), 1), max(round(image_height * gain), 1)
        half_x, half_y = (input_width - width) / 2, (input_height - height) / 2
        return cls(
            image_width, image_height, width, height,
            pad_left=round(half_x - 0.1), pad_top=round(half_y - 0.1),
            pad_right=round(half_x + 0.1), pad_bottom=round(half_y + 0.1),
        )  # fmt: skip

    def to_image(self, boxes_input: Boxes) -> Boxes:
        """Map boxes from input pixels to image pixels, clipped to the image."""
        limit = np.array([self.image_width, self.image_height] * 2, np.float32)
        boxes: Boxes = np.clip((boxes_input - self._offset) / self._gain, 0, limit)
        return boxes

    def to_input(self, boxes_image: Boxes) -> Boxes:
        """Map boxes from image pixels to input pixels."""
        boxes: Boxes = boxes_image * self._gain + self._offset
        return boxes

    @property
    def _offset(self) -> NDArray[np.float32]:
        return np.array([self.pad_left, self.pad_top] * 2, np.float32)

    @property
    def _gain(self) -> NDArray[np.float32]:
        """Input pixels per image pixel along x and y: each side was rounded for itself."""
        gain = (self.resized_width / self.image_width, self.resized_height / self.image_height)
        return np.array(gain * 2, np.float32)
