"""A picture -> what tells whether another shows the same: hashes, and its fine structure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.frame import Pixels
from modelkit.pixels import decoded

WIDTH, HEIGHT = 224, 160
"""Of the fine structure, whatever the picture's shape: pictures to compare come from one camera."""
_NEIGHBOURHOOD = 9
_LIMIT = 25

Structure = NDArray[np.int8]
"""(HEIGHT, WIDTH) int8, -25 … 25: grey level less the median of its neighbourhood."""


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What is kept of a picture that was looked at."""

    width: int
    """Pixels."""
    height: int
    pixels_sha256: str
    """Of the decoded pixels and their shape: files that differ may show the same to the bit."""
    structure: Structure


def take(path: Path) -> Fingerprint:
    """Read a picture as the device does. Raises OSError and FrameError."""
    pixels = decoded(path.read_bytes())
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{width}x{height} ".encode() + pixels.tobytes()).hexdigest()
    return Fingerprint(width, height, digest, _structure(pixels))


def _structure(pixels: Pixels) -> Structure:
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    fine = grey.astype(np.int16) - cv2.medianBlur(np.asarray(grey), _NEIGHBOURHOOD)
    structure: Structure = np.clip(fine, -_LIMIT, _LIMIT).astype(np.int8)
    return structure
