"""Pictures as the network takes them, to compare networks on: those of a directory, or made-up ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from inspector.core.frame import FrameError
from inspector.core.tensor import Canvas, fit
from modelkit.images import ImagesError
from modelkit.pixels import decoded

MADE_UP = 8


def read(directory: Path, height: int, width: int) -> list[Canvas]:
    """Every picture in the directory and below, letterboxed; other files are passed over.

    Raises ImagesError for one that the device could not read, and where there is none.
    """
    canvases = []
    for path in sorted(each for each in directory.rglob("*") if each.is_file()):
        try:
            canvases.append(fit(decoded(path.read_bytes()), width, height)[0])
        except FrameError as error:
            if error.code != "unsupported":
                raise ImagesError(f"{path}: {error}; take it out") from error
    if not canvases:
        raise ImagesError(f"there is no picture in {directory}; give a directory of some")
    return canvases


def make_up(height: int, width: int) -> list[Canvas]:
    """Noise in colour, each blurred more than the one before: structure at all scales that a network answers to."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (MADE_UP, height, width, 3), np.uint8)
    blurred = (cv2.GaussianBlur(each, (0, 0), 1 + index) for index, each in enumerate(noise))
    return [
        np.asarray(cv2.normalize(each, None, 0, 255, cv2.NORM_MINMAX), np.uint8)[None] for each in blurred
    ]
