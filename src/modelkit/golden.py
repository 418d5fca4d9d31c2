"""Golden pictures: what a model must find in them on every device, or be refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inspector.core.detections import Detections
from inspector.core.frame import FrameError, Pixels
from inspector.core.golden import compare
from inspector.core.package import GoldenDetection, Thresholds
from inspector.shell.detector import Detector
from modelkit.pixels import decoded

CLEARANCE = 0.1
"""Least distance of every confidence from both thresholds, so that no device's rounding changes a verdict."""
LIGHTS = {"golden/blue-light.png": (1.0, 0.75, 0.35), "golden/red-light.png": (0.35, 0.75, 1.0)}
"""Share of blue, green and red that is left."""


class GoldenError(Exception):
    """Why a picture cannot be golden, or why there are not enough of them."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A golden picture: its name in the package and the content of the file."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def pixels(self) -> Pixels:
        """Decoded as the device does. Raises GoldenError."""
        try:
            return decoded(self.content)
        except FrameError as error:
            raise GoldenError(str(error)) from error


def under_light(picture: Picture, name: str) -> Picture:
    """The picture as if under one of LIGHTS, without loss: a grey one says nothing of the order of the channels."""
    lit = np.rint(picture.pixels() * np.array(LIGHTS[name])).astype(np.uint8)
    return Picture(name, cv2.imencode(".png", lit)[1].tobytes())


def find(model: Detector, picture: Picture, thresholds: Thresholds) -> Detections:
    """What the model finds at or above the floor. Raises GoldenError where anything is too close to call."""
    found, _ = model.detect(picture.pixels())
    for confidence in found.confidences:
        for threshold in (thresholds.low_confidence, thresholds.confidence):
            if abs(confidence - threshold) < CLEARANCE:
                raise GoldenError(
                    f"a confidence of {confidence:.3f} is less than {CLEARANCE} from the threshold {threshold}"
                )
    return found.where(found.confidences >= thresholds.low_confidence)


def tells_channels_apart(
    model: Detector, picture: Picture, expected: Sequence[GoldenDetection], floor: float
) -> bool:
    """Whether the model fails the golden picture when it is given red for blue."""
    swapped, _ = model.detect(np.ascontiguousarray(picture.pixels()[..., ::-1]))
    return compare(expected, swapped, floor) is not None


def expect(found: Detections) -> tuple[GoldenDetection, ...]:
    """As the manifest has them, rounded."""
    rows = zip(found.class_ids.tolist(), found.confidences.tolist(), found.boxes.tolist(), strict=True)
    return tuple(
        GoldenDetection(
            class_id,
            round(confidence, 3),
            round(left, 1),
            round(top, 1),
            round(right - left, 1),
            round(bottom - top, 1),
        )
        for class_id, confidence, (left, top, right, bottom) in rows
    )
