"""A network of six classes in the shape of an Ultralytics export, whose weights are such that it finds colours.

Made of ``tiny_yolo``, so without torch: what a test exports, quantizes and packages where the verdicts matter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from tiny_yolo import tiny_yolo

HEIGHT, WIDTH = 160, 128
"""Of its input, in pixels: upright."""
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (0, 0, 255),
    "green": (0, 255, 0),
    "blue": (255, 0, 0),
    "yellow": (0, 255, 255),
    "magenta": (255, 0, 255),
    "cyan": (255, 255, 0),
}
"""BGR of each class."""
REACH_PX = 56
"""From the middle of a box to each side, in pixels of the input: so far that neighbours suppress each other."""
_STRIDE = 8
_STEEP = 16.0
"""What a score's logit rises by from no light of a class to all of it; it is 0 at three quarters."""
_CERTAIN = 20.0
"""A logit as good as infinite."""


def colour_yolo() -> onnx.ModelProto:
    """A plain export: one class's light scores 0.98, another's, grey, black and white below 0.03."""
    model = tiny_yolo(HEIGHT, WIDTH, tuple(COLOURS))
    colours, distances, scores, *coarser = [
        node.input[1:] for node in model.graph.node if node.op_type == "Conv" and len(node.input) == 3
    ]
    side = _value(model, colours[0]).shape[-1]
    _set(model, colours, _one_each(side), 0.0)
    _set(model, distances, 0.0, np.tile(np.eye(16)[REACH_PX // _STRIDE] * _CERTAIN, 4))
    _set(model, scores, _light() * _STEEP, -0.75 * _STEEP)
    for names in coarser[2::3]:
        _set(model, names, 0.0, -_CERTAIN)
    return model


def _one_each(side: int) -> NDArray[np.float64]:
    """Weights by which the first three channels are the means of red, green and blue."""
    return np.eye(8, 3)[..., None, None] * np.ones((side, side)) / side**2


def _light() -> NDArray[np.float64]:
    """Weights of each class: 1 in all for the light that it has, less all that it has not."""
    has = np.array([colour[::-1] for colour in COLOURS.values()]) / 255
    weights = np.where(has > 0, 1 / has.sum(axis=1, keepdims=True), -1.0)
    return np.pad(weights, ((0, 0), (0, 5)))[..., None, None]


def _set(model: onnx.ModelProto, names: list[str], *values: object) -> None:
    for name, value in zip(names, values, strict=True):
        old = _value(model, name)
        new = np.broadcast_to(np.asarray(value, np.float32), old.shape).copy()
        _constant(model, name).CopyFrom(numpy_helper.from_array(new, name))


def _value(model: onnx.ModelProto, name: str) -> NDArray[np.generic]:
    return numpy_helper.to_array(_constant(model, name))


def _constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(each for each in model.graph.initializer if each.name == name)
