"""What goes into a network and what comes out of it, for each kind of ONNX file.

``plain`` is what Ultralytics exports. ``cut`` is the same network without its ends: it takes the canvas as it is, and
leaves it to this module to decode boxes and confidences, for the few anchors that matter instead of all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from inspector.core.detections import Output, require_finite
from inspector.core.package import Kind
from inspector.core.tensor import Canvas, to_tensor

STRIDES = (8, 16, 32)
"""Input pixels per cell of the three grids; the centre of a cell is an anchor."""
SIDES, BINS = 4, 16
"""A box is the distances of its sides from the anchor, each a distribution over 0, 1, … 15 strides (``reg_max``)."""
_BINS = np.arange(BINS, dtype=np.float32)
MARGIN = 1e-3
"""Logits this far below the floor are decoded too, so that it is by its confidence that a detection is dropped."""

Shape = tuple[int | None, ...]
"""Of a tensor; None: whatever it is."""
Outputs = Sequence[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Plain:
    """One input (1, 3, height, width) float32, RGB, 0..1; one output (1, 4 + classes, anchors) float32."""

    classes: int
    height: int
    width: int
    kind: ClassVar[Kind] = "plain"
    size_axes: ClassVar[slice] = slice(2, 4)
    output_names: ClassVar[tuple[str, ...] | None] = None
    """None: there is only the one, whatever its name."""

    @property
    def input_shape(self) -> Shape:
        """Of the only input."""
        return (1, 3, self.height, self.width)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Of each output, in order."""
        return ((1, SIDES + self.classes, None),)

    def fill(self, canvas: Canvas) -> NDArray[Any]:
        """The network's input."""
        return to_tensor(canvas)

    def read(self, outputs: Outputs, confidence: float) -> Output:
        """The network's outputs -> what ``detections.decode`` takes, ``confidence`` being all the same."""
        return outputs[0]


@dataclass(frozen=True, slots=True)
class Cut:
    """One input (1, height, width, 3) uint8, BGR; two outputs, float32, in the order of Ultralytics' anchors.

    ``distances`` (1, 64, anchors): logits of the bins of the left, top, right and bottom side.
    ``scores`` (1, classes, anchors): logits of the confidences.
    """

    classes: int
    height: int
    width: int
    kind: ClassVar[Kind] = "cut"
    size_axes: ClassVar[slice] = slice(1, 3)
    output_names: ClassVar[tuple[str, ...] | None] = ("distances", "scores")

    @property
    def input_shape(self) -> Shape:
        """Of the only input."""
        return (1, self.height, self.width, 3)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Of each output, in order."""
        anchors = sum((self.height // stride) * (self.width // stride) for stride in STRIDES)
        return ((1, SIDES * BINS, anchors), (1, self.classes, anchors))

    def fill(self, canvas: Canvas) -> NDArray[Any]:
        """The network's input."""
        return canvas

    def read(self, outputs: Outputs, confidence: float) -> Output:
        """What a plain export would have put out for the anchors of at least ``confidence`` (0: all; below 1).

        Some a little below it are among them. Raises ValueError where the outputs are not finite, at any anchor: NaN
        reaches no floor.
        """
        distances, scores = outputs
        require_finite(scores)
        require_finite(distances)
        floor = math.log(confidence / (1 - confidence)) - MARGIN if confidence else -math.inf
        chosen = np.flatnonzero(scores[0].max(axis=0) >= np.float32(floor))
        boxes = self._boxes(distances[0][:, chosen], chosen)
        return np.concatenate([boxes, _sigmoid(scores[0][:, chosen])])[None]

    def _boxes(self, logits: NDArray[np.float32], chosen: NDArray[np.intp]) -> NDArray[np.float32]:
        """(4, N) centre and size in input pixels, as ``ultralytics.utils.tal.dist2bbox`` has them."""
        centres, strides = _anchors(self.height, self.width)
        sides = _expectation(logits.reshape(SIDES, BINS, -1))
        upper_left, lower_right = centres[:, chosen] - sides[:2], centres[:, chosen] + sides[2:]
        boxes: NDArray[np.float32] = np.concatenate(
            [(upper_left + lower_right) / 2, lower_right - upper_left]
        )
        return boxes * strides[chosen]


Interface = Plain | Cut


@lru_cache(maxsize=8)
def _anchors(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(2, anchors) x and y of each anchor in strides, and (anchors,) its stride in input pixels.

    Ultralytics' order (``ultralytics.utils.tal.make_anchors``): grid by grid, row by row.
    """
    grids = [np.mgrid[0 : height // stride, 0 : width // stride].reshape(2, -1) for stride in STRIDES]
    centres = np.concatenate([grid[::-1] + 0.5 for grid in grids], axis=1).astype(np.float32)
    strides = np.repeat(np.array(STRIDES, np.float32), [grid.shape[1] for grid in grids])
    return centres, strides


def _expectation(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(SIDES, BINS, N) logits -> (SIDES, N) distances in strides: the mean of each softmax."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean: NDArray[np.float32] = _BINS @ weights / weights.sum(axis=1)
    return mean


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """In a form that overflows nowhere, and in 64 bits, so that those next to 1 are in the order of their logits."""
    return np.asarray((1 + np.tanh(logits.astype(np.float64) / 2)) / 2, np.float32)
