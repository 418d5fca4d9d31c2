"""Pixels -> canvas and the letterbox that was applied; canvas -> the tensor of a plain export."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.frame import Pixels
from inspector.core.geometry import Letterbox

PAD_VALUE = 114
"""Grey level of the padding, as in Ultralytics' LetterBox."""

Canvas = NDArray[np.uint8]
"""(1, height, width, 3) uint8, BGR: a picture that fills the network input."""

Tensor = NDArray[np.float32]
"""(1, 3, height, width) float32, RGB, 0..1."""


def fit(pixels: Pixels, input_width: int, input_height: int) -> tuple[Canvas, Letterbox]:
    """Letterbox BGR pixels into the size of the network input (bilinear, padded with 114), as Ultralytics does."""
    height, width = pixels.shape[:2]
    letterbox = Letterbox.fit(width, height, input_width, input_height)
    canvas = np.full((1, input_height, input_width, 3), PAD_VALUE, np.uint8)
    rows = slice(letterbox.pad_top, letterbox.pad_top + letterbox.resized_height)
    columns = slice(letterbox.pad_left, letterbox.pad_left + letterbox.resized_width)
    canvas[0, rows, columns] = _resize(pixels, letterbox)
    return canvas, letterbox


def to_tensor(canvas: Canvas) -> Tensor:
    """The same picture as RGB planes of 0..1."""
    rgb_planes = canvas[..., ::-1].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(rgb_planes, np.float32) / np.float32(255)


def _resize(pixels: Pixels, letterbox: Letterbox) -> Pixels:
    size = (letterbox.resized_width, letterbox.resized_height)
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
