"""Whether two networks agree: how far apart what they put out for the same pictures is, at every anchor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnxruntime

from inspector.core.detections import Output, require_finite
from inspector.core.interface import SIDES, Interface
from inspector.core.tensor import Canvas

Run = Callable[[Canvas], Output]


@dataclass(frozen=True, slots=True)
class Gap:
    """The greatest differences."""

    confidence: float
    """Of the confidence of any class."""
    box_px: float
    """Of the centre, width or height of a box, in pixels of the input."""

    def is_within(self, limit: Gap) -> bool:
        """Whether neither is greater."""
        return self.confidence <= limit.confidence and self.box_px <= limit.box_px


def gap(one: Run, other: Run, canvases: Iterable[Canvas]) -> Gap:
    """Run both on every picture, of which there is one at least. Raises ValueError where an output is not finite."""
    apart = [_apart(one(canvas), other(canvas)) for canvas in canvases]
    confidence, box_px = np.max(apart, axis=0).tolist()
    return Gap(confidence, box_px)


def _apart(one: Output, other: Output) -> tuple[np.float32, np.float32]:
    require_finite(one)
    require_finite(other)
    difference = np.abs(one - other)[0]
    return difference[SIDES:].max(), difference[:SIDES].max()


def runner(model: bytes, interface: Interface) -> Run:
    """An ONNX file, run by ONNX Runtime; every anchor is decoded."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()

    def run(canvas: Canvas) -> Output:
        outputs = session.run(interface.output_names, {taken.name: interface.fill(canvas)})
        return interface.read(outputs, 0.0)

    return run
