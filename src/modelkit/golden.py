"""Golden pictures: what a model must find in them on every device, or be refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inspector.core.detections import Detections
from inspector.core.frame import FrameError, Pixels, decode
from inspector.core.golden import compare
from inspector.core.package import Golden, GoldenDetection, Thresholds
from inspector.shell.detector import Detector

CLEARANCE = 0.1
"""Least distance of every confidence from both thresholds, so that no device's rounding changes a verdict."""
BLUE_LIGHT = (1.0, 0.75, 0.35)
"""Share of blue, green and red that is left."""
MAX_MEGAPIXELS = 50.0


class GoldenError(Exception):
    """A picture cannot be golden; says which, why and what to do."""


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
            return decode(self.content, "apply", MAX_MEGAPIXELS)
        except FrameError as error:
            raise GoldenError(f"{self.name}: {error}") from error


def blue_light(picture: Picture) -> Picture:
    """The picture as if under blue light, without loss: a grey one says nothing of the order of the channels."""
    lit = np.rint(picture.pixels() * np.array(BLUE_LIGHT)).astype(np.uint8)
    return Picture("golden/blue-light.png", cv2.imencode(".png", lit)[1].tobytes())


def expect(model: Detector, picture: Picture, thresholds: Thresholds) -> tuple[GoldenDetection, ...]:
    """What the model finds at or above the floor. Raises GoldenError where that is too close to call."""
    found, _ = model.detect(picture.pixels())
    for confidence in found.confidences:
        for threshold in (thresholds.low_confidence, thresholds.confidence):
            if abs(confidence - threshold) < CLEARANCE:
                raise GoldenError(
                    f"{picture.name}: a detection has confidence {confidence:.3f}, less than {CLEARANCE} from the "
                    f"threshold {threshold}, where another device may decide otherwise; take another picture"
                )
    return _rounded(found.where(found.confidences >= thresholds.low_confidence))


def tells_channels_apart(
    model: Detector, pictures: Sequence[Picture], golden: Sequence[Golden], thresholds: Thresholds
) -> bool:
    """Whether the model fails at least one golden picture when it is given red for blue."""
    for picture, expected in zip(pictures, golden, strict=True):
        swapped, _ = model.detect(np.ascontiguousarray(picture.pixels()[..., ::-1]))
        if compare(expected.detections, swapped, thresholds.low_confidence):
            return True
    return False


def _rounded(found: Detections) -> tuple[GoldenDetection, ...]:
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
