"""Drawing finer than the pixels of the finished picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 450, 300
"""Of the finished picture, px."""
SCALE = 3
"""Drawn pixels to one finished pixel, each way."""
_SHIFT = 4  # cv2 draws at sixteenths of a drawn pixel


class Layer:
    """Grey levels 0 to 255 drawn in integer arithmetic, hence the same on every machine; in image px."""

    def __init__(self, level: int = 0) -> None:
        self.pixels = np.full((HEIGHT * SCALE, WIDTH * SCALE), level, np.uint8)

    def fill(self, polygon: NDArray[np.float64], level: int) -> None:
        cv2.fillPoly(self.pixels, [_fixed(polygon)], level, cv2.LINE_8, _SHIFT)

    def band(self, left: float, top: float, right: float, bottom: float, level: int) -> None:
        """An upright rectangle; parts outside the picture are cut off."""
        x0, y0, x1, y1 = (max(0, round(v * SCALE)) for v in (left, top, right, bottom))
        self.pixels[y0:y1, x0:x1] = level

    def discs(
        self, centres: NDArray[np.float64], widths: NDArray[np.float64], levels: NDArray[np.float64]
    ) -> None:
        """Discs along a path, so close together that they make a line of changing width and level."""
        radii = np.maximum(1, widths * SCALE / 2 * (1 << _SHIFT)).astype(int)
        # Brightest last, so that a bead of light isn't covered by its dimmer neighbour.
        for i in np.argsort(levels, kind="stable"):
            x, y = _fixed(centres[i])
            cv2.circle(self.pixels, (int(x), int(y)), int(radii[i]), int(levels[i]), -1, cv2.LINE_8, _SHIFT)


def coverage(layer: Layer) -> NDArray[np.float32]:
    """The mean of the drawn pixels under each finished pixel, (HEIGHT, WIDTH)."""
    small = cv2.resize(layer.pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(points * SCALE * (1 << _SHIFT)).astype(np.int32)
